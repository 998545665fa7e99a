"""What a first run with enumerated sites tells: what hangs on them, and what is in the way."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.distributions import Transform

from ppl_ext.pyro.tracing.enumeration.factors import Factors, pack_factors
from ppl_ext.pyro.tracing.enumeration.per_datum import find_local_factors
from ppl_ext.pyro.tracing.sites import Plate, Sites

__all__ = ["Enumeration", "MovingSupportError", "inspect_run", "refuse_moving_support"]


class MovingSupportError(ValueError):
    """The support of a latent site is not the same for all values of an enumerated one."""


class _Run(Protocol):
    sites: Mapping[str, dict]
    terms: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Enumeration:
    """The structure of a model around its enumerated sites.

    Args:
        assigned: Names of the sites that have a value only once assignments are drawn: the
            enumerated ones and the deterministic ones that hang on them.
        separable: Names of the observed sites whose data have a likelihood one by one.
        work: Floats that one run holds.
    """

    assigned: frozenset[str]
    separable: frozenset[str]
    work: int


def inspect_run(caller: str, sites: Sites, run_enumerated: Callable[[], _Run]) -> Enumeration:
    """Read a run of a model in which enumerated sites take all of their values.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        sites: What the model is made of.
        run_enumerated: Runs it.

    Raises:
        ValueError: The model cannot be run so, or the sum would not be that of the model.
    """
    try:
        run = run_enumerated()
        factors = pack_factors(run.sites, run.terms, sites.first_free_dim)
    except MovingSupportError:
        raise
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        names = [site.name for site in sites.enumerated]
        raise ValueError(
            f"{caller}: the model stopped where its discrete sites {names} take all of their "
            f"values at once ({error}); expected a model that takes them along a dimension of "
            "their own. Index by them, mean[z], choose with torch.where, and iterate over a "
            "chain with pyro.markov."
        ) from error
    _refuse_rows_without_plate(caller, sites)
    _refuse_crossed_plates(caller, factors)
    _refuse_scales(caller, factors, run)
    dependent = {
        site.name
        for site in sites.deterministics
        if tuple(run.sites[site.name]["value"].shape) != site.shape
    }
    separable = set()
    for site in sites.observed:
        found = find_local_factors(factors, site.name)
        # Rows without a plate share their assignments.
        if found is not None and not (found and _find_bare_rows(site.log_prob_shape, site.plates)):
            separable.add(site.name)
    values = [msg["value"].numel() for msg in run.sites.values() if not msg["is_observed"]]
    return Enumeration(
        assigned=frozenset(site.name for site in sites.enumerated) | dependent,
        separable=frozenset(separable),
        work=sum(values) + sum(term.numel() for term in run.terms.values()),
    )


def refuse_moving_support(
    caller: str, name: str, transform: Transform, unconstrained: torch.Tensor, value: torch.Tensor
) -> None:
    """Raise where a bijection has taken on the values of an enumerated site.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        name: The latent site.
        transform: The bijection onto its support.
        unconstrained: What was put in.
        value: What came out.

    Raises:
        MovingSupportError: It has.
    """
    rows = unconstrained.shape[: unconstrained.dim() - transform.domain.event_dim]
    if value.shape[: value.dim() - transform.codomain.event_dim] != rows:
        raise MovingSupportError(
            f"{caller}: the support of latent site {name!r} hangs on an enumerated site; expected "
            "the same support for all of its values. Draw a site of fixed support and stretch it: "
            "pyro.deterministic(name, top[z] * share)."
        )


def _refuse_rows_without_plate(caller: str, sites: Sites) -> None:
    for site in sites.enumerated:
        for size in _find_bare_rows(site.shape[: len(site.shape) - site.event_dim], site.plates):
            raise ValueError(
                f"{caller}: enumerated site {site.name!r} of shape {site.shape} has {size} rows "
                "outside of any plate; expected a plate around them, which says that each row has "
                f"a value of its own. Put the site in one: with pyro.plate('rows', {size})."
            )


def _find_bare_rows(batch: tuple[int, ...], plates: tuple[Plate, ...]) -> list[int]:
    """Sizes of the dimensions that belong to no plate."""
    around = {plate.dim for plate in plates}
    return [
        size for axis, size in enumerate(batch) if size > 1 and axis - len(batch) not in around
    ]


def _refuse_crossed_plates(caller: str, factors: Factors) -> None:
    try:
        factors.sum_out()
    except NotImplementedError as error:
        raise ValueError(
            f"{caller}: the host cannot sum out the sites {sorted(factors.own)} ({error}); "
            "expected plates that nest around what hangs on such sites. Write the plate of fewer "
            "rows as a loop: for i in pyro.plate(name, size)."
        ) from error


def _refuse_scales(caller: str, factors: Factors, run: _Run) -> None:
    for name in factors.packed:
        msg = run.sites[name]
        frames = [frame for frame in msg["cond_indep_stack"] if frame.vectorized]
        # A plate that shows some of its rows scales the sum of each row.
        rows = math.prod((frame.full_size or frame.size) / frame.size for frame in frames)
        scale = torch.as_tensor(msg["scale"], dtype=torch.float64)
        if factors.touched(name) and not scale.isclose(scale.new_tensor(rows)).all():
            raise ValueError(
                f"{caller}: site {name!r} is scaled and hangs on an enumerated site; expected a "
                "scale of one, for a power of a sum is not a sum of powers. Take poutine.scale "
                "from around it."
            )
