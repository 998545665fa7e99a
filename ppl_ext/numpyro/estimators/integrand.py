"""The function under the expectation: what it is given, and what it has to return."""

import jax.numpy as jnp

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.arguments import check_function
from ppl_ext.numpyro.gumbel.logits import check_classes, read_logits, widen


def read_integrand(called, f, logits):
    """Return the function and its logits with an axis of variables, the shapes minded."""
    check_function(called, f)
    logits = read_logits(called, None, logits, False)
    check_classes(called, logits, False)
    single = logits.ndim == 1

    def minded(z):
        values = jnp.asarray(f(z[..., 0, :] if single else z))
        if values.shape != z.shape[:-2]:
            raise refuse(
                called,
                f"f returned the shape {values.shape} for draws of the shape "
                f"{z.shape[:-2] + z.shape[-1:] if single else z.shape}",
                f"one value for each draw and member of the batch, {z.shape[:-2]}",
                f"Sum over what belongs to one draw: f(z).sum({-1 if single else (-2, -1)}).",
            )
        return widen(values)

    return minded, logits[None] if single else logits
