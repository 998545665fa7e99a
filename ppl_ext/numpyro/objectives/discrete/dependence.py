"""Which terms of the bound depend on which discrete sites of the guide."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jax
from numpyro.ops.provenance import eval_provenance

from ppl_ext.estimators.influence import find_influence
from ppl_ext.estimators.matching import SiteFacts
from ppl_ext.numpyro.objectives.discrete.guide_and_model import Pair, Run, Term, plates_of
from ppl_ext.numpyro.objectives.mismatch import strip

__all__ = ["Dependence", "find_dependence"]


@dataclass(frozen=True)
class Dependence:
    """What hangs on what in a pair of guide and model.

    Args:
        first: The run it was read from.
        parents: The discrete sites that the distribution of each discrete site depends on.
        terms: The terms that each discrete site has an influence on, through others too.
        analytic: Discrete sites whose two terms have their mean in closed form.
    """

    first: Run
    parents: Mapping[str, frozenset[str]]
    terms: Mapping[str, tuple[Term, ...]]
    analytic: frozenset[str]

    def is_analytic(self, term: Term) -> bool:
        """Whether a term is put in as its mean."""
        return term[1] in self.analytic

    def facts(self, name: str) -> SiteFacts:
        """A discrete site in words and numbers."""
        site, choice = self.first.site(("guide", name)), self.first.choice(("guide", name))
        return SiteFacts(
            distribution=type(strip(site["fn"])).__name__,
            is_choice=choice is not None,
            one_hot=choice is not None and choice.one_hot,
            plates=plates_of(site),
            parents=self.parents[name],
            influenced=self.with_plates(self.terms[name]),
            shown_late=name in self.first.shown_late,
        )

    def with_plates(self, terms: Iterable[Term]) -> tuple[tuple[str, str, dict[int, str]], ...]:
        """Terms of the bound with the plates that they stand in."""
        return tuple((*term, plates_of(self.first.site(term))) for term in terms)


def find_dependence(
    pair: Pair, rng_key: jax.Array, discrete: tuple[str, ...], first: Run, analytic: bool
) -> Dependence:
    """Follow the values of the discrete sites through guide and model, computing nothing.

    Args:
        pair: Guide and model.
        rng_key: Random key of the first run.
        discrete: Names of the guide's discrete sites.
        first: A run of theirs.
        analytic: Whether means in closed form are wanted.
    """
    both = [
        name for name in discrete if analytic and name in first.model and _are_alike(first, name)
    ]

    def trace(**values):
        run = pair.run(rng_key, kept=first.plates, fixed=values)
        logits = {
            (side, name): run.choice((side, name)).logits
            for name in both
            for side in ("guide", "model")
        }
        return {t: run.contribution(t, analytic=False) for t in run.terms}, logits

    values = {name: first.guide[name]["value"] for name in discrete}
    sources, logits = eval_provenance(trace, **values) if values else ({}, {})
    return Dependence(first, *find_influence(discrete, sources, logits))


def _are_alike(run, name) -> bool:
    guide, model = (run.choice((side, name)) for side in ("guide", "model"))
    return (
        guide is not None
        and model is not None
        and guide.one_hot == model.one_hot
        and guide.event_ndim == model.event_ndim
        and guide.logits.shape[-1] == model.logits.shape[-1]
    )
