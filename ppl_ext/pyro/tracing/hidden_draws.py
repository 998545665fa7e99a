"""What a model draws where no density sees it: one draw would be held fixed for another."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.util import site_is_subsample

__all__ = ["find_hidden_draws"]


def find_hidden_draws(run: Callable[[], Any]) -> list[str]:
    """Name what a run draws although every site that is seen has its value.

    Args:
        run: Runs the model with all latent sites given.

    Returns:
        Hidden sites and global generators in words. A model that seeds a generator itself
        draws the same numbers in every run and is not named for them.
    """
    run()
    before = _generators()
    with _hidden_sites() as found:
        run()
    after = _generators()
    moved = [what for what in before if before[what] != after[what]]
    if found:
        # A hidden site draws from torch's generator; its name says more.
        moved = [what for what in moved if what != "numbers of torch's generator"]
    return [*found, *moved]


def _generators() -> dict[str, Any]:
    """States of the global generators, in a form that compares by content."""
    return {
        "numbers of torch's generator": torch.get_rng_state().numpy().tobytes(),
        "numbers of np.random": repr(np.random.get_state(legacy=False)),
        "numbers of Python's module random": random.getstate(),
    }


@contextmanager
def _hidden_sites() -> Iterator[list[str]]:
    """Lists the latent sites that a block of the model hides before they have a value.

    A handler around the model does not hear of them, so the block itself has to tell.
    """
    found: list[str] = []
    hide = vars(BlockMessenger)["_process_message"]

    def tell(self, msg):
        hide(self, msg)
        drawn = msg["type"] == "sample" and msg["value"] is None and not site_is_subsample(msg)
        if msg["stop"] and drawn and (name := f"the hidden site {msg['name']!r}") not in found:
            found.append(name)

    BlockMessenger._process_message = tell
    try:
        yield found
    finally:
        BlockMessenger._process_message = hide
