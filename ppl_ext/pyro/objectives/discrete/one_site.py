"""The bound as a function of one discrete site, the others as they were drawn."""

from dataclasses import dataclass

import torch
from pyro.ops.provenance import detach_provenance

from ppl_ext.estimators.influence import order_axes
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.objectives.discrete.as_categorical import Choice
from ppl_ext.pyro.objectives.discrete.dependence import Dependence
from ppl_ext.pyro.objectives.discrete.guide_and_model import Pair, Run, plates_of, reduce_to

__all__ = ["SiteExpectation"]


@dataclass(frozen=True)
class SiteExpectation:
    """What a site contributes to the bound, in expectation over its values.

    Args:
        pair: Guide and model.
        dependence: What hangs on the site.
        run: The run in which the other sites were drawn.
        name: The site.
        choice: Its distribution in that run.
        estimator: Its estimator.
    """

    pair: Pair
    dependence: Dependence
    run: Run
    name: str
    choice: Choice
    estimator: AbstractEstimator

    def value(self) -> torch.Tensor:
        """Estimate the expectation, differentiable in everything."""
        return self._surrogate(self._arrange(self.choice.logits)).sum()

    def gradient_alone(self) -> torch.Tensor:
        """Zero, with the derivative of the expectation in the probabilities of the site."""
        logits = self._arrange(self.choice.logits)
        if not torch.is_grad_enabled():
            return logits.new_zeros(())
        held = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self._surrogate(held).sum(), held)
        # A class that is ruled out has no logit that could move.
        moving = torch.where(logits > -torch.inf, logits - logits.detach(), 0.0)
        return (gradient * moving).sum()

    def _surrogate(self, logits):
        terms = self.dependence.terms[self.name]
        closed = self.dependence.facts(self.name).closed_plates
        # Sites that follow from this one are drawn again, the same noise for all its values.
        kept = {
            name: detach_provenance(self.run.site(("guide", name))["value"])
            for side, name in self.run.terms
            if side == "guide" and name != self.name and ("guide", name) not in terms
        }
        kept |= self.run.rows
        like = self.run.site(("guide", self.name))["value"]
        noise = torch.get_rng_state()

        def bound(z):
            torch.set_rng_state(noise)
            value = self.choice.to_value(self._restore(z), like)
            run = self.pair.run({**kept, self.name: value})
            parts = [
                reduce_to(
                    closed,
                    run.contribution(term, self.dependence.is_analytic(term)),
                    plates_of(run.site(term)),
                )
                for term in terms
            ]
            return sum(parts, start=z.new_zeros(())).reshape(z.shape[:-2])

        def f(z):
            after = torch.get_rng_state()
            flat = z.reshape(-1, *z.shape[z.dim() - logits.dim() :])
            values = torch.stack([bound(each) for each in flat]).reshape(z.shape[:-2])
            torch.set_rng_state(after)
            return values

        return self.estimator.surrogate(f, logits)

    def _order(self) -> tuple[list[int], int]:
        """The site's axes, those of its closed plates first, and how many these are."""
        ndim, closed = self.choice.logits.dim(), self.dependence.facts(self.name).closed_plates
        return order_axes(ndim, ndim - 1 - self.choice.event_ndim, closed)

    def _arrange(self, logits):
        """From the site's axes to ``(*closed plate, variable, class)``."""
        order, number = self._order()
        arranged = logits.permute(order)
        variables = arranged.shape[number:-1].numel()
        return arranged.reshape(*arranged.shape[:number], variables, arranged.shape[-1])

    def _restore(self, z):
        """The way back."""
        order, _ = self._order()
        shape = [self.choice.logits.shape[axis] for axis in order]
        return z.reshape(shape).permute([order.index(axis) for axis in range(len(order))])
