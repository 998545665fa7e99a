"""What a model is made of: its latent and observed sites, plates and parameters."""

from dataclasses import dataclass
from typing import Any

__all__ = [
    "DeterministicSite",
    "Enumerated",
    "Latent",
    "Observed",
    "Plate",
    "Sites",
    "name_dims",
]


@dataclass(frozen=True)
class Plate:
    """A plate: its name, dimension counted from the right, full size and size in this run."""

    name: str
    dim: int
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
        shape: Shape of a value.
        event_dim: Number of event dimensions of a value.
        unconstrained_shape: Shape on unconstrained space, None where there is no bijection.
        transform: The bijection, None where there is none or it depends on other values.
        plates: The plates around the site, outermost first.
        discrete: Whether the support is discrete.
        determined: Whether the distribution is a point, so that there is nothing to infer.
        circular: Whether the support is a circle, which a bijection has to cut.
        assigned: Whether its support hangs on sites that are summed out.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    event_dim: int
    unconstrained_shape: tuple[int, ...] | None
    transform: Any
    plates: tuple[Plate, ...]
    discrete: bool
    determined: bool
    circular: bool
    assigned: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate."""
        return _name_leading(self.name, len(self.shape) - self.event_dim, self.plates)


@dataclass(frozen=True)
class Enumerated:
    """A discrete latent site that the model marks to be summed out.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its prior.
        shape: Shape of a value.
        plates: The plates around the site, outermost first.
        size: How many values there are to sum over.
        scanned: Whether it stands inside the host's ``scan``, time first.
        problem: Why it cannot be summed out, empty if it can.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    plates: tuple[Plate, ...]
    size: int
    scanned: bool
    problem: str

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate."""
        return _name_leading(self.name, len(self.shape), self.plates)


@dataclass(frozen=True)
class Observed:
    """An observed site.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its distribution.
        shape: Shape of the data.
        expected_shape: Shape that its distribution and plates give.
        event_dim: Number of event dimensions of a value.
        plates: The plates around the site, outermost first.
        discrete: Whether the support is discrete.
        problem: Why integer data cannot be scored, empty if they can.
    """

    name: str
    distribution: str
    shape: tuple[int, ...]
    expected_shape: tuple[int, ...]
    event_dim: int
    plates: tuple[Plate, ...]
    discrete: bool
    problem: str

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate."""
        return _name_leading(self.name, len(self.shape) - self.event_dim, self.plates)

    @property
    def fits(self) -> bool:
        """Whether the data have the shape that they are to have.

        Outside of plates a distribution may be shared by more data than it has values; no datum
        may be scored twice, as the hosts do where the shapes happen to broadcast.
        """
        if self.plates or len(self.shape) < len(self.expected_shape):
            return self.shape == self.expected_shape
        given = self.shape[len(self.shape) - len(self.expected_shape) :]
        batch_ndim = len(self.expected_shape) - self.event_dim
        shared = [
            wanted in (1, size)
            for wanted, size in zip(self.expected_shape[:batch_ndim], given, strict=False)
        ]
        return all(shared) and given[batch_ndim:] == self.expected_shape[batch_ndim:]

    @property
    def misfit(self) -> str:
        """What is wrong with the shape of data that do not fit, and the line that mends it."""
        plates = ", ".join(
            f"'{plate.name}' of size {plate.subsample_size}" for plate in self.plates
        )
        gives = f"its distribution ({self.distribution})"
        if plates:
            gives += f" and the plates {plates}" if "," in plates else f" and the plate {plates}"
        name, verb = self.name, "give" if plates else "gives"
        ones = [axis - len(self.shape) for axis, size in enumerate(self.shape) if size == 1]
        cure = f"Give '{name}' that shape"
        if not self.shape:
            cure = f"Repeat it if that is meant: obs=jnp.full({self.expected_shape}, {name})"
        elif ones and len(self.shape) > len(self.expected_shape) - self.event_dim:
            cure = f"Take the axis away: obs={name}.squeeze({ones[-1]})"
        return (
            f"observed site '{name}' has shape {self.shape}; expected {self.expected_shape}, "
            f"which {gives} {verb}. {cure}, or, where one datum has several values, make them one "
            f"event: {self.distribution}(...).to_event(1)."
        )


@dataclass(frozen=True)
class DeterministicSite:
    """A deterministic site: name, shape, plates, and whether it hangs on enumerated sites."""

    name: str
    shape: tuple[int, ...]
    plates: tuple[Plate, ...]
    assigned: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the leading dimensions of a value, down to the last plate.

        The site does not say how many of its dimensions belong to an event.
        """
        for event_dim in range(len(self.shape)):
            batch_ndim = len(self.shape) - event_dim
            axes = {batch_ndim + plate.dim: plate.size for plate in self.plates}
            if all(axis >= 0 and self.shape[axis] == size for axis, size in axes.items()):
                return _name_leading(self.name, batch_ndim, self.plates)
        return ()


@dataclass(frozen=True)
class Sites:
    """The sites of a model in the order in which it runs them.

    Args:
        latents: Latent sites.
        observed: Observed sites (factors left out).
        deterministics: Deterministic sites.
        plates: The plates around latent and observed sites.
        parameters: Names of ``param`` and ``mutable`` sites.
        hidden: What the model draws where no handler sees it.
        enumerated: Discrete latent sites that are summed out, and no part of ``latents``.
        loose: ``(name, batch shape, whether in a plate)`` of sites with batch dimensions that no
            plate holds, factors among them, where sites are enumerated.
        batch_ndim: The most batch dimensions that a sample site has.
    """

    latents: tuple[Latent, ...]
    observed: tuple[Observed, ...]
    deterministics: tuple[DeterministicSite, ...]
    plates: tuple[Plate, ...]
    parameters: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    enumerated: tuple[Enumerated, ...] = ()
    loose: tuple[tuple[str, tuple[int, ...], bool], ...] = ()
    batch_ndim: int = 0

    @property
    def subsamples(self) -> bool:
        """Whether a plate shows only some of its rows."""
        return any(plate.subsamples for plate in self.plates)

    @property
    def valued(self) -> tuple[str, ...]:
        """Names of the sites whose values a draw carries: latent, then deterministic ones."""
        every = (*self.latents, *self.enumerated, *self.deterministics)
        return tuple(site.name for site in every)

    @property
    def assigned(self) -> tuple[str, ...]:
        """Names of the sites that have a value only once the enumerated ones are drawn."""
        hanging = (site for site in self.deterministics if site.assigned)
        return tuple(site.name for site in (*self.enumerated, *hanging))


def name_dims(sites: Sites) -> dict[str, tuple[str, ...]]:
    """Names of the leading dimensions of every site that has some, from its plates."""
    every = (*sites.latents, *sites.enumerated, *sites.observed, *sites.deterministics)
    return {site.name: site.dims for site in every if site.dims}


def _name_leading(name: str, batch_ndim: int, plates: tuple[Plate, ...]) -> tuple[str, ...]:
    names = {batch_ndim + plate.dim: plate.name for plate in plates}
    return tuple(names.get(i, f"{name}_dim_{i}") for i in range(max(names, default=-1) + 1))
