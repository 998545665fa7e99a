"""One run of a model at one point of unconstrained space."""

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from ppl_ext.pyro.site import is_data, is_deterministic, is_real, transform_of

__all__ = ["ChangedSitesError", "Visit"]


class ChangedSitesError(ValueError):
    """The latent sites of a model are not the same in every run."""


class Visit(Messenger):
    """Runs the model at one point and collects its log density.

    Args:
        point: Unconstrained value of every latent site.
        predict: Whether observed sites are sampled anew rather than held at the data.
    """

    def __init__(self, point: dict[str, torch.Tensor], predict: bool = False) -> None:
        super().__init__()
        self.point = point
        self.predict = predict
        self.sites: dict[str, dict] = {}
        self.terms: dict[str, torch.Tensor] = {}
        self.jacobians: dict[str, torch.Tensor] = {}

    @property
    def log_p(self) -> torch.Tensor:
        """Log density on unconstrained space, shape ()."""
        return sum(term.sum() for term in (*self.terms.values(), *self.jacobians.values()))

    def unconstrained(self, msg: dict) -> torch.Tensor:
        """The point's part for one latent site."""
        try:
            return self.point[msg["name"]]
        except KeyError:
            raise ChangedSitesError(
                f"trace_density: latent site {msg['name']!r} was not there when the model was "
                f"first run (it had {sorted(self.point)}). The latent sites may not depend on "
                "sampled values; write the choice with torch.where."
            ) from None

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg):
            return
        if msg["is_observed"]:
            if self.predict and is_data(msg):
                msg["is_observed"], msg["value"] = False, None
            return
        value = unconstrained = self.unconstrained(msg)
        if not is_real(msg["fn"].support):
            transform = transform_of(msg, "trace_density")
            value = transform(unconstrained)
            self.jacobians[msg["name"]] = transform.log_abs_det_jacobian(unconstrained, value)
        msg["value"], msg["done"] = value, True

    def _pyro_post_sample(self, msg: dict) -> None:
        if site_is_subsample(msg):
            return
        self.sites[msg["name"]] = msg
        if not is_deterministic(msg):
            log_prob = msg["fn"].log_prob(msg["value"])
            self.terms[msg["name"]] = scale_and_mask(log_prob, msg["scale"], msg["mask"])
