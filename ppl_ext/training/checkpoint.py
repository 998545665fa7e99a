"""The checkpoint of a training on minibatches."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import fields
from itertools import islice
from typing import Any

from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.state_file import StateFile
from ppl_ext.training.streams import OWN_ORDER, Stream, sum_batch
from ppl_ext.whole_files import find_target

__all__ = ["open_checkpoint"]

_SUMMED = 8  # batches of the checksum
_BEGINNING = "the checksum of the first batches"
_LIMITS = ("max_epochs", "max_seconds")


def open_checkpoint(
    path: str | os.PathLike[str] | None,
    *,
    host: str,
    shapes: list[list[int]],
    sites: list[str],
    source: Minibatches | Stream,
    held_out: list[Batch] | None,
    settings: MinibatchSettings,
    seed: int,
    num_parts: int,
    objective: list[Any],
    optimizer: Any,
) -> StateFile | None:
    """The file of a training.

    Args:
        path: The file; None for no checkpoint.
        host: Name of the host's module.
        shapes: Those of the parameters.
        sites: Sites of the model.
        source: The batches.
        held_out: Those that are held out.
        settings: How to train.
        seed: Seed of the noise.
        num_parts: Parts of a batch.
        objective: Class of the objective, and its draws.
        optimizer: What is seen of the optimiser that was given; None where none was.

    Raises:
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: The path is a folder.
    """
    if path is None:
        return None
    kept = {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if each.name not in ("optim", *_LIMITS)
    }
    identity: dict[str, Any] = {
        "the host": host,
        "the objective": objective,
        "the sites of the model": sites,
        "the shapes of the parameters": shapes,
        "settings.optim": optimizer,
        **{f"settings.{name}": value for name, value in kept.items()},
        # A file of another version may know nothing of what this rule remembers.
        "the rule that ends it": "flat losses, no drift",
        "the key or seed": seed,
        "num_parts": num_parts,
        **source.identity(),
        _BEGINNING: _sum(islice(source.epoch(0), _SUMMED)),
        "the checksum of the held-out batches": None if held_out is None else _sum(held_out),
    }
    called = "fit_minibatches"
    file = find_target(f"{called}: checkpoint", path)
    remedies = {_BEGINNING: OWN_ORDER} if isinstance(source, Stream) else {}
    return StateFile(called, "minibatch checkpoint", file, identity, remedies)


def _sum(batches: Iterable[Batch]) -> int:
    return functools.reduce(sum_batch, batches, 0)
