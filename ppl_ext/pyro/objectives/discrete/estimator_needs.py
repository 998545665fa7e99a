"""What the hall is told of discrete sites and estimators, to hold one against the other."""

from pyro.poutine.util import site_is_subsample

from ppl_ext.estimators.matching import EstimatorNeeds
from ppl_ext.pyro.estimators import REBAR, RELAX, VIMCO, AbstractEstimator
from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator, AbstractScoreEstimator
from ppl_ext.pyro.objectives.discrete.guide_and_model import Run
from ppl_ext.pyro.objectives.mismatch import is_discrete, strip

__all__ = ["discrete_sites", "needs_of"]


def needs_of(estimator: AbstractEstimator) -> EstimatorNeeds:
    """What an estimator needs of its site."""
    weighs_draws = isinstance(estimator, AbstractScoreEstimator)
    through_draw = isinstance(estimator, AbstractPathEstimator)
    return EstimatorNeeds(
        kind=type(estimator).__name__,
        num_draws=estimator.num_draws if weighs_draws else None,
        differentiates=through_draw or isinstance(estimator, (REBAR, RELAX)),
        looks_around=not (weighs_draws or through_draw),
        shares_bound=isinstance(estimator, VIMCO),
    )


def discrete_sites(run: Run) -> tuple[str, ...]:
    """Names of the discrete sites of a guide; the others have to be reparameterised."""
    found = []
    for name, site in run.guide.nodes.items():
        if site["type"] != "sample" or site["is_observed"] or site_is_subsample(site):
            continue
        if is_discrete(site):
            found.append(name)
        elif not site["fn"].has_rsample:
            raise ValueError(
                f"DiscreteELBO: continuous guide site {name!r} "
                f"({type(strip(site['fn'])).__name__}) has no reparameterised sampler; expected "
                "one at each. Give the guide another family there, such as a Normal through a "
                "bijection."
            )
    return tuple(found)
