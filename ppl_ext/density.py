"""A model and its data as a log density on unconstrained space: what a room hands to the hall."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Density", "ParametricDensity", "Site"]


@dataclass(frozen=True)
class Site:
    """One latent site of a model and the slice of unconstrained space that belongs to it.

    Args:
        name: The name in the model's ``sample`` statement.
        shape: Shape of one constrained value, plate dimensions first.
        start: First coordinate of the site in the flat unconstrained vector.
        stop: One past its last coordinate.
        dims: Names of the leading (plate) dimensions of ``shape``, outermost first.

    Example:
        >>> Site("theta", shape=(8,), start=2, stop=10, dims=("school",)).size
        8
    """

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int
    dims: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of unconstrained coordinates (a simplex of K entries has K - 1)."""
        return self.stop - self.start


@dataclass(frozen=True)
class Density:
    """The joint log density of a model, its data fixed, on unconstrained space.

    All callables take and return NumPy arrays; the density itself runs in the precision of the
    user's model. Values that are not finite are returned, not raised: the solvers step back from
    them, and ``explain`` says where they come from.

    Args:
        dim: Number of unconstrained coordinates.
        sites: The latent sites in the order of the model.
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])`` in float64; the
            log-Jacobian of the constraining bijections is included.
        log_p: ``z[draw, dim] -> log_p[draw]``, the same value without its gradient.
        constrain: ``z[draw, dim] -> {name: values[draw, ...]}``, latent and deterministic sites.
        explain: ``z[dim] -> sentence`` that names the sites whose log density is not finite
            there, empty if there is none.
        dtype: Floating-point type in which the model runs.
        batched: False where the model could not be vectorised and is called draw by draw.
        values_and_log_p: ``constrain`` and ``log_p`` of the same draws in one run of the model,
            where that is cheaper than two; None where it is not.

    Example:
        >>> standard_normal = Density(
        ...     dim=2,
        ...     sites=(Site("x", shape=(2,), start=0, stop=2),),
        ...     log_density=lambda z: (-0.5 * (z**2).sum(-1), -z),
        ...     log_p=lambda z: -0.5 * (z**2).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> log_p, gradient = standard_normal.log_density(np.ones((1, 2)))
        >>> float(log_p[0]), gradient[0].tolist()
        (-1.0, [-1.0, -1.0])
    """

    dim: int
    sites: tuple[Site, ...]
    log_density: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    log_p: Callable[[np.ndarray], np.ndarray]
    constrain: Callable[[np.ndarray], Mapping[str, np.ndarray]]
    explain: Callable[[np.ndarray], str]
    dtype: np.dtype = np.dtype(np.float64)
    batched: bool = True
    values_and_log_p: (
        Callable[[np.ndarray], tuple[Mapping[str, np.ndarray], np.ndarray]] | None
    ) = None

    def evaluate(self, z: np.ndarray) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
        """The constrained values of draws and their log density.

        Args:
            z: Draws on unconstrained space, ``[draw, dim]``.

        Returns:
            ``{name: values[draw, ...]}`` and ``[draw]``.
        """
        if self.values_and_log_p is not None:
            return self.values_and_log_p(z)
        return self.constrain(z), self.log_p(z)


@dataclass(frozen=True)
class ParametricDensity:
    """The joint log density of a model with parameters, its data fixed.

    Parameters have no prior and no spread: a fit chooses one value for each. They lie in one flat
    vector ``theta``, in the coordinates in which the host optimises them, where every value is
    allowed.

    Args:
        parameters: The parameters and their slices of ``theta``.
        start: ``[parameter]``, the values that the model gives them.
        at: ``theta[parameter] -> Density``, the density with its parameters held there.
        gradient: ``(z[draw, dim], theta[parameter]) -> [parameter]``, the mean over the draws of
            the gradient of log p in the parameters, float64.

    Example:
        >>> def at(theta):
        ...     return Density(
        ...         dim=1,
        ...         sites=(Site("x", (1,), 0, 1),),
        ...         log_density=lambda z: (-0.5 * ((z - theta) ** 2).sum(-1), theta - z),
        ...         log_p=lambda z: -0.5 * ((z - theta) ** 2).sum(-1),
        ...         constrain=lambda z: {"x": z},
        ...         explain=lambda z: "",
        ...     )
        >>> shifted = ParametricDensity(
        ...     parameters=(Site("mean", (1,), 0, 1),),
        ...     start=np.zeros(1),
        ...     at=at,
        ...     gradient=lambda z, theta: (z - theta).mean(0),
        ... )
        >>> shifted.gradient(np.array([[1.0], [3.0]]), shifted.start).tolist()
        [2.0]
    """

    parameters: tuple[Site, ...]
    start: np.ndarray
    at: Callable[[np.ndarray], Density]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
