"""The host's handler of enumerated sites, such that ``torch.func.vmap`` can follow it."""

import torch
from pyro.poutine.enum_messenger import EnumMessenger

__all__ = ["AllValues"]


class AllValues(EnumMessenger):
    """Gives marked sites all of their values at once, each along a dimension of its own.

    The host reads ``value.data.shape``, and ``vmap`` refuses ``data``: it is shown a tensor of the
    same shape.
    """

    def _pyro_post_sample(self, msg: dict) -> None:
        value = msg["value"]
        if isinstance(value, torch.Tensor):
            msg["value"] = torch.empty(()).expand(value.shape)
        super()._pyro_post_sample(msg)
        msg["value"] = value
