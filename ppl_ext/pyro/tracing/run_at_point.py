"""One run of a model at one point of unconstrained space, and what its messages say."""

import functools
import math

import pyro
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_factor, site_is_subsample
from torch.distributions import (
    Distribution,
    Independent,
    Transform,
    VonMises,
    biject_to,
    constraints,
)
from torch.distributions.mixture_same_family import MixtureSameFamilyConstraint

from ppl_ext.pyro.tracing.arguments import refuse_invalid
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.enumeration.factors import Factors, pack_factors, score_enumerated
from ppl_ext.pyro.tracing.enumeration.inspection import refuse_moving_support
from ppl_ext.pyro.tracing.enumeration.marks import is_enumerated, is_marked

__all__ = [
    "ChangedSitesError",
    "PriorVisit",
    "Replay",
    "Visit",
    "bijection_of",
    "has_moving_support",
    "is_circular",
    "is_data",
    "is_deterministic",
    "is_real",
    "support_of",
    "without_wrappers",
]

_CUT_CIRCLE = constraints.interval(-math.pi, math.pi)


class ChangedSitesError(ValueError):
    """The latent sites of a model are not the same in every run."""


class Visit(Messenger):
    """Runs the model at one point and collects its log density.

    Args:
        point: Unconstrained value of every latent site.
        caller: Name of the public object on whose behalf errors speak.
        first_dim: The first dimension of enumerated sites; None where no site is enumerated.
    """

    def __init__(
        self, point: dict[str, torch.Tensor], caller: str, first_dim: int | None = None
    ) -> None:
        super().__init__()
        self.point = point
        self.caller = caller
        self.first_dim = first_dim
        self.sites: dict[str, dict] = {}
        self.terms: dict[str, torch.Tensor] = {}
        self.unscaled: dict[str, torch.Tensor] = {}
        self.jacobians: dict[str, torch.Tensor] = {}

    @property
    def log_p(self) -> torch.Tensor:
        """Log density on unconstrained space, enumerated sites summed out, shape ()."""
        jacobians = sum(jacobian.sum() for jacobian in self.jacobians.values())
        if self.first_dim is None:
            return sum(term.sum() for term in self.terms.values()) + jacobians
        return self.factors.sum_out() + jacobians

    @functools.cached_property
    def factors(self) -> Factors:
        """The terms of a run with enumerated sites, once it has ended."""
        return pack_factors(self.sites, self.terms, self.first_dim)

    def unconstrained(self, msg: dict) -> torch.Tensor:
        """The point's part for one latent site."""
        try:
            return self.point[msg["name"]]
        except KeyError:
            raise ChangedSitesError(
                f"{self.caller}: latent site {msg['name']!r} was not there when the model was "
                f"first run (it had {sorted(self.point)}). The latent sites may not depend on "
                "sampled values; write the choice with torch.where."
            ) from None

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg) or msg["is_observed"] or is_enumerated(msg):
            return
        value = unconstrained = self.unconstrained(msg)
        support = support_of(msg)
        if not is_real(support):
            transform = biject_to(support)
            value = transform(unconstrained)
            if self.first_dim is not None:
                refuse_moving_support(self.caller, msg["name"], transform, unconstrained, value)
            self.jacobians[msg["name"]] = transform.log_abs_det_jacobian(unconstrained, value)
        msg["value"], msg["done"] = value, True

    def _pyro_post_sample(self, msg: dict) -> None:
        if site_is_subsample(msg):
            return
        self.sites[msg["name"]] = msg
        if not is_deterministic(msg):
            log_prob = refuse_invalid(msg["fn"], msg["fn"].log_prob(msg["value"]))
            if msg["is_observed"] and has_moving_support(msg):
                # Without validation some distributions score what they cannot have drawn.
                inside = msg["fn"].support.check(msg["value"])
                log_prob = torch.where(inside, log_prob, -torch.inf)
            if is_enumerated(msg):
                self.terms[msg["name"]] = score_enumerated(msg, log_prob, mask_of(msg))
                return
            self.terms[msg["name"]] = scale_and_mask(log_prob, msg["scale"], msg["mask"])
            if is_data(msg):
                self.unscaled[msg["name"]] = scale_and_mask(log_prob, 1.0, msg["mask"])


