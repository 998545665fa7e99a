"""Logits and temperatures as they are given: read, checked, and widened for arithmetic."""

import torch
from torch.distributions import Distribution, constraints
from torch.distributions.utils import logits_to_probs

from ppl_ext.estimators.arguments import (
    check_class_axis,
    check_extreme,
    check_probs_or_logits,
    refuse_impossible_row,
    refuse_temperature,
    refuse_temperature_shape,
    refuse_type,
)

HALF = (torch.float16, torch.bfloat16)


def widen(tensor: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32, in which all arithmetic is done."""
    return tensor.float() if tensor.dtype in HALF else tensor


def read_logits(called, probs, logits, validate_args) -> torch.Tensor:
    """Return logits from one of the two, checked."""
    check_probs_or_logits(called, probs, logits)
    name, given = ("probs", probs) if logits is None else ("logits", logits)
    given = torch.as_tensor(given)
    if not given.is_floating_point():
        raise refuse_type(called, name, given.dtype, "float()")
    if checking(validate_args) and given.numel():
        # The extreme tells all, NaN among it, and is found faster than a fault.
        extreme = given.amin() if name == "probs" else given.amax()
        if not bool(extreme >= 0 if name == "probs" else extreme < torch.inf):
            check_extreme(called, name, float(extreme), "torch.isfinite")
    return given if logits is not None else given.log()


def read_class_logits(called, probs, logits, validate_args) -> torch.Tensor:
    """Return logits with classes along the last axis, of which each row has a possible one."""
    logits = read_logits(called, probs, logits, validate_args)
    check_classes(called, logits, validate_args)
    return logits


def check_classes(called: str, logits: torch.Tensor, validate_args: bool | None) -> None:
    """Refuse logits without an axis of classes, and rows without a possible class."""
    check_class_axis(called, logits.shape, "torch.stack")
    if checking(validate_args) and not bool((logits.amax(-1) > -torch.inf).all()):
        raise refuse_impossible_row(called, "pyro.poutine.mask(mask=logits.amax(-1) > -torch.inf)")


def count_possible(logits: torch.Tensor, validate_args: bool | None) -> int:
    """Count the classes that are possible in every row: all, where nothing is checked."""
    if not checking(validate_args):
        return logits.shape[-1]
    return int((logits > -torch.inf).sum(-1).min())


def read_temperature(called, temperature, like, batch_shape, validate_args) -> torch.Tensor:
    """Return the temperature as a tensor that broadcasts against the batch, checked."""
    try:
        tensor = torch.as_tensor(temperature, dtype=widen(like).dtype, device=like.device)
    except (TypeError, ValueError) as error:
        cure = "temperature=0.5, or of a schedule its value at a step: temperature=schedule(step)."
        raise refuse_temperature(called, repr(temperature), cure) from error
    if checking(validate_args) and not bool(constraints.positive.check(tensor).all()):
        cure = "Parametrise it on the log scale: temperature=log_temperature.exp()."
        raise refuse_temperature(called, float(tensor.min()), cure)
    try:
        torch.broadcast_shapes(tensor.shape, batch_shape)
    except RuntimeError as error:
        raise refuse_temperature_shape(called, tensor.shape, batch_shape, "torch.full") from error
    return tensor


def checking(validate_args: bool | None) -> bool:
    """Say whether arguments are checked: by the host's switch where nothing is said."""
    return Distribution._validate_args if validate_args is None else validate_args


def to_probs(logits: torch.Tensor) -> torch.Tensor:
    """Normalise logits to probabilities, in the precision they came in."""
    return logits_to_probs(widen(logits)).to(logits.dtype)
