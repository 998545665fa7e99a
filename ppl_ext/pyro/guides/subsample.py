"""The rows that a model chooses itself: ``pyro.plate(name, size, subsample=rows)``."""

from collections.abc import Callable, Set
from contextlib import suppress

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

__all__ = ["GivenSubsamples", "peek_subsamples"]


class GivenSubsamples(Messenger):
    """Records the rows of plates that are given theirs by the model.

    Args:
        wanted: Names of plates; the run of the model ends when all of them were seen.
    """

    def __init__(self, wanted: Set[str] | None = None) -> None:
        super().__init__()
        self.wanted = wanted
        self.indices: dict[str, torch.Tensor] = {}

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg) and msg["value"] is not None:
            self.indices[msg["name"]] = torch.as_tensor(msg["value"])
            if self.wanted is not None and self.wanted <= self.indices.keys():
                raise _AllSeenError


class _AllSeenError(Exception):
    pass


def peek_subsamples(
    model: Callable, names: Set[str], args: tuple, kwargs: dict
) -> dict[str, torch.Tensor]:
    """Runs a model up to the named plates and returns the rows it gives them."""
    with poutine.block(), torch.no_grad(), GivenSubsamples(names) as seen, suppress(_AllSeenError):
        model(*args, **kwargs)
    return seen.indices