class PriorVisit(Visit):
    """Visits a model whose marked discrete sites are left to their priors."""

    def _pyro_sample(self, msg: dict) -> None:
        if not is_marked(msg):
            super()._pyro_sample(msg)


class Replay(Visit):
    """Runs the model with its latent sites, and its minibatches, as a guide drew them.

    Args:
        point: Value of every latent site, and rows of the plates that the guide entered.
        first_dim: The first dimension of enumerated sites; None where no site is enumerated.
    """

    def __init__(self, point: dict[str, torch.Tensor], first_dim: int | None = None) -> None:
        super().__init__(point, "draws", first_dim)

    def _pyro_sample(self, msg: dict) -> None:
        unseen_plate = site_is_subsample(msg) and msg["name"] not in self.point
        if not (msg["is_observed"] or unseen_plate or is_enumerated(msg)):
            msg["value"], msg["done"] = self.unconstrained(msg), True

    def unconstrained(self, msg: dict) -> torch.Tensor:
        """The value that was drawn, in its own space."""
        if msg["name"] not in self.point:
            raise ChangedSitesError(
                f"draws: latent site {msg['name']!r} of the model was not drawn (drawn were "
                f"{sorted(self.point)}), where every latent site is expected. Draw it in the "
                "guide, or sum it out inside the model."
            )
        return self.point[msg["name"]]


def is_deterministic(msg: dict) -> bool:
    """Whether a site records a value that its parents determine (also a reparametrised one)."""
    fn = msg["fn"]
    return msg["is_observed"] and (
        msg["infer"].get("_deterministic", False)
        or (isinstance(fn, pyro.distributions.MaskedDistribution) and fn._mask is False)
    )


def is_data(msg: dict) -> bool:
    """Whether a site holds data, rather than a latent value, a deterministic or a factor."""
    return msg["is_observed"] and not is_deterministic(msg) and not site_is_factor(msg)


def is_real(support: constraints.Constraint) -> bool:
    """Whether a support is the whole real line or space, so that no bijection is needed."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real


def support_of(msg: dict) -> constraints.Constraint | None:
    """The support of a site; None where its distribution does not tell.

    The host calls the support of an angle the real line, on which every mode comes back again and
    again: a latent angle lies on the circle, cut open at -pi and pi. The support of a mixture,
    for which torch has no bijection, is that of its components.
    """
    try:
        support = msg["fn"].support
    except (AttributeError, NotImplementedError):
        return None
    if not msg["is_observed"] and is_circular(msg["fn"]):
        wrapped = isinstance(support, constraints.independent)
        around = support.reinterpreted_batch_ndims if wrapped else 0
        return constraints.independent(_CUT_CIRCLE, around) if wrapped else _CUT_CIRCLE
    return _unmix(support)


def _unmix(support: constraints.Constraint) -> constraints.Constraint:
    if isinstance(support, constraints.independent):
        inner = _unmix(support.base_constraint)
        if inner is not support.base_constraint:
            return constraints.independent(inner, support.reinterpreted_batch_ndims)
    elif isinstance(support, MixtureSameFamilyConstraint):
        # Bounds that are tensors may differ between the components.
        shared = not _has_tensor_bounds(support.base_constraint)
        return support.base_constraint if shared else support
    return support


def without_wrappers(fn: Distribution) -> Distribution:
    """The distribution inside of masks and event dimensions."""
    while isinstance(fn, (Independent, pyro.distributions.MaskedDistribution)):
        fn = fn.base_dist
    return fn


def is_circular(fn: Distribution) -> bool:
    """Whether a distribution is one of angles."""
    return isinstance(without_wrappers(fn), (VonMises, pyro.distributions.SineBivariateVonMises))


def bijection_of(msg: dict) -> Transform | None:
    """The bijection onto the support of a site, None where the host knows none."""
    support = support_of(msg)
    if support is None or support.is_discrete:
        return None
    try:
        return biject_to(support)
    except NotImplementedError:
        return None


def has_moving_support(msg: dict) -> bool:
    """Whether bounds or shift of a site's support are tensors, which may depend on others."""
    return _has_tensor_bounds(support_of(msg))


def _has_tensor_bounds(support: constraints.Constraint | None) -> bool:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    bounds = (getattr(support, side, None) for side in ("lower_bound", "upper_bound", "ratio"))
    return any(isinstance(bound, torch.Tensor) for bound in bounds)
