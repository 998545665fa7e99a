"""What a model is made of: its latent and observed sites, plates and parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

__all__ = ["Inspection", "Latent", "Observed", "Plate", "dims_of"]


@dataclass(frozen=True)
class Plate:
    """A plate: its name, dimension counted from the right, full size and size in this run."""

    name: str
    dim: int
    size: int
    subsample_size: int


@dataclass(frozen=True)
class Latent:
    """A latent site.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its prior.
        shape: Shape of a value.
        event_dim: Number of event dimensions of a value.
        unconstrained_shape: Shape on unconstrained space, None where there is no bijection.
        transform: The bijection, None where there is none or it depends on other values.
        plates: The plates around the site, outermost first.
        discrete: Whether the support is discrete.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    event_dim: int
    unconstrained_shape: tuple[int, ...] | None
    transform: Any
    plates: tuple[Plate, ...]
    discrete: bool


@dataclass(frozen=True)
class Observed:
    """An observed site: its name, class name, shape, event dimensions, plates and kind."""

    name: str
    distribution: str
    shape: tuple[int, ...]
    event_dim: int
    plates: tuple[Plate, ...]
    discrete: bool
    integer: bool
    problem: str


@dataclass(frozen=True)
class Inspection:
    """The sites of a model in the order in which it runs them.

    Args:
        latents: Latent sites.
        observed: Observed sites (factors left out).
        deterministics: Names of the deterministic sites with their shapes and plates.
        plates: All plates by name.
        parameters: Names of ``param`` and ``mutable`` sites.
        observe: ``arrays -> {name: value}``, the observed values.
    """

    latents: tuple[Latent, ...]
    observed: tuple[Observed, ...]
    deterministics: Mapping[str, tuple[tuple[int, ...], tuple[Plate, ...]]]
    plates: Mapping[str, Plate]
    parameters: tuple[str, ...]
    observe: Callable[[tuple[Any, ...]], dict[str, jax.Array]]

    @property
    def subsamples(self) -> bool:
        """Whether a plate shows only some of its rows."""
        return any(plate.size != plate.subsample_size for plate in self.plates.values())


def dims_of(site: Latent | Observed) -> tuple[str, ...]:
    """Names of the leading dimensions of a value, down to the last plate; outermost first."""
    batch_ndim = len(site.shape) - site.event_dim
    names = {batch_ndim + plate.dim: plate.name for plate in site.plates}
    return tuple(names.get(i, f"{site.name}_dim_{i}") for i in range(max(names, default=-1) + 1))
