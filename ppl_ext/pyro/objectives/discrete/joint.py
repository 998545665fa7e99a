"""The bound and its gradient from joint draws of all sites."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from pyro.ops.provenance import detach_provenance

from ppl_ext.pyro.estimators import AbstractEstimator
from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator, AbstractScoreEstimator
from ppl_ext.pyro.objectives.discrete.as_categorical import Choice
from ppl_ext.pyro.objectives.discrete.dependence import Dependence
from ppl_ext.pyro.objectives.discrete.guide_and_model import Pair, Run, plates_of, reduce_to
from ppl_ext.pyro.objectives.discrete.one_site import SiteExpectation

__all__ = ["JointDraws"]


@dataclass(frozen=True)
class JointDraws:
    """Draws of a guide, and what the model makes of them.

    Args:
        pair: Guide and model.
        dependence: What hangs on what in them; its run is the first of the draws.
        estimators: The estimators of the discrete sites.
        num_draws: Number of draws.
    """

    pair: Pair
    dependence: Dependence
    estimators: Mapping[str, AbstractEstimator]
    num_draws: int

    def expectation(self) -> torch.Tensor:
        """The mean of the bound over draws, with the gradient of its expectation."""
        values, costs, log_probs = zip(*map(self._look, self._runs()), strict=True)
        total = torch.stack(values).mean()
        for name in costs[0]:
            cost = torch.stack([each[name] for each in costs]).detach()
            log_prob = torch.stack([each[name] for each in log_probs])
            combined = self.estimators[name].combine(cost, log_prob)
            total = total + (combined - combined.detach()).sum()
        return total

    def bound(self) -> torch.Tensor:
        """The bound of several draws for each element of a plate, with its gradient."""
        name, estimator = next(iter(self.estimators.items()))
        site = self.dependence.first.site(("guide", name))
        plates = plates_of(site)
        frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
        scale = math.prod((frame.full_size or frame.size) / frame.size for frame in frames)
        log_weights, log_probs, rest = [], [], []
        for run in self._runs():
            inside = outside = torch.zeros(())
            for term in run.terms:
                own, part = plates_of(run.site(term)), self._contribution(run, term)
                if plates.items() <= own.items():
                    inside = inside + reduce_to(plates, part, own)
                else:
                    outside = outside + part.sum()
            log_weights.append(inside / scale)
            log_probs.append(sum(self._log_prob(run, each) for each in self.estimators))
            rest.append(outside)
        combined = estimator.combine(torch.stack(log_weights), torch.stack(log_probs))
        return scale * combined.sum() + torch.stack(rest).mean()

    def _runs(self):
        yield self.dependence.first
        rows = {name: detach_provenance(each) for name, each in self.dependence.first.rows.items()}
        for _ in range(self.num_draws - 1):
            yield self.pair.run(rows)

    def _contribution(self, run: Run, term) -> torch.Tensor:
        return detach_provenance(run.contribution(term, self.dependence.is_analytic(term)))

    def _look(self, run: Run):
        """The bound at one draw, and for score estimators costs and log-probabilities by plate."""
        parts = {term: self._contribution(run, term) for term in run.terms}
        costs, log_probs, extra = {}, {}, torch.zeros(())
        for name, estimator in self.estimators.items():
            terms = self.dependence.terms[name]
            if isinstance(estimator, AbstractScoreEstimator):
                plates = plates_of(run.site(("guide", name)))
                log_probs[name] = self._log_prob(run, name)
                cost = [reduce_to(plates, parts[t], plates_of(run.site(t))) for t in terms]
                total = sum(cost, start=torch.zeros(()))
                costs[name] = total.expand(log_probs[name].shape)
            elif not isinstance(estimator, AbstractPathEstimator):
                choice = self._choice(run, name)
                site = SiteExpectation(self.pair, self.dependence, run, name, choice, estimator)
                if len(self.estimators) == 1:
                    parts = {t: part for t, part in parts.items() if t not in terms}
                    extra = extra + site.value()
                else:
                    extra = extra + site.gradient_alone()
        return sum((part.sum() for part in parts.values()), start=extra), costs, log_probs

    @staticmethod
    def _choice(run: Run, name: str) -> Choice | None:
        choice = run.choice(("guide", name))
        return choice and replace(choice, logits=detach_provenance(choice.logits))

    def _log_prob(self, run: Run, name: str) -> torch.Tensor:
        """Log-probability of a draw by plate; neither scaled nor masked, for it was drawn."""
        site, choice = run.site(("guide", name)), run.choice(("guide", name))
        log_prob = (site["fn"] if choice is None else choice).log_prob(site["value"])
        plates = plates_of(site)
        return reduce_to(plates, detach_provenance(log_prob), plates)
