"""A Pyro model and its data as a log density on unconstrained space."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ppl_ext.density import Density
from ppl_ext.pyro.tracing.batched_density import Tensors, batch_size, in_batches, over_draws
from ppl_ext.pyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.pyro.tracing.explanation import explain_point
from ppl_ext.pyro.tracing.hidden_draws import find_hidden_draws
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.tracing.refusals import (
    refuse_data,
    refuse_enumerated,
    refuse_latents,
    refuse_parameters,
    refuse_subsampling,
)
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["density_of", "trace_density"]


@in_turn
def trace_density(model: Callable, *args: object, **kwargs: object) -> Density:
    r"""Turn a model and its data into a batched log density on unconstrained space.

    .. math:: \log p(z) = \log p(f(z), \text{data}) + \log |\det f'(z)|

    where :math:`f` is the bijection from unconstrained space to the supports of the latent sites.
    Discrete sites that are marked, ``infer={"enumerate": "parallel"}``, are summed out. Not for
    models with other discrete latent sites, subsampling plates or learnable parameters. Where an
    argument lies outside of its bounds, as a negative rate, the density is zero, also where the
    host's formula is finite.

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
    bound = bind_model("trace_density", model, args, kwargs)
    refuse_latents(bound)
    refuse_enumerated(bound)
    refuse_subsampling(bound, "Or keep it: fit(model, ..., optimizer=Stochastic()).")
    refuse_parameters(bound)
    refuse_data(bound)
    return density_of(bound)


def density_of(bound: BoundModel, *, batched: bool | None = None) -> Density:
    """The density of a bound model that has one; no checks where ``batched`` is known of it.

    Raises:
        ValueError: The model draws random numbers beside its sites.
    """
    if batched is None:
        with bound.in_force():
            alone = _evaluate_alone(bound, seed=0)
            _refuse_own_randomness(bound, alone)
            batched = _can_be_vectorised(bound, alone)
    size = batch_size(max(bound.num_floats, bound.dim)) if batched else 1
    shapes = bound.settled

    def log_p_at(z: torch.Tensor) -> torch.Tensor:
        return bound.visit(z).log_p

    vectorised = torch.func.vmap(log_p_at, randomness="same")

    def value_and_gradient(z: torch.Tensor) -> dict[str, torch.Tensor]:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            # Vectorising one draw costs more than it saves.
            log_p = vectorised(z) if len(z) > 1 else log_p_at(z[0])[None]
            if not log_p.requires_grad:
                return {"log_p": log_p, "gradient": torch.zeros_like(z)}
            # A draw does not see the others, so the gradient of the sum is that of each.
            (gradient,) = torch.autograd.grad(
                log_p.sum(), z, allow_unused=True, materialize_grads=True
            )
        return {"log_p": log_p.detach(), "gradient": gradient}

    def held(function: Callable) -> Callable:
        @in_turn
        def run(z: np.ndarray) -> Any:
            with bound.in_force():
                return function(z)

        return run

    @held
    def log_density(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair = {"log_p": (), "gradient": (bound.dim,)}
        out = in_batches(value_and_gradient, bound.points(z), pair, size)
        return out["log_p"], out["gradient"]

    @held
    def log_p(z: np.ndarray) -> np.ndarray:
        points = bound.points(z)
        return over_draws(lambda z: {"log_p": log_p_at(z)}, points, {"log_p": ()}, size)["log_p"]

    @held
    def values_and_log_p(z: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        def scored(z: torch.Tensor) -> Tensors:
            visit = bound.visit(z)
            values = {name: visit.sites[name]["value"].reshape(shapes[name]) for name in shapes}
            return {None: visit.log_p, **values}  # a site may have any name

        out = over_draws(scored, bound.points(z), {None: (), **shapes}, size)
        return {name: out[name] for name in shapes}, out[None]

    @held
    def explain(z: np.ndarray) -> str:
        return explain_point(bound, log_density, z)

    return Density(
        dim=bound.dim,
        sites=bound.coordinates,
        log_density=log_density,
        log_p=log_p,
        constrain=lambda z: values_and_log_p(z)[0],
        explain=explain,
        dtype=np.dtype(str(bound.dtype).removeprefix("torch.")),
        batched=batched,
        values_and_log_p=values_and_log_p,
    )


def _test_points(bound: BoundModel) -> torch.Tensor:
    """Three points near the origin, shape [3, dim]."""
    spread = torch.linspace(-1.0, 1.0, 3 * bound.dim, dtype=bound.dtype)
    return spread.view(bound.dim, 3).T.contiguous().to(bound.device)


def _evaluate_alone(bound: BoundModel, seed: int) -> torch.Tensor:
    """Log density at the test points by plain calls; NaN where the model raises."""
    with own_random_state(seed):
        function = lambda z: {"log_p": bound.visit(z).log_p}  # noqa: E731
        return torch.as_tensor(
            over_draws(function, _test_points(bound), {"log_p": ()}, 1)["log_p"]
        )


def _refuse_own_randomness(bound: BoundModel, first: torch.Tensor) -> None:
    """Refuses a model that draws random numbers outside the sites that the density sees."""
    with model_scope(), own_random_state(0), torch.no_grad():
        # At the last point that the model gets through.
        through = [
            z for z, value in zip(_test_points(bound), first, strict=True) if value.isfinite()
        ]
        hidden = find_hidden_draws(lambda: bound.visit(through[-1])) if through else []
    if hidden:
        raise ValueError(
            f"{bound.caller}: the model draws {', '.join(hidden)} beside its sample statements; "
            "expected every draw at a site that the fit sees. Draw it with pyro.sample(name, "
            "...) and no poutine.block around it, or pass the numbers in as an argument of the "
            "model."
        )
    second = _evaluate_alone(bound, seed=1)
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ValueError(
            f"{bound.caller}: two runs of the model at the same point gave different log "
            f"densities ({first.tolist()} and {second.tolist()}), where the same are expected. "
            "Draw random numbers with pyro.sample(name, ...), or pass them in as an argument of "
            "the model; nothing that the model reads may change from run to run."
        )


def _can_be_vectorised(bound: BoundModel, alone: torch.Tensor) -> bool:
    """Whether ``vmap`` runs through the model and gives the same values as plain calls."""
    finite = alone.isfinite()
    if not finite.any():
        return True
    vectorised = torch.func.vmap(lambda z: bound.visit(z).log_p, randomness="same")
    with model_scope(), own_random_state(0), torch.no_grad():
        try:
            together = vectorised(_test_points(bound)[finite])
        except RuntimeError:
            # The plain calls at the same points went through, so it is vmap that cannot.
            return False
    return torch.allclose(together.double().cpu(), alone[finite], rtol=1e-3, atol=1e-3)
