"""A Pyro model and its data as a log density on unconstrained space."""

from collections.abc import Callable

import numpy as np
import torch

from ppl_ext.density import Density
from ppl_ext.pyro.tracing.batching import batch_size, in_batches, model_scope, over_draws
from ppl_ext.pyro.tracing.bound_model import Program, read_program
from ppl_ext.pyro.tracing.explanation import explain_point
from ppl_ext.pyro.tracing.isolation import own_random_state

__all__ = ["density_of", "trace_density"]


def trace_density(model: Callable, *args: object, **kwargs: object) -> Density:
    r"""Turn a model and its data into a batched log density on unconstrained space.

    .. math:: \log p(z) = \log p(f(z), \text{data}) + \log |\det f'(z)|

    where :math:`f` is the bijection from unconstrained space to the supports of the latent sites.
    Not for models with discrete latent sites, subsampling plates or learnable parameters.

    The model runs in its own precision. Draws are evaluated together (``torch.func.vmap``);
    a model that cannot be vectorised, for example because it branches on a sampled value, is
    called draw by draw, and ``batched`` of the result is False.

    Args:
        model: A Pyro model.
        *args: Arguments of the model, the data among them.
        **kwargs: Keyword arguments of the model.

    Returns:
        The density; it takes and returns NumPy arrays in float64.

    Raises:
        ValueError: If the model has no latent site, or one that is discrete or whose support is
            unknown; if it subsamples, has an empty plate or learnable parameters; if it draws
            random numbers beside its sites; if its data are not finite, or integers under a
            continuous distribution.

    Example:
        >>> import numpy as np, pyro, pyro.distributions as dist
        >>> def model():
        ...     pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        >>> density = trace_density(model)
        >>> log_p, gradient = density.log_density(np.array([[0.0], [1.0]]))
        >>> log_p.round(4).tolist(), gradient.tolist()
        ([-0.9189, -1.4189], [[0.0], [-1.0]])
        >>> density.constrain(np.zeros((1, 1)))["scale"].tolist()
        [1.0]

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic differentiation variational
        inference, arXiv:1603.00788.
    """
    return density_of(read_program(model, *args, **kwargs))


def density_of(program: Program) -> Density:
    """The density of a model that has been read already."""
    _check_repeatable(program)
    batched = _can_be_vectorised(program)
    size = batch_size(max(program.layout.work, program.dim)) if batched else 1
    shapes = program.layout.shapes

    def log_p_at(z: torch.Tensor) -> torch.Tensor:
        return program.visit(z).log_p

    vectorised = torch.func.vmap(log_p_at, randomness="same")

    def value_and_gradient(z: torch.Tensor) -> dict[str, torch.Tensor]:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            # Vectorising one draw costs more than it saves.
            log_p = vectorised(z) if len(z) > 1 else log_p_at(z[0])[None]
            if not log_p.requires_grad:
                return {"log_p": log_p, "gradient": torch.zeros_like(z)}
            # A draw does not see the others, so the gradient of the sum is that of each.
            (gradient,) = torch.autograd.grad(log_p.sum(), z)
        return {"log_p": log_p.detach(), "gradient": gradient}

    def log_density(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair = {"log_p": (), "gradient": (program.dim,)}
        out = in_batches(value_and_gradient, program.points(z), pair, size)
        return out["log_p"], out["gradient"]

    def log_p(z: np.ndarray) -> np.ndarray:
        def named(z: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"log_p": log_p_at(z)}

        return over_draws(named, program.points(z), {"log_p": ()}, size)["log_p"]

    def constrain(z: np.ndarray) -> dict[str, np.ndarray]:
        def values(z: torch.Tensor) -> dict[str, torch.Tensor]:
            sites = program.visit(z).sites
            return {name: sites[name]["value"].reshape(shape) for name, shape in shapes.items()}

        return over_draws(values, program.points(z), shapes, size)

    def explain(z: np.ndarray) -> str:
        return explain_point(program, log_density, z)

    return Density(
        dim=program.dim,
        sites=program.sites,
        log_density=log_density,
        log_p=log_p,
        constrain=constrain,
        explain=explain,
        dtype=np.dtype(str(program.dtype).removeprefix("torch.")),
        batched=batched,
    )


def _test_points(program: Program) -> torch.Tensor:
    """Three points near the origin, shape [3, dim]."""
    spread = torch.linspace(-1.0, 1.0, 3 * program.dim, dtype=program.dtype)
    return spread.view(program.dim, 3).T.contiguous().to(program.device)


def _alone(program: Program, seed: int = 0) -> torch.Tensor:
    """Log density at the test points by plain calls; NaN where the model raises."""
    with own_random_state(seed):
        function = lambda z: {"log_p": program.visit(z).log_p}  # noqa: E731
        return torch.as_tensor(
            over_draws(function, _test_points(program), {"log_p": ()}, 1)["log_p"]
        )


def _check_repeatable(program: Program) -> None:
    """Refuses a model that draws random numbers outside the sites that the density sees."""
    first, second = _alone(program, seed=0), _alone(program, seed=1)
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ValueError(
            "trace_density: two runs of the model at the same point gave different log densities "
            f"({first.tolist()} and {second.tolist()}), where the same are expected. "
            "Random numbers must come from pyro.sample, and no sampled site may be hidden by "
            "poutine.block(model, hide=...)."
        )


def _can_be_vectorised(program: Program) -> bool:
    """Whether ``vmap`` runs through the model and gives the same values as plain calls."""
    alone = _alone(program)
    finite = alone.isfinite()
    if not finite.any():
        return True
    vectorised = torch.func.vmap(lambda z: program.visit(z).log_p, randomness="same")
    with model_scope(), own_random_state(0), torch.no_grad():
        try:
            together = vectorised(_test_points(program)[finite])
        except RuntimeError:
            # The plain calls at the same points went through, so it is vmap that cannot.
            return False
    return torch.allclose(together.double().cpu(), alone[finite], rtol=1e-3, atol=1e-3)
