"""Simulations made ready for a network: features, frame, what is held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppl_ext.npe.features import Features, ObservedSite
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.observation import flatten_sites
from ppl_ext.npe.pair_source import PairSource
from ppl_ext.npe.pairs import Pairs
from ppl_ext.npe.settings import Training
from ppl_ext.simulation import Simulations

__all__ = ["Prepared", "prepare"]

_FEWEST = 100  # pairs
_FEWEST_HELD_OUT, _MOST_HELD_OUT = 50, 10_000
_MOST_SCALED = 50_000  # pairs from which scaling and frame are learned
_MOST_SIMULATED = 2000
_MOST_KEPT = 2**26  # numbers of a table that is kept in memory as the network reads it

Pull = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Pairs that a network can read.

    Args:
        features: How observations are read.
        frame: Where the network starts.
        pairs: Coordinates of the frame and features.
        simulated: Data of some simulations, ``[simulation, width]``, by which an observation that
            is like none of them is recognised.
        convert: ``simulations -> (u[row, dim], f[row, width])``.
    """

    features: Features
    frame: Frame
    pairs: Pairs
    simulated: np.ndarray
    convert: Callable[[Simulations], tuple[np.ndarray, np.ndarray]]

    def renew(self, source: PairSource, count: int, epoch: int) -> Pairs:
        """Other pairs to train on, beside the same held-out ones.

        Args:
            source: Where they come from.
            count: How many, and how many rows of the source an epoch takes.
            epoch: The epoch; 0 is that of the first pairs.
        """
        rows = np.arange(epoch * count, (epoch + 1) * count)
        u, f = self.convert(source.simulate(rows, progress_bar=False))
        return Pairs(lambda rows: (u[rows], f[rows]), np.arange(len(u)), self.pairs.held_out)


def prepare(
    simulations: Simulations,
    pull: Pull,
    sites: Sequence[ObservedSite],
    settings: Training,
    rng: np.random.Generator,
    *,
    missing: bool = False,
    bounded: np.ndarray | None = None,
) -> Prepared:
    """Make simulations ready.

    A table that is on disk and larger than memory is read as it is needed.

    Args:
        simulations: The simulations.
        pull: ``{site: values[simulation, ...]} -> z[simulation, dim]``, to latent coordinates.
        sites: The observed sites.
        settings: How much is held out.
        rng: Source of randomness.
        missing: Whether observations may lack values and rows.
        bounded: Which coordinates are logits of bounded values, ``[dim]``; None if none is.

    Raises:
        ValueError: There are too few, a site is the same in all of them, or latent values lie
            outside of their supports.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(200, 1))
        >>> table = Simulations({"mu": z}, {"x": z + 1})
        >>> site = ObservedSite("x", (1,))
        >>> prepared = prepare(table, lambda values: values["mu"], [site], Training(), rng)
        >>> len(prepared.pairs.rows), len(prepared.pairs.held_out[0])
        (150, 50)
    """
    count = len(simulations)
    if count < _FEWEST:
        raise ValueError(
            f"NPE.train: there are {simulations} Expected at least {_FEWEST}. Simulate more, "
            "npe.train(..., num_simulations=10_000), or look for what makes the model overflow."
        )
    order = rng.permutation(count)
    some = simulations.take(order[:_MOST_SCALED])
    features = Features.read(sites, some.observed, missing)
    f = features.hide(features.apply(some.observed), rng)
    z = _leave_edges(pull(some.latent), list(some.latent))
    frame = Frame.read(z, f, features.layout, bounded)

    def convert(some: Simulations) -> tuple[np.ndarray, np.ndarray]:
        # What is hidden is hidden from the frame too.
        f = features.hide(features.apply(some.observed), rng)
        z = _leave_edges(pull(some.latent), list(some.latent))
        u = frame.pull(z, frame.locate(f, features.layout))
        return u.astype(np.float32), f

    held = np.clip(round(settings.held_out * count), _FEWEST_HELD_OUT, _MOST_HELD_OUT)
    held_out, rest = order[: int(held)], np.sort(order[int(held) :])
    if features.missing or count * (features.layout.width + len(frame.bias)) > _MOST_KEPT:
        # What is hidden differs each time; and a table may be larger than memory.
        def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return convert(simulations.take(rows))
    else:
        kept = convert(simulations.take(slice(None)))

        def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return kept[0][rows], kept[1][rows]

    pairs = Pairs(read, rest, convert(simulations.take(held_out)))
    simulated = flatten_sites(some.take(slice(_MOST_SIMULATED)).observed, sites)
    return Prepared(features, frame, pairs, simulated, convert)


def _leave_edges(z: np.ndarray, names: list[str]) -> np.ndarray:
    """Put what has no finite coordinate to the furthest that has one.

    In single precision a uniform draw in eight million is the end of its support itself, and one
    such pair would spoil every network.
    """
    finite = np.isfinite(z)
    if finite.all():
        return z
    outside = np.isnan(z)
    if outside.any():
        raise ValueError(
            f"NPE.train: {int(outside.any(1).sum())} rows have values of the latent sites {names} "
            f"outside of their supports (coordinate {int(outside.any(0).argmax())} of all); "
            "expected values that the prior can draw. Leave those rows out of simulations=."
        )
    low, high = (bound(z, axis=0, where=finite, initial=0.0) for bound in (np.min, np.max))
    return np.clip(z, low, high)
