"""The sites of a model as an amortized guide sees them: local ones, shared ones, what is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTEXT_DIM", "FlatSite", "RowLayout", "lay_out_rows"]

CONTEXT_DIM = 16  # numbers that an encoder gives to bend the flow of a row


@dataclass(frozen=True)
class FlatSite:
    """A latent site among the coordinates of a Gaussian.

    Args:
        name: The name in the model's ``sample`` statement.
        shape: Unconstrained shape: of one row, if the site is local, which begins with the
            other plates around it.
        event_dim: Event dimensions of a value.
        unconstrained_event_dim: Event dimensions on unconstrained space.
        plates: Names of the plates around it.
        start: Its first coordinate.
        stop: One past its last coordinate.

    Example:
        >>> FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2).name
        'z'
    """

    name: str
    shape: tuple[int, ...]
    event_dim: int
    unconstrained_event_dim: int
    plates: tuple[str, ...]
    start: int
    stop: int

    def count_left(self, row_dim: int) -> int:
        """Batch dimensions of a local site to the left of its rows.

        Args:
            row_dim: Dimension of the rows, counted from the right.
        """
        others = len(self.shape) - self.unconstrained_event_dim
        return others + 1 + row_dim


@dataclass(frozen=True)
class RowLayout:
    """The sites of a model as an amortized guide sees them.

    Args:
        plate: Name of the plate whose rows are encoded.
        dim: Its dimension, counted from the right.
        local: Latent sites in it.
        shared: Latent sites outside of it.
        observed: Names and event dimensions of the observed sites in it.
        other_plates: ``{name: (size, dim)}`` of all other plates around latent sites.

    Example:
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> layout = RowLayout("rows", -1, (z,), (), (("x", 0),), {})
        >>> [layout.num_outputs(family) for family in ("mean_field", "full_rank", "flow")]
        [4, 5, 21]
    """

    plate: str
    dim: int
    local: tuple[FlatSite, ...]
    shared: tuple[FlatSite, ...]
    observed: tuple[tuple[str, int], ...]
    other_plates: dict[str, tuple[int, int]] = field(hash=False)

    @property
    def local_dim(self) -> int:
        """Coordinates of one row."""
        return self.local[-1].stop

    @property
    def shared_dim(self) -> int:
        """Coordinates that all rows share."""
        return self.shared[-1].stop if self.shared else 0

    def num_outputs(self, family: str) -> int:
        """Numbers that an encoder gives for a row."""
        return sum(self.list_outputs(family).values())

    def list_outputs(self, family: str) -> dict[str, int]:
        """What an encoder gives for a row, in this order, and how many numbers of each."""
        dim = self.local_dim
        outputs = {"locations": dim, "scales": dim}
        if family != "mean_field":
            outputs["below the diagonal"] = dim * (dim - 1) // 2
        if family == "flow":
            outputs["of a context"] = CONTEXT_DIM
        return outputs


def lay_out_rows(sites: Any, plate: str | None) -> RowLayout:
    """Tell the local latent sites of a model from the shared ones.

    Args:
        sites: ``Sites`` of a room.
        plate: Name of the plate whose rows are encoded; None where only one can be meant.

    Raises:
        ValueError: No plate, or more than one, has both local latent and observed sites; or a
            site is one that no encoder of rows can follow.

    Example:
        >>> from types import SimpleNamespace as Site
        >>> rows = Site(name="rows", dim=-1, size=20, subsample_size=5)
        >>> z = Site(name="z", shape=(5,), event_dim=0, unconstrained_shape=(5,), plates=(rows,))
        >>> x = Site(name="x", event_dim=0, plates=(rows,))
        >>> sites = Site(latents=(z,), observed=(x,), plates=(rows,), enumerated=())
        >>> lay_out_rows(sites, plate=None).local_dim
        1
    """
    if sites.enumerated:
        raise ValueError(
            f"AutoAmortized: site '{sites.enumerated[0].name}' is enumerated; expected continuous "
            "latent sites alone. Write the sum as a mixture: MixtureSameFamily(...)."
        )
    chosen = _choose_plate(sites, plate)
    local = [each for each in sites.latents if chosen.name in _around(each)]
    shared = [each for each in sites.latents if chosen.name not in _around(each)]
    observed = [each for each in sites.observed if chosen.name in _around(each)]
    for each in local:
        _refuse_loose_dims(each, chosen.name)
    for each in (*local, *shared, *observed):
        for other in each.plates:
            if other.name != chosen.name and other.subsample_size != other.size:
                raise ValueError(
                    f"AutoAmortized: site '{each.name}' lies in plate '{other.name}', which draws "
                    f"{other.subsample_size} of its {other.size} rows; expected only plate "
                    f"'{chosen.name}' to draw rows. Leave out its subsample_size."
                )
    return RowLayout(
        plate=chosen.name,
        dim=chosen.dim,
        local=_lay_out(local, chosen.dim),
        shared=_lay_out(shared, None),
        observed=tuple((each.name, each.event_dim) for each in observed),
        other_plates={
            each.name: (each.size, each.dim)
            for site in (*local, *shared)
            for each in site.plates
            if each.name != chosen.name
        },
    )


def _choose_plate(sites: Any, plate: str | None) -> Any:
    plates = {each.name: each for each in sites.plates}
    latent = {name for each in sites.latents for name in _around(each)}
    observed = {name for each in sites.observed for name in _around(each)}
    if plate is not None and plate not in latent:
        raise ValueError(
            f"AutoAmortized: plate '{plate}' has no latent site; the plates that have some are "
            f"{sorted(latent)}. Name one of them, or use AutoMeanField(model)."
        )
    meant = [plate] if plate is not None else sorted(latent & observed)
    if len(meant) != 1:
        found = f"plates {meant} have" if meant else "no plate has"
        # Rows are what there are many of.
        largest = max(meant, key=lambda name: plates[name].size, default="")
        cure = f"AutoAmortized(model, plate='{largest}')" if meant else "AutoMeanField(model)"
        raise ValueError(
            f"AutoAmortized: {found} both latent and observed sites; expected one plate, whose "
            f"rows are encoded. Write {cure}."
        )
    if plates[meant[0]].dim is None:
        raise ValueError(
            f"AutoAmortized: plate '{meant[0]}' is run through row by row; expected all rows at "
            f"once. Write: with pyro.plate('{meant[0]}', size): ..."
        )
    return plates[meant[0]]


def _around(site: Any) -> list[str]:
    return [plate.name for plate in site.plates]


def _lay_out(latents: Sequence[Any], row_dim: int | None) -> tuple[FlatSite, ...]:
    """Put sites one after another; of local ones the shape of a row, without the rows' axis."""
    sites: list[FlatSite] = []
    for latent in latents:
        whole = tuple(latent.unconstrained_shape)
        event_dim = latent.event_dim + len(whole) - len(latent.shape)
        batch, event = whole[: len(whole) - event_dim], whole[len(whole) - event_dim :]
        if row_dim is not None:
            batch = tuple(n for axis, n in enumerate(batch) if axis - len(batch) != row_dim)
        shape = batch + event
        start = sites[-1].stop if sites else 0
        stop = start + math.prod(shape)
        names = tuple(_around(latent))
        sites.append(FlatSite(latent.name, shape, latent.event_dim, event_dim, names, start, stop))
    return tuple(sites)


def _refuse_loose_dims(site: Any, plate: str) -> None:
    """Raise for a local site with rows, columns and so on that no plate tells of."""
    batch = site.shape[: len(site.shape) - site.event_dim]
    dims = {each.dim for each in site.plates}
    if any(size != 1 and axis - len(batch) not in dims for axis, size in enumerate(batch)):
        raise ValueError(
            f"AutoAmortized: latent site '{site.name}' of shape {tuple(site.shape)} lies in plate "
            f"'{plate}' and in batch dimensions without a plate; expected a plate around each. "
            "Make them an event: .to_event(1), or put a plate around them."
        )
