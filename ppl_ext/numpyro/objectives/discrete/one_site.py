"""The bound as a function of one discrete site, the others as they were drawn."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from ppl_ext.estimators.influence import order_axes
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.objectives.discrete.dependence import Dependence
from ppl_ext.numpyro.objectives.discrete.guide_and_model import Pair, Run, plates_of, reduce_to

__all__ = ["SiteExpectation"]


@dataclass(frozen=True)
class SiteExpectation:
    """What a site contributes to the bound, in expectation over its values.

    Args:
        pair: Guide and model.
        dependence: What hangs on the site.
        run: The run in which the other sites were drawn.
        name: The site.
        estimator: Its estimator.
    """

    pair: Pair
    dependence: Dependence
    run: Run
    name: str
    estimator: AbstractEstimator

    def value(self, rng_key: jax.Array) -> jax.Array:
        """Estimate the expectation, differentiable in everything."""
        return self._surrogate(rng_key, self._arrange(self._choice.logits)).sum()

    def gradient_alone(self, rng_key: jax.Array) -> jax.Array:
        """Zero, with the derivative of the expectation in the probabilities of the site."""
        logits = self._arrange(self._choice.logits)
        gradient = jax.grad(lambda each: self._surrogate(rng_key, each).sum())(
            stop_gradient(logits)
        )
        # A class that is ruled out has no logit that could move.
        moving = jnp.where(logits > -jnp.inf, logits - stop_gradient(logits), 0.0)
        return (stop_gradient(gradient) * moving).sum()

    @property
    def _choice(self):
        return self.run.choice(("guide", self.name))

    def _surrogate(self, rng_key, logits):
        run_key, draw_key = jax.random.split(rng_key)
        terms = self.dependence.terms[self.name]
        closed = self.dependence.facts(self.name).closed_plates
        # Sites that follow from this one are drawn again, the same noise for all its values.
        kept = {
            name: site
            for name, site in {**self.run.guide, **self.run.plates}.items()
            if name != self.name and ("guide", name) not in terms
        }

        def bound(z):
            value = self._choice.to_value(self._restore(z), self.run.guide[self.name]["value"])
            run = self.pair.run(run_key, kept=kept, fixed={self.name: value})
            parts = [
                reduce_to(
                    closed,
                    run.contribution(term, self.dependence.is_analytic(term)),
                    plates_of(run.site(term)),
                )
                for term in terms
            ]
            return sum(parts, start=jnp.zeros(())).reshape(z.shape[:-2])

        def f(z):
            flat = z.reshape(-1, *z.shape[z.ndim - logits.ndim :])
            return jax.vmap(bound)(flat).reshape(z.shape[:-2])

        return self.estimator.surrogate(draw_key, f, logits)

    def _order(self) -> tuple[list[int], int]:
        """The site's axes, those of its closed plates first, and how many these are."""
        ndim, closed = self._choice.logits.ndim, self.dependence.facts(self.name).closed_plates
        return order_axes(ndim, ndim - 1 - self._choice.event_ndim, closed)

    def _arrange(self, logits):
        """From the site's axes to ``(*closed plate, variable, class)``."""
        order, number = self._order()
        arranged = logits.transpose(order)
        return arranged.reshape(*arranged.shape[:number], -1, arranged.shape[-1])

    def _restore(self, z):
        """The way back."""
        order, _ = self._order()
        shape = tuple(self._choice.logits.shape[axis] for axis in order)
        return z.reshape(shape).transpose(np.argsort(order))
