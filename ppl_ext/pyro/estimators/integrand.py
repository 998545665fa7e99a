"""The function under the expectation: what it is given, and what it has to return."""

import torch

from ppl_ext.estimators.arguments import refuse
from ppl_ext.pyro.estimators.arguments import check_function
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits, widen


def read_integrand(called, f, logits):
    """Return the function and its logits with an axis of variables, the shapes minded."""
    check_function(called, f)
    logits = read_logits(called, None, logits, False)
    check_classes(called, logits, False)
    single = logits.dim() == 1

    def minded(z):
        values = torch.as_tensor(f(z[..., 0, :] if single else z))
        found, expected, given = (tuple(each) for each in (values.shape, z.shape[:-2], z.shape))
        if found != expected:
            raise refuse(
                called,
                f"f returned the shape {found} for draws of the shape "
                f"{expected + given[-1:] if single else given}",
                f"one value for each draw and member of the batch, {expected}",
                f"Sum over what belongs to one draw: f(z).sum({-1 if single else (-2, -1)}).",
            )
        return widen(values)

    return minded, logits[None] if single else logits
