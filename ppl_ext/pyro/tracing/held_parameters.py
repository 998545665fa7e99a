"""A parameter store with the values that its parameters are held at."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ppl_ext.density import Site
from ppl_ext.pyro.tracing.isolation import own_param_store

__all__ = ["HeldStore"]


@dataclass(frozen=True, eq=False)
class HeldStore:
    """A parameter store, and the values that its parameters have in one fit.

    Args:
        state: State of the parameter store.
        values: Parameters that others may hold too, such as those of a module that a second fit
            trains on, each with its value in this fit.
    """

    state: dict
    values: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def leaves(self) -> list[torch.Tensor]:
        """The parameters as an optimiser sees them, on unconstrained space."""
        return [leaf for leaf, _ in self.values]

    @property
    def theta(self) -> np.ndarray:
        """Their values in a row, ``[parameter]``, float64."""
        parts = [value.reshape(-1).double().cpu().numpy() for _, value in self.values]
        return np.concatenate([np.zeros(0), *parts])

    @property
    def sites(self) -> tuple[Site, ...]:
        """Names of the parameters and their slices of the row."""
        names = {id(leaf): name for name, leaf in self.state["params"].items()}
        sites: list[Site] = []
        for leaf in self.leaves:
            start = sites[-1].stop if sites else 0
            stop = start + math.prod(leaf.shape)
            sites.append(Site(names[id(leaf)], tuple(leaf.shape), start, stop))
        return tuple(sites)

    def at(self, theta: np.ndarray) -> "HeldStore":
        """The same parameters held at other values, given in a row."""
        row = torch.as_tensor(np.asarray(theta, dtype=np.float64))
        parts = row.split([leaf.numel() for leaf in self.leaves])
        values = tuple(
            (leaf, part.reshape(leaf.shape).to(leaf))
            for leaf, part in zip(self.leaves, parts, strict=True)
        )
        return replace(self, values=values)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Has the store and the values in force, and gives back what was there after it."""
        before = [leaf.detach().clone() for leaf in self.leaves]
        state = {what: dict(named) for what, named in self.state.items()}
        with own_param_store(state):
            try:
                self._write([value for _, value in self.values])
                yield
            finally:
                self._write(before)

    def leave(self) -> None:
        """Leave the values in the parameters, so that modules have them from now on."""
        self._write([value for _, value in self.values])

    def _write(self, values: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for leaf, value in zip(self.leaves, values, strict=True):
                leaf.copy_(value)
