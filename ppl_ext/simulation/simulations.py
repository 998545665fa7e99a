"""Pairs of latent and observed values, in memory or on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ppl_ext.simulation.array_checks import (
    check_numbers,
    count_piece_rows,
    find_sound,
    refuse_all_failed,
)

__all__ = ["Simulations", "find_constant"]


@dataclass(frozen=True, eq=False, repr=False)
class Simulations:
    """Simulated pairs: each row is a draw of the latent values and the data simulated from it.

    Rows with a value that is not finite are counted and left out. Arrays in memory lose them;
    memory-mapped ones are not copied but keep all their rows, and ``rows`` tells the sound ones.
    So read either kind by `take` or `pieces`, which see sound rows alone.

    Args:
        latent: ``{site: array[row, ...]}``; NumPy's memory maps are kept as they are.
        observed: ``{site: array[row, ...]}``.
        dropped: ``{reason: number of rows}`` that were left out before; what is found here is
            added.
        rows: Indices of the rows that are known to be sound. None looks for them; afterwards None
            says that all are.

    Raises:
        ValueError: There is no latent or no observed site, or a site is both; lengths differ;
            there is no row, or no sound one.
        TypeError: An array is not made of real numbers.

    Example:
        >>> mu = np.arange(4.0)
        >>> simulations = Simulations({"mu": mu}, {"y": np.where(mu == 2, np.nan, 2 * mu)})
        >>> print(simulations)
        3 simulations of 'mu' and 'y'; 1 of 4 rows dropped: 1 'y' is not finite.
        >>> simulations.take([0, 2]).observed["y"].tolist()
        [0.0, 6.0]
    """

    latent: Mapping[str, np.ndarray]
    observed: Mapping[str, np.ndarray]
    dropped: Mapping[str, int] = field(default_factory=dict)
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        groups = {"latent": dict(self.latent), "observed": dict(self.observed)}
        _check_sites(groups)
        for group in groups.values():
            group.update({name: check_numbers("Simulations", name, group[name]) for name in group})
        found = {name: len(array) for group in groups.values() for name, array in group.items()}
        if len(set(found.values())) > 1:
            raise ValueError(
                f"Simulations: the sites have different numbers of rows, {found}; expected the "
                "same, as a row of all of them is one simulation. Cut them to the rows they share."
            )
        if not next(iter(found.values())):
            raise ValueError(
                f"Simulations: there are no rows in {sorted(found)}; expected one for each "
                "simulation. Simulate some: run_simulations(simulate, 1000)."
            )
        dropped, rows = Counter(self.dropped), self.rows
        if rows is None:
            rows, bad = find_sound(groups["latent"] | groups["observed"])
            dropped += bad
            if rows is not None and not _any_mapped(groups):
                groups = {
                    kind: {name: array[rows] for name, array in group.items()}
                    for kind, group in groups.items()
                }
                rows = None if len(rows) else rows
        if rows is not None:
            refuse_all_failed("Simulations", rows, dropped)
        for name, value in {**groups, "dropped": dict(dropped), "rows": rows}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(next(iter(self.latent.values())) if self.rows is None else self.rows)

    def __repr__(self) -> str:
        return f"Simulations({len(self)} rows)"

    def __str__(self) -> str:
        names = [f"'{name}'" for name in (*self.latent, *self.observed)]
        text = f"{len(self):,} simulations of {', '.join(names[:-1])} and {names[-1]}"
        if lost := sum(self.dropped.values()):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            text += f"; {lost:,} of {lost + len(self):,} rows dropped: {reasons}"
        return f"{text}."

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> Simulations:
        """Some of the sound rows, read into memory.

        Args:
            rows: Their numbers, counted over the sound rows; a mask of them; or a slice, which
                copies nothing where all rows are sound.

        Returns:
            Those rows, in this order. Nothing of it is dropped.

        Raises:
            IndexError: There is no such row.
            ValueError: There is none at all.
        """
        index = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        if self.rows is not None:
            index = self.rows[index]
        latent, observed = (
            {name: np.asarray(array[index]) for name, array in group.items()}
            for group in (self.latent, self.observed)
        )
        return Simulations(latent, observed, rows=np.arange(len(next(iter(latent.values())))))

    def join(self, others: Simulations) -> Simulations:
        """These and others, read into memory.

        Args:
            others: Simulations of the same sites.

        Raises:
            KeyError: The others lack a site.
        """
        ours, theirs = self.take(slice(None)), others.take(slice(None))
        latent, observed = (
            {name: np.concatenate([array, more[name]]) for name, array in group.items()}
            for group, more in ((ours.latent, theirs.latent), (ours.observed, theirs.observed))
        )
        return Simulations(latent, observed, Counter(self.dropped) + Counter(others.dropped))

    def pieces(self, size: int | None = None) -> Iterator[Simulations]:
        """All sound rows in order, piece by piece, so that memory does not grow with the table.

        Args:
            size: Rows of a piece; None takes about a megabyte.

        Yields:
            The next rows.
        """
        if size is None:
            size = count_piece_rows({**self.latent, **self.observed})
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def find_constant(simulations: Simulations) -> tuple[str, ...]:
    """Elements of observed sites that are the same in all simulations, and so tell nothing.

    Args:
        simulations: The simulations; they are read piece by piece.

    Returns:
        Their names, such as ``y[3]``.

    Example:
        >>> y = np.stack([np.arange(5.0), np.ones(5)], axis=1)
        >>> find_constant(Simulations({"mu": np.arange(5.0)}, {"y": y}))
        ('y[1]',)
    """
    # Here, as workers need not wait for the diagnostics and their SciPy.
    from ppl_ext.diagnostics.moments import label_elements

    first = {name: array[0] for name, array in simulations.take([0]).observed.items()}
    same = {name: np.ones(np.shape(row), dtype=bool) for name, row in first.items()}
    for piece in simulations.pieces():
        for name, array in piece.observed.items():
            same[name] = same[name] & (array == first[name]).all(axis=0)
    labels = label_elements(simulations.observed)
    flags = np.concatenate([np.ravel(each) for each in same.values()])
    return tuple(label for label, constant in zip(labels, flags, strict=True) if constant)


def _check_sites(groups: Mapping[str, Mapping[str, object]]) -> None:
    for kind, group in groups.items():
        if not group:
            raise ValueError(
                f"Simulations: there are no {kind} sites; expected at least one. Pass "
                f'{kind}={{"name": array}}.'
            )
    if both := sorted(groups["latent"].keys() & groups["observed"].keys()):
        raise ValueError(
            f"Simulations: {both} are latent and observed; expected each site once. Rename one."
        )


def _any_mapped(groups: Mapping[str, Mapping[str, np.ndarray]]) -> bool:
    return any(isinstance(each, np.memmap) for group in groups.values() for each in group.values())
