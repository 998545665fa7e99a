"""Which estimator serves which discrete site of a guide, and which cannot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["EstimatorNeeds", "SiteFacts", "match_estimators", "refuse_misfits"]

Kind = TypeVar("Kind")
Plates = Mapping[int, str]  # name by dimension, counted from the right
Term = tuple[str, str, Plates]  # side, name and plates of a term of the bound

_WAY_OUT = "LeaveOneOut(num_draws=4), which needs no more than the draws."


@dataclass(frozen=True)
class SiteFacts:
    """A discrete site of a guide, in words and numbers.

    Args:
        distribution: Class name of its distribution.
        is_choice: Whether it is a choice among classes, masked around the whole of it if at all.
        one_hot: Whether its values are one-hot vectors.
        plates: The plates around it.
        parents: The discrete sites that its distribution depends on.
        influenced: The terms of the bound that it has an influence on.
        shown_late: Whether the host draws it within control flow and shows it only afterwards.
    """

    distribution: str
    is_choice: bool
    one_hot: bool
    plates: Plates
    parents: frozenset[str]
    influenced: tuple[Term, ...]
    shown_late: bool = False

    @property
    def closed_plates(self) -> dict[int, str]:
        """The plates that no influenced term leaves: their elements do not meet again."""
        return {
            dim: plate
            for dim, plate in self.plates.items()
            if all(plates.get(dim) == plate for _, _, plates in self.influenced)
        }


@dataclass(frozen=True)
class EstimatorNeeds:
    """What an estimator needs of its site.

    Args:
        kind: Its class name.
        num_draws: How many draws it weighs, of those that need no more than the draws.
        differentiates: Whether the bound is differentiated at the value of the site.
        looks_around: Whether it looks at other values of the site than the draw.
        shares_bound: Whether all draws make up one bound.
    """

    kind: str
    num_draws: int | None = None
    differentiates: bool = False
    looks_around: bool = False
    shares_bound: bool = False


def match_estimators(
    estimator: Kind | Mapping[str, Kind], sites: Iterable[str], base: type[Kind]
) -> dict[str, Kind]:
    """Give each site its estimator.

    Args:
        estimator: One for all sites, or one for each by name.
        sites: Names of the discrete sites.
        base: The class of all estimators.

    Returns:
        The estimators by site.

    Raises:
        ValueError: What was given is no estimator, or a site has none.
    """
    given = estimator if isinstance(estimator, Mapping) else {"": estimator}
    for name, each in given.items():
        if not isinstance(each, base):
            raise ValueError(
                f"DiscreteELBO: the estimator {f'of site {name!r} ' if name else ''}is "
                f"{getattr(each, '__name__', type(each).__name__)}; expected an object of "
                "px.estimators. Write DiscreteELBO(px.estimators.LeaveOneOut(4))."
            )
    if not isinstance(estimator, Mapping):
        return dict.fromkeys(sites, estimator)
    for name in sites:
        if name not in estimator:
            raise ValueError(
                f"DiscreteELBO: discrete guide site {name!r} has no estimator, there are those of "
                f"{sorted(estimator)}; expected one for each. Add it: "
                f"{{{name!r}: LeaveOneOut(num_draws=4)}}."
            )
    return {name: estimator[name] for name in sites}


def refuse_misfits(
    needs: Mapping[str, EstimatorNeeds], sites: Mapping[str, SiteFacts], latent: Iterable[Term]
) -> int:
    """Refuse estimators that cannot serve their site.

    Args:
        needs: What the estimator of each site needs.
        sites: The discrete sites.
        latent: The terms of all latent sites of the guide.

    Returns:
        The number of draws that they all weigh, 1 where none weighs draws.

    Raises:
        ValueError: With the site and the way out.
    """
    for name, each in needs.items():
        if sites[name].shown_late:
            _refuse_late(name, each, sites[name])
        if each.shares_bound:
            _refuse_bound(name, needs, sites[name], tuple(latent))
        if each.num_draws is None:
            _refuse_form(name, each, sites[name])
        if each.looks_around:
            _refuse_neighbours(name, each, sites)
    numbers = {name: n.num_draws for name, n in needs.items() if n.num_draws is not None}
    if len(set(numbers.values())) > 1:
        raise ValueError(
            f"DiscreteELBO: the numbers of draws differ between the sites ({numbers}); expected "
            "the same, for the sites are drawn together. Give all LeaveOneOut(num_draws=4)."
        )
    return next(iter(numbers.values()), 1)


def _refuse_late(name: str, needs: EstimatorNeeds, site: SiteFacts) -> None:
    if needs.num_draws is None or site.one_hot:
        raise ValueError(
            f"DiscreteELBO: {needs.kind} was given guide site {name!r} ({site.distribution}), "
            "which is drawn inside control flow and cannot be drawn otherwise; expected numbers "
            "of classes there, such as those of Categorical, and an estimator that needs no more "
            "than the draws. Use LeaveOneOut(num_draws=4), or draw all steps at once outside."
        )


def _refuse_form(name: str, needs: EstimatorNeeds, site: SiteFacts) -> None:
    given = f"DiscreteELBO: {needs.kind} was given guide site {name!r} ({site.distribution})"
    if not site.is_choice:
        raise ValueError(
            f"{given}; expected a choice among classes, masked around the whole of it if at all. "
            "Use " + _WAY_OUT
        )
    if needs.differentiates and not site.one_hot:
        raise ValueError(
            f"{given}, whose values are numbers of classes; expected one-hot values, which can be "
            "differentiated. Use OneHotCategoricalStraightThrough in guide and model, or "
            + _WAY_OUT
        )


def _refuse_neighbours(name: str, needs: EstimatorNeeds, sites: Mapping[str, SiteFacts]) -> None:
    children = {child for child, site in sites.items() if name in site.parents}
    others = sorted(sites[name].parents | children)
    if others:
        raise ValueError(
            f"DiscreteELBO: {needs.kind} looks at other values of site {name!r} than the draw, "
            f"and the site hangs together with the discrete sites {others} in the guide; expected "
            "one whose probabilities stand by themselves. Use " + _WAY_OUT
        )


def _refuse_bound(
    name: str, needs: Mapping[str, EstimatorNeeds], site: SiteFacts, latent: tuple[Term, ...]
) -> None:
    if not all(each.shares_bound for each in needs.values()):
        raise ValueError(
            f"DiscreteELBO: VIMCO was given site {name!r} beside other estimators; expected it at "
            "all discrete sites, for they share one bound. Write DiscreteELBO(VIMCO(4))."
        )
    plates = site.plates
    for side, term, found in (*latent, *site.influenced):
        same = term not in needs or found == plates
        if not same or any(found.get(dim) != plate for dim, plate in plates.items()):
            raise ValueError(
                f"DiscreteELBO: VIMCO has one bound for each element of the plates "
                f"{sorted(plates.values())} of site {name!r}, and the {side}'s site {term!r} "
                f"stands in {sorted(found.values())}; expected all latent sites and all that "
                "depends on them within the same plates. Use " + _WAY_OUT
            )
