"""The stick-the-landing gradient of the evidence lower bound."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.lax import stop_gradient
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import Transform
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.elbo import ELBO
from numpyro.infer.util import compute_log_probs
from numpyro.util import check_model_guide_match

from ppl_ext.estimators.mismatch import warn_of
from ppl_ext.numpyro.flows import FlowDistribution
from ppl_ext.numpyro.objectives.mismatch import find_mismatches

__all__ = ["StickTheLanding", "average_particles"]


class StickTheLanding(ELBO):
    r"""Evidence lower bound whose gradient leaves out the score of the guide.

    .. math:: \nabla_\phi \, [\log p(z_\phi) - \log q_{\bar\phi}(z_\phi)],
        \quad z_\phi = T_\phi(\epsilon), \ \bar\phi \text{ held fixed}

    The value is that of ``Trace_ELBO`` draw by draw, and so is the expectation of the gradient;
    but the gradient of every single draw goes to zero as the guide reaches the posterior, where
    that of ``Trace_ELBO`` keeps its noise. Not for guides with sites that cannot be
    reparameterised, and of little use where the guide is far from the posterior's family.

    Args:
        num_particles: Draws of each estimate.
        vectorize_particles: Whether the draws run in one ``vmap`` (the default) or in turn; or
            a mapping function of your own, as in the host.

    Raises:
        ValueError: At the first step, a guide site has no reparameterised sampler, or a transform
            with parameters has no inverse.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> def model():
        ...     numpyro.sample("x", dist.Normal(1.0, 2.0))
        >>> def guide():
        ...     numpyro.sample("x", dist.Normal(numpyro.param("m", 0.0), numpyro.param("s", 1.0)))
        >>> loss = lambda params: StickTheLanding().loss(jax.random.key(0), params, model, guide)
        >>> gradient = jax.grad(loss)({"m": 1.0, "s": 2.0})
        >>> abs(float(gradient["m"])), abs(float(gradient["s"]))
        (0.0, 0.0)

    References:
        Roeder, Wu, Duvenaud (2017), Sticking the Landing, NeurIPS, arXiv:1703.09194.
    """

    def __init__(
        self, num_particles: int = 1, vectorize_particles: bool | Callable[..., Any] = True
    ) -> None:
        super().__init__(num_particles, vectorize_particles)

    def loss_with_mutable_state(
        self,
        rng_key: jax.Array,
        param_map: Mapping[str, jax.Array],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The negative bound and the values of ``mutable`` sites; called by the host's ``SVI``.

        Args:
            rng_key: Random key.
            param_map: Parameters of model and guide.
            model: NumPyro model.
            guide: NumPyro guide.
            *args: Positional arguments of both.
            **kwargs: Keyword arguments of both.
        """

        def one_draw(rng_key):
            return _one_draw(rng_key, dict(param_map), model, guide, args, kwargs)

        return average_particles(self, one_draw, rng_key)


def average_particles(
    elbo: ELBO,
    estimate: Callable[[jax.Array], tuple[jax.Array, dict[str, Any]]],
    rng_key: jax.Array,
) -> dict[str, Any]:
    """Average the estimates of a bound over its particles, as the host's ``SVI`` wants the loss.

    Args:
        elbo: The bound, which says how many particles there are and how they run.
        estimate: From a random key to an estimate and the values of ``mutable`` sites.
        rng_key: Random key.

    Returns:
        The loss and the values of ``mutable`` sites, None where there are none.
    """
    if elbo.num_particles == 1:
        value, mutable = estimate(rng_key)
    else:
        keys = jax.random.split(rng_key, elbo.num_particles)
        values, mutable = elbo.vectorize_particles_fn(estimate, keys)
        # One state has to be carried on, and each particle made one.
        value, mutable = jnp.mean(values), jax.tree.map(lambda leaf: leaf[0], mutable)
    return {"loss": -value, "mutable_state": mutable or None}


def _one_draw(rng_key, params, model, guide, args, kwargs):
    model_key, guide_key = jax.random.split(rng_key)
    guide_trace = trace(substitute(seed(guide, guide_key), params)).get_trace(*args, **kwargs)
    params.update(_mutables(guide_trace))
    log_p, model_trace = compute_log_probs(
        replay(seed(model, model_key), guide_trace), args, kwargs, params
    )
    check_model_guide_match(model_trace, guide_trace)
    warn_of("StickTheLanding", find_mismatches(guide_trace, model_trace))

    # The same run of the guide again, its parameters held fixed. A Delta site repeats a value
    # that another site has drawn: compared with itself it must not differ by a rounding error.
    drawn = {name: site for name, site in guide_trace.items() if not _is_delta(site)}
    fixed = {name: stop_gradient(value) for name, value in params.items()}
    again = trace(substitute(replay(seed(guide, guide_key), drawn), data=fixed)).get_trace(
        *args, **kwargs
    )
    log_q = sum(
        (
            _log_prob(name, site, guide_trace[name])
            for name, site in again.items()
            if site["type"] == "sample"
        ),
        start=jnp.zeros(()),
    )
    return sum(log_p.values(), start=jnp.zeros(())) - log_q, _mutables(
        {**guide_trace, **model_trace}
    )


def _mutables(run):
    return {name: site["value"] for name, site in run.items() if site["type"] == "mutable"}


def _is_delta(site) -> bool:
    fn = site.get("fn")
    while isinstance(fn, (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def _log_prob(name, site, drawn):
    """Log density of a site under fixed parameters, at the value that was drawn with free ones."""
    fn = site["fn"]
    if not (site["is_observed"] or fn.has_rsample):
        raise ValueError(
            f"StickTheLanding: guide site '{name}' ({type(fn).__name__}) has no reparameterised "
            "sampler; expected one at every latent site of the guide. For discrete sites "
            "use px.DiscreteELBO(px.estimators.LeaveOneOut(4)), in fit as "
            "optimizer=px.Stochastic(elbo=...); else the host's numpyro.infer.TraceGraph_ELBO()."
        )
    # What the sampler passed through on its way to the value carries the same gradient as the
    # value, and needs no inverse, as long as the transforms have no parameters of their own.
    intermediates = None if _has_parameters(fn) else drawn["intermediates"]
    try:
        if intermediates:
            log_prob = fn.log_prob(drawn["value"], intermediates)
        else:
            log_prob = fn.log_prob(site["value"])
    except NotImplementedError as error:
        raise ValueError(
            f"StickTheLanding: guide site '{name}' ({type(fn).__name__}) has a transform without "
            "an inverse; expected one that can be inverted. Use the host's "
            "numpyro.infer.Trace_ELBO() for this guide."
        ) from error
    scale = site["scale"]
    return jnp.sum(log_prob if scale is None else scale * log_prob)


def _has_parameters(fn) -> bool:
    """Whether a transform on the way to the value can depend on parameters."""
    while isinstance(fn, (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)):
        fn = fn.base_dist
    if isinstance(fn, FlowDistribution):
        return True
    return any(not _is_fixed(transform) for transform in getattr(fn, "transforms", []))


def _is_fixed(transform: Transform) -> bool:
    for value in vars(transform).values():
        inner = value if isinstance(value, (list, tuple)) else [value]
        for part in inner:
            if isinstance(part, Transform):
                if not _is_fixed(part):
                    return False
            # A flow keeps its parameters in the closure of a network, out of sight of JAX.
            elif isinstance(part, jax.core.Tracer) or (
                callable(part) and not isinstance(part, Constraint)
            ):
                return False
    return True
