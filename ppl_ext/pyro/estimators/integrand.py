"""What an estimator is called with: a function and its logits, read and checked."""

from numbers import Real
from typing import Any

import torch

from ppl_ext.estimators.arguments import check_function, refuse
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits, widen
from ppl_ext.pyro.gumbel.noise import plain_tensors


def check_temperature(called: str, temperature: Any) -> None:
    """Refuse what is not one positive number; more of them would be taken for one a class."""
    known = isinstance(temperature, Real)
    if isinstance(temperature, torch.Tensor) and temperature.dim() == 0:
        known, temperature = True, temperature.detach() if plain_tensors() else 1.0
    if not known or not temperature > 0:
        shape = getattr(temperature, "shape", ())
        raise refuse(
            called,
            f"temperature has the shape {tuple(shape)}"
            if shape
            else f"temperature is {float(temperature) if known else repr(temperature)}",
            "one positive number",
            f"{called}(temperature=1.0), or to learn it temperature=log_temperature.exp().",
        )


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
