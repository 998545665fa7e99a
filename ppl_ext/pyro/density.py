"""A Pyro model and its data as a log density on unconstrained space."""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch

from ppl_ext.density import Density
from ppl_ext.pyro.explanation import explain_point
from ppl_ext.pyro.isolation import own_random_state, unvalidated
from ppl_ext.pyro.program import Program, read_program
from ppl_ext.pyro.visit import ChangedSitesError

__all__ = ["density_of", "over_draws", "trace_density"]

# Floats that a batch of draws may hold at the sites of the model; autograd keeps some ten times
# as many, and far larger batches leave the processor's cache.
_BATCH_FLOATS = 1_000_000
_BATCH_DRAWS = 1024


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
    recorded = {
        name: shape for name, shape in program.shapes.items() if name not in program.observed
    }

    def log_p_at(z: torch.Tensor) -> torch.Tensor:
        return program.visit(z).log_p

    def value_and_gradient(z: torch.Tensor) -> dict[str, torch.Tensor]:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            # Vectorising one draw costs more than it saves.
            log_p = torch.func.vmap(log_p_at)(z) if len(z) > 1 else log_p_at(z[0])[None]
            if not log_p.requires_grad:
                return {"log_p": log_p, "gradient": torch.zeros_like(z)}
            # A draw does not see the others, so the gradient of the sum is that of each.
            (gradient,) = torch.autograd.grad(log_p.sum(), z)
        return {"log_p": log_p.detach(), "gradient": gradient}

    def log_density(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes = {"log_p": (), "gradient": (program.dim,)}
        out = _in_chunks(program, value_and_gradient, z, shapes, batched)
        return out["log_p"], out["gradient"]

    def log_p(z: np.ndarray) -> np.ndarray:
        return over_draws(program, lambda z: {"log_p": log_p_at(z)}, z, {"log_p": ()}, batched)[
            "log_p"
        ]

    def constrain(z: np.ndarray) -> dict[str, np.ndarray]:
        def values(z: torch.Tensor) -> dict[str, torch.Tensor]:
            sites = program.visit(z).sites
            return {name: sites[name]["value"].reshape(recorded[name]) for name in recorded}

        return over_draws(program, values, z, recorded, batched)

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


def over_draws(
    program: Program,
    function: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    z: np.ndarray,
    shapes: Mapping[str, tuple[int, ...]],
    batched: bool,
    randomness: str = "error",
) -> dict[str, np.ndarray]:
    """Evaluates a function of one point at every draw, without gradients.

    Args:
        program: The model.
        function: ``z[dim] -> {name: value}``.
        z: Points, shape [draw, dim].
        shapes: Shape of each value.
        batched: Whether to vectorise.
        randomness: ``"different"`` where the function draws random numbers.

    Returns:
        For each name the values, shape [draw, ...]; NaN for a draw at which the model raised.
    """
    vectorised = torch.func.vmap(function, randomness=randomness)

    def evaluate(z: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            if len(z) > 1:
                return vectorised(z)
            return {name: value[None] for name, value in function(z[0]).items()}

    return _in_chunks(program, evaluate, z, shapes, batched)


def _in_chunks(
    program: Program,
    function: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    z: np.ndarray,
    shapes: Mapping[str, tuple[int, ...]],
    batched: bool,
) -> dict[str, np.ndarray]:
    z = np.asarray(z, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] != program.dim:
        raise ValueError(
            f"trace_density: the density was called with an array of shape {z.shape}, where "
            f"[draw, {program.dim}] is expected. Give one draw as z[None, :]."
        )
    size = 1
    if batched:
        size = min(_BATCH_DRAWS, max(1, _BATCH_FLOATS // max(program.work, program.dim)))
    points = torch.as_tensor(z, dtype=program.dtype, device=program.device)
    with unvalidated(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        parts = [
            part for chunk in points.split(size) for part in _around_failures(function, chunk)
        ]
    joined = {}
    for name, shape in shapes.items():
        missing = torch.full((1, *shape), torch.nan, device=program.device)
        value = torch.cat([missing if part is None else part[name] for part in parts])
        joined[name] = (value.double() if value.is_floating_point() else value).cpu().numpy()
    return joined


def _around_failures(function: Callable, z: torch.Tensor) -> list[dict[str, torch.Tensor] | None]:
    """Halves a batch in which the model raises until the draw that does it stands alone: None."""
    try:
        return [function(z)]
    except ChangedSitesError:
        raise
    except (torch.linalg.LinAlgError, ValueError):
        if len(z) == 1:
            return [None]
    halves = z.split((len(z) + 1) // 2)
    return [part for half in halves for part in _around_failures(function, half)]


def _test_points(program: Program) -> torch.Tensor:
    """Three points near the origin, shape [3, dim]."""
    spread = torch.linspace(-1.0, 1.0, 3 * program.dim, dtype=program.dtype)
    return spread.view(program.dim, 3).T.contiguous().to(program.device)


def _check_repeatable(program: Program) -> None:
    """Refuses a model that draws random numbers outside the sites that the density sees."""
    values = []
    for seed in range(2):
        with unvalidated(), own_random_state(seed), torch.no_grad():
            parts = [
                part
                for z in _test_points(program)
                for part in _around_failures(lambda z: {"": program.visit(z[0]).log_p}, z[None])
            ]
        values.append(
            torch.stack([torch.tensor(torch.nan) if p is None else p[""] for p in parts])
        )
    if not torch.equal(*(value.nan_to_num() for value in values)):
        raise ValueError(
            "trace_density: two runs of the model at the same point gave different log densities "
            f"({values[0].tolist()} and {values[1].tolist()}), where the same are expected. "
            "Random numbers must come from pyro.sample, and no sampled site may be hidden by "
            "poutine.block(model, hide=...)."
        )


def _can_be_vectorised(program: Program) -> bool:
    """Whether ``vmap`` runs through the model and gives the same values as plain calls."""
    z = _test_points(program)
    with unvalidated(), own_random_state(0), torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        alone = [_around_failures(lambda z: {"": program.visit(z[0]).log_p}, p[None]) for p in z]
        kept = [k for k, (part,) in enumerate(alone) if part is not None]
        if not kept:
            return True
        try:
            together = torch.func.vmap(lambda z: program.visit(z).log_p)(z[kept])
        except RuntimeError:
            # The plain calls at the same points went through, so it is vmap that cannot.
            return False
    expected = torch.stack([alone[k][0][""] for k in kept])
    return torch.allclose(together, expected, rtol=1e-3, atol=1e-3, equal_nan=True)
