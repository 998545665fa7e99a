"""What a model is made of: its latent and observed sites, plates and parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

__all__ = ["DeterministicSite", "Latent", "Observed", "Plate", "Sites", "name_dims"]


@dataclass(frozen=True)
class Plate:
    """A plate: its name, dimension counted from the right, full size and size in this run.

    A sequential plate (``for i in pyro.plate(...)``) has no dimension: None.
    """

    name: str
    dim: int | None
    size: int
    subsample_size: int

    @property
    def subsamples(self) -> bool:
        """Whether it shows only some of its rows."""
        return self.size != self.subsample_size


@dataclass(frozen=True)
class Latent:
    """A latent site.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its prior.
        shape: Shape of a value as Pyro lays it out, batch dimensions first.
        event_dim: Number of event dimensions of a value.
        unconstrained_shape: Shape on unconstrained space, None where there is no bijection.
        transform: The bijection, None where there is none.
        plates: The plates around the site, outermost first.
        discrete: Whether the support is discrete.
        support: The support in words, empty where the distribution has none.
        determined: Whether the distribution is a point, so that there is nothing to infer.
        circular: Whether the value is an angle, whose circle a bijection has to cut.
        enumerated: Whether the site is marked to be summed out.
        obstacle: Why it cannot be summed out although it is marked, empty if it can.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    event_dim: int
    unconstrained_shape: tuple[int, ...] | None
    transform: Any
    plates: tuple[Plate, ...]
    discrete: bool
    support: str
    determined: bool
    circular: bool
    enumerated: bool = False
    obstacle: str = ""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate."""
        return _name_leading(self.name, len(self.shape) - self.event_dim, self.plates)


@dataclass(frozen=True)
class Observed:
    """An observed site.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its distribution.
        shape: Shape of the data, expanded to the shape of the distribution.
        event_dim: Number of event dimensions of a datum.
        plates: The plates around the site, outermost first.
        discrete: Whether the support is discrete.
        problem: Why its data cannot be scored and what to do, empty if they can.
        log_prob_shape: Shape of its log density before it is summed.
        weighted: Whether its log density is scaled, by a handler or a minibatch.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    event_dim: int
    plates: tuple[Plate, ...]
    discrete: bool
    problem: str
    log_prob_shape: tuple[int, ...]
    weighted: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of the data, down to the last plate."""
        return _lay_out(self.name, self.shape, self.event_dim, self.plates)[0]

    @property
    def unpadded_shape(self) -> tuple[int, ...]:
        """Shape without the dimensions that only pad the data for broadcasting."""
        return _lay_out(self.name, self.shape, self.event_dim, self.plates)[1]

    @property
    def likelihood_shape(self) -> tuple[int, ...]:
        """Shape of the log likelihood, one number for each datum, without padding."""
        return _lay_out(self.name, self.log_prob_shape, 0, self.plates)[1]


@dataclass(frozen=True)
class DeterministicSite:
    """A deterministic site: its name, shape, plates and number of event dimensions."""

    name: str
    shape: tuple[int, ...]
    plates: tuple[Plate, ...]
    event_dim: int

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate."""
        return _name_leading(self.name, len(self.shape) - self.event_dim, self.plates)


@dataclass(frozen=True)
class Sites:
    """The sites of a model in the order in which it runs them.

    Args:
        latents: Latent sites.
        observed: Observed sites (factors left out).
        deterministics: Deterministic sites.
        plates: All plates.
        parameters: Names of ``param`` sites.
        enumerated: Discrete sites that are summed out.
        first_free_dim: The first dimension, counted from the right, that no site takes.
    """

    latents: tuple[Latent, ...]
    observed: tuple[Observed, ...]
    deterministics: tuple[DeterministicSite, ...]
    plates: tuple[Plate, ...]
    parameters: tuple[str, ...]
    enumerated: tuple[Latent, ...] = ()
    first_free_dim: int = -1

    @property
    def subsamples(self) -> bool:
        """Whether a plate shows only some of its rows."""
        return any(plate.subsamples for plate in self.plates)

    def refuse_minibatches(self, error: Exception) -> NoReturn:
        """Raise for a model that cannot be shown all rows of its plates."""
        drawn = [plate.name for plate in self.plates if plate.subsamples]
        raise ValueError(
            f"draws: the model cannot see all rows of the plates {drawn} ({error}); expected it "
            "to take all data and to pick its rows by the plate: with pyro.plate(...) as i, and "
            "obs=y[i]."
        ) from error

    @property
    def valued(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of what a draw carries: latent, then deterministic sites."""
        every = (*self.latents, *self.enumerated, *self.deterministics)
        return {site.name: site.shape for site in every}

    def follow_discrete(self) -> "Sites":
        """The same with no site summed out, for a guide that draws them all."""
        return replace(self, latents=(*self.latents, *self.enumerated), enumerated=())


def name_dims(sites: Sites) -> dict[str, tuple[str, ...]]:
    """Names of the leading dimensions of every site that has some, from its plates."""
    every = (*sites.latents, *sites.enumerated, *sites.observed, *sites.deterministics)
    return {site.name: site.dims for site in every if site.dims}


def _name_leading(name: str, batch_ndim: int, plates: tuple[Plate, ...]) -> tuple[str, ...]:
    # Values keep the dimensions that pad them: the host's Predictive hands them to the model.
    names = {batch_ndim + plate.dim: plate.name for plate in plates if plate.dim is not None}
    return tuple(names.get(i, f"{name}_dim_{i}") for i in range(max(names, default=-1) + 1))


def _lay_out(
    name: str, shape: tuple[int, ...], event_dim: int, plates: tuple[Plate, ...]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names the plate dimensions of data and drops those that only pad them for broadcasting."""
    num_batch = len(shape) - event_dim
    around = {plate.dim: plate.name for plate in plates}
    names: list[str | None] = []
    kept: list[int] = []
    for axis, size in enumerate(shape[:num_batch]):
        plate = around.get(axis - num_batch)
        if plate is not None or size != 1:
            names.append(plate)
            kept.append(size)
    while names and names[-1] is None:
        names.pop()
    dims = tuple(f"{name}_dim_{k}" if plate is None else plate for k, plate in enumerate(names))
    return dims, (*kept, *shape[num_batch:])
