"""The evidence lower bound of guides with discrete sites, its gradient by an estimator."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from numpyro.infer.elbo import ELBO
from numpyro.util import check_model_guide_match

from ppl_ext.estimators.arguments import check_count
from ppl_ext.estimators.matching import match_estimators, refuse_misfits
from ppl_ext.estimators.mismatch import warn_of
from ppl_ext.numpyro.estimators import VIMCO, AbstractEstimator
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import draw_one_hot
from ppl_ext.numpyro.objectives.discrete.as_categorical import read_choice
from ppl_ext.numpyro.objectives.discrete.dependence import find_dependence
from ppl_ext.numpyro.objectives.discrete.estimator_needs import discrete_sites, needs_of
from ppl_ext.numpyro.objectives.discrete.guide_and_model import Pair
from ppl_ext.numpyro.objectives.discrete.joint import JointDraws
from ppl_ext.numpyro.objectives.mismatch import find_mismatches
from ppl_ext.numpyro.objectives.stick_the_landing import average_particles

__all__ = ["DiscreteELBO"]


class DiscreteELBO(ELBO):
    r"""Evidence lower bound of a guide with discrete sites, differentiated by an estimator.

    .. math:: \nabla_\phi\, E_{q_\phi(z)} [\log p(x, z) - \log q_\phi(z)], \quad z \text{ discrete}

    The value is the bound, the gradient what the estimator makes of it: with a score estimator
    unbiased and each element of a plate by itself, whatever the guide, autoregressive ones too;
    with one whose gradient passes through the draw cheap and a little biased. Where guide and
    prior of a site are both categorical, their divergence is taken in closed form. Continuous
    sites are reparameterised. Not for few classes that the host can enumerate: its
    ``TraceEnum_ELBO`` has no noise at all.

    Args:
        estimator: An estimator of ``px.estimators``, such as ``LeaveOneOut(4)`` or, with one
            run of the model, ``ReinMax(1.1)``; or ``{site: estimator}``. One that looks at other
            values than the draw (``LocalExpectation``, ``REBAR``) serves sites that do not hang
            on other discrete sites. ``VIMCO`` has the tighter bound of several draws for its
            value, and ``GumbelSoftmax`` that of relaxed draws.
        num_particles: Independent estimates that are averaged.
        vectorize_particles: Whether they run together or in turn, as in the host.

    Raises:
        ValueError: An estimator is missing or not known, or cannot serve its site; at the first
            step. A site inside the host's ``scan`` or ``cond`` is served by score estimators
            alone, and as numbers of classes.

    Warns:
        RelaxedDensityWarning: A relaxed density stands against a discrete prior.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> import ppl_ext.numpyro as px
        >>> def model():
        ...     z = numpyro.sample("z", dist.Bernoulli(0.5))
        ...     numpyro.sample("x", dist.Normal(z, 1.0), obs=2.0)
        >>> def guide():
        ...     numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("logit", 0.0)))
        >>> elbo = DiscreteELBO(px.estimators.LeaveOneOut(4), num_particles=4)
        >>> svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.02), elbo)
        >>> found = svi.run(jax.random.key(0), 1000, progress_bar=False).params["logit"]
        >>> abs(float(found) - 1.5) < 0.3  # log N(2 | 1, 1) - log N(2 | 0, 1)
        True

    References:
        Kool, van Hoof, Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!,
        ICLR workshop on Deep Reinforcement Learning Meets Structured Prediction.
    """

    can_infer_discrete = True

    def __init__(
        self,
        estimator: AbstractEstimator | Mapping[str, AbstractEstimator],
        num_particles: int = 1,
        vectorize_particles: bool | Callable[..., Any] = True,
    ) -> None:
        match_estimators(estimator, (), AbstractEstimator)
        cure = "DiscreteELBO(estimator, num_particles=1)."
        check_count("DiscreteELBO", "num_particles", num_particles, 1, cure)
        self.estimator = estimator
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

        def estimate(rng_key):
            return self._estimate(rng_key, (model, guide, args, kwargs, dict(param_map)))

        return average_particles(self, estimate, rng_key)

    def _match(self, sites):
        return match_estimators(self.estimator, sites, AbstractEstimator)

    def _estimate(self, rng_key, program):
        def sample(name, rng_key, fn):
            estimator, choice = self._match((name,))[name], read_choice(fn)
            if choice is None or not choice.one_hot:
                return fn.sample(rng_key)
            if isinstance(estimator, AbstractPathEstimator):
                return estimator.sample(rng_key, choice.logits)
            # Not the site's own draw: a straight-through one brings a gradient nobody wants here.
            return draw_one_hot(rng_key, choice.logits)

        pair = Pair(*program, sample)
        first_key, draws_key = jax.random.split(rng_key)
        # What is drawn here only shows the structure: XLA leaves out what nobody asks for.
        first = pair.run(first_key)
        check_model_guide_match(first.model, first.guide)
        warn_of("DiscreteELBO", find_mismatches(first.guide, first.model))
        discrete = discrete_sites(first)
        estimators = self._match(discrete)
        bounding = any(isinstance(each, VIMCO) for each in estimators.values())
        dependence = find_dependence(pair, first_key, discrete, first, analytic=not bounding)
        num_draws = refuse_misfits(
            {name: needs_of(each) for name, each in estimators.items()},
            {name: dependence.facts(name) for name in discrete},
            dependence.with_plates(term for term in first.terms if term[0] == "guide"),
        )
        draws = JointDraws(pair, dependence, estimators)
        keys = jax.random.split(draws_key, num_draws)
        if bounding:
            return draws.bound(keys), first.mutables
        return draws.expectation(keys), first.mutables
