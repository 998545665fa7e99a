"""The estimators beside the sites that they are meant for."""

from collections.abc import Iterable, Mapping

from ppl_ext.numpyro.estimators import REBAR, RELAX, VIMCO, AbstractEstimator
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator, AbstractScoreEstimator
from ppl_ext.numpyro.objectives.discrete.dependence import Dependence
from ppl_ext.numpyro.objectives.discrete.guide_and_model import Run, plates_of
from ppl_ext.numpyro.objectives.mismatch import is_discrete, strip

__all__ = ["discrete_sites", "match_estimators", "refuse_misfits"]

_WAY_OUT = "LeaveOneOut(num_draws=4), which needs no more than the draws."


def match_estimators(
    estimator: AbstractEstimator | Mapping[str, AbstractEstimator], sites: Iterable[str]
) -> dict[str, AbstractEstimator]:
    """Give each site its estimator.

    Raises:
        ValueError: What was given is no estimator, or a site has none.
    """
    given = estimator if isinstance(estimator, Mapping) else {"": estimator}
    for name, each in given.items():
        if not isinstance(each, AbstractEstimator):
            raise ValueError(
                f"DiscreteELBO: the estimator {f'of site {name!r} ' if name else ''}is "
                f"{getattr(each, '__name__', type(each).__name__)}; expected an object of "
                "px.estimators. Write DiscreteELBO(px.estimators.LeaveOneOut(4))."
            )
    if isinstance(estimator, AbstractEstimator):
        return dict.fromkeys(sites, estimator)
    for name in sites:
        if name not in estimator:
            raise ValueError(
                f"DiscreteELBO: discrete guide site {name!r} has no estimator, there are those of "
                f"{sorted(estimator)}; expected one for each. Add it: "
                f"{{{name!r}: LeaveOneOut(num_draws=4)}}."
            )
    return {name: estimator[name] for name in sites}


def discrete_sites(run: Run) -> tuple[str, ...]:
    """Names of the discrete sites of a guide; the others have to be reparameterised."""
    found = []
    for name, site in run.guide.items():
        if site["type"] != "sample" or site["is_observed"]:
            continue
        if is_discrete(site["fn"]):
            found.append(name)
        elif not site["fn"].has_rsample:
            raise ValueError(
                f"DiscreteELBO: continuous guide site {name!r} "
                f"({type(strip(site['fn'])).__name__}) has no reparameterised sampler; expected "
                "one at each. Give the guide another family there, such as a Normal through a "
                "bijection."
            )
    return tuple(found)


def refuse_misfits(estimators: Mapping[str, AbstractEstimator], dependence: Dependence) -> int:
    """Refuse estimators that cannot serve their site; the number of draws they all need.

    Raises:
        ValueError: With the site and the way out.
    """
    numbers = {}
    for name, estimator in estimators.items():
        if isinstance(estimator, VIMCO):
            _refuse_bound(name, estimators, dependence)
        if isinstance(estimator, AbstractScoreEstimator):
            numbers[name] = estimator.num_draws
        else:
            _refuse_form(name, estimator, dependence)
            if not isinstance(estimator, AbstractPathEstimator):
                _refuse_neighbours(name, estimator, dependence)
    if len(set(numbers.values())) > 1:
        raise ValueError(
            f"DiscreteELBO: the numbers of draws differ between the sites ({numbers}); expected "
            "the same, for the sites are drawn together. Give all LeaveOneOut(num_draws=4)."
        )
    return next(iter(numbers.values()), 1)


def _refuse_form(name, estimator, dependence):
    fn, choice = dependence.first.guide[name]["fn"], dependence.first.choice(("guide", name))
    kind = type(estimator).__name__
    if choice is None:
        raise ValueError(
            f"DiscreteELBO: {kind} was given guide site {name!r} ({type(strip(fn)).__name__}); "
            "expected a choice among classes, masked around the whole of it if at all. Use "
            + _WAY_OUT
        )
    if isinstance(estimator, (AbstractPathEstimator, REBAR, RELAX)) and not choice.one_hot:
        raise ValueError(
            f"DiscreteELBO: {kind} was given guide site {name!r} ({type(strip(fn)).__name__}), "
            "whose values are numbers of classes; expected one-hot values, which can be "
            "differentiated. Use OneHotCategoricalStraightThrough in guide and model, or "
            + _WAY_OUT
        )


def _refuse_neighbours(name, estimator, dependence):
    children = {child for child, parents in dependence.parents.items() if name in parents}
    others = sorted(dependence.parents[name] | children)
    if others:
        raise ValueError(
            f"DiscreteELBO: {type(estimator).__name__} looks at other values of site {name!r} "
            f"than the draw, and the site hangs together with the discrete sites {others} in the "
            "guide; expected one whose probabilities stand by themselves. Use " + _WAY_OUT
        )


def _refuse_bound(name, estimators, dependence):
    first = dependence.first
    if not all(isinstance(each, VIMCO) for each in estimators.values()):
        raise ValueError(
            f"DiscreteELBO: VIMCO was given site {name!r} beside other estimators; expected it at "
            "all discrete sites, for they share one bound. Write DiscreteELBO(VIMCO(4))."
        )
    plates = plates_of(first.guide[name])
    latent = [term for term in first.terms if term[0] == "guide"]
    for term in [*latent, *dependence.terms[name]]:
        found = plates_of(first.site(term))
        same = term[1] not in estimators or found == plates
        if not same or any(found.get(dim) != plate for dim, plate in plates.items()):
            raise ValueError(
                f"DiscreteELBO: VIMCO has one bound for each element of the plates "
                f"{sorted(plates.values())} of site {name!r}, and the {term[0]}'s site "
                f"{term[1]!r} stands in {sorted(found.values())}; expected all latent sites and "
                "all that hangs on them within the same plates. Use " + _WAY_OUT
            )
