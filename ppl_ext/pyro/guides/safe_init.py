"""Where a guide starts: the host's strategies, guarded against starts that are not finite."""

from collections.abc import Callable

import torch

from ppl_ext.pyro.tracing.enumeration.marks import is_marked
from ppl_ext.pyro.tracing.find_sites import describe_latent
from ppl_ext.pyro.tracing.refusals import refuse_latent

__all__ = ["finite_start"]


def finite_start(init_loc_fn: Callable, caller: str) -> Callable[[dict], torch.Tensor]:
    """Wraps a host strategy so that it never starts a site at infinity.

    The mean of a half-Cauchy is infinite and the host starts there (``init_to_mean``).

    Args:
        init_loc_fn: Host strategy, ``site -> value``.
        caller: Name of the guide, for errors.

    Returns:
        A strategy that falls back to the middle of unconstrained space.
    """

    def start(site: dict) -> torch.Tensor:
        if is_marked(site):  # summed out by whoever scores the model
            return site["fn"].sample()
        latent = describe_latent(site)
        if latent.support and latent.transform is None and not latent.discrete:
            # The host asks before it reparametrises a site; the set-up refuses what stays.
            return init_loc_fn(site)
        refuse_latent(caller, latent)
        transform = latent.transform
        try:
            value = init_loc_fn(site)
            if transform.inv(value).isfinite().all():
                return value
            like = value
        except NotImplementedError:  # ImproperUniform cannot be sampled
            like = torch.empty(())
        value = transform(like.new_zeros(transform.inverse_shape(site["fn"].shape())))
        value._pyro_custom_init = False
        return value

    return start
