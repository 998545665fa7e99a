"""The bound and its gradient from joint draws of all sites."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.estimators import AbstractEstimator
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator, AbstractScoreEstimator
from ppl_ext.numpyro.objectives.discrete.dependence import Dependence
from ppl_ext.numpyro.objectives.discrete.guide_and_model import Pair, Run, plates_of, reduce_to
from ppl_ext.numpyro.objectives.discrete.one_site import SiteExpectation

__all__ = ["JointDraws"]


@dataclass(frozen=True)
class JointDraws:
    """Draws of a guide, and what the model makes of them.

    Args:
        pair: Guide and model.
        dependence: What hangs on what in them.
        estimators: The estimators of the discrete sites.
    """

    pair: Pair
    dependence: Dependence
    estimators: Mapping[str, AbstractEstimator]

    def expectation(self, rng_keys: jax.Array) -> jax.Array:
        """The mean of the bound over draws, with the gradient of its expectation.

        Args:
            rng_keys: Random keys ``(draw,)``.
        """
        values, costs, log_probs = jax.vmap(self._look)(rng_keys)
        total = values.mean()
        for name, cost in costs.items():
            combined = self.estimators[name].combine(stop_gradient(cost), log_probs[name])
            total += (combined - stop_gradient(combined)).sum()
        return total

    def bound(self, rng_keys: jax.Array) -> jax.Array:
        """The bound of several draws for each element of a plate, with its gradient.

        Args:
            rng_keys: Random keys ``(draw,)``.
        """
        name, estimator = next(iter(self.estimators.items()))
        plates = plates_of(self.dependence.first.guide[name])
        sizes = [self.dependence.first.plates[plate]["args"] for plate in plates.values()]
        scale = math.prod(size / (seen or size) for size, seen in sizes)

        def look(rng_key):
            run = self.pair.run(rng_key, kept=self.dependence.first.plates)
            inside, outside = jnp.zeros(()), jnp.zeros(())
            for term in run.terms:
                own, part = plates_of(run.site(term)), run.contribution(term, analytic=False)
                if plates.items() <= own.items():
                    inside += reduce_to(plates, part, own)
                else:
                    outside += part.sum()
            log_prob = sum(self._log_prob(run, each) for each in self.estimators)
            return inside / scale, log_prob, outside

        log_weights, log_probs, outside = jax.vmap(look)(rng_keys)
        return scale * estimator.combine(log_weights, log_probs).sum() + outside.mean()

    def _look(self, rng_key):
        """The bound at one draw, and for score estimators costs and log-probabilities by plate."""
        run_key, site_key = jax.random.split(rng_key)
        run = self.pair.run(run_key, kept=self.dependence.first.plates)
        parts = {t: run.contribution(t, self.dependence.is_analytic(t)) for t in run.terms}
        costs, log_probs, extra = {}, {}, jnp.zeros(())
        for name, estimator in self.estimators.items():
            terms = self.dependence.terms[name]
            if isinstance(estimator, AbstractScoreEstimator):
                plates = plates_of(run.guide[name])
                log_probs[name] = self._log_prob(run, name)
                cost = [reduce_to(plates, parts[t], plates_of(run.site(t))) for t in terms]
                costs[name] = jnp.broadcast_to(
                    sum(cost, start=jnp.zeros(())), log_probs[name].shape
                )
            elif not isinstance(estimator, AbstractPathEstimator):
                site_key, own_key = jax.random.split(site_key)
                site = SiteExpectation(self.pair, self.dependence, run, name, estimator)
                if len(self.estimators) == 1:
                    parts = {t: part for t, part in parts.items() if t not in terms}
                    extra += site.value(own_key)
                else:
                    extra += site.gradient_alone(own_key)
        value = sum((part.sum() for part in parts.values()), start=extra)
        return value, costs, log_probs

    def _log_prob(self, run: Run, name: str) -> jax.Array:
        """Log-probability of a draw by plate; neither scaled nor masked, for it was drawn."""
        site, choice = run.guide[name], run.choice(("guide", name))
        log_prob = (
            site["fn"].log_prob(site["value"])
            if choice is None
            else choice.log_prob(site["value"])
        )
        plates = plates_of(site)
        return reduce_to(plates, log_prob, plates)
