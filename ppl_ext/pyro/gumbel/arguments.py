"""What the distributions check of their arguments, and how they refuse them."""

import torch
from torch.distributions import Distribution, constraints
from torch.distributions.utils import logits_to_probs

SMALL_FLOATS = (torch.float16, torch.bfloat16)


def refuse(called: str, found: str, expected: str, cure: str) -> ValueError:
    """Build an error of four parts."""
    return ValueError(f"{called}: {found}; expected {expected}. {cure}")


def widen(tensor: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32, in which all arithmetic is done."""
    return tensor.float() if tensor.dtype in SMALL_FLOATS else tensor


def read_logits(called, probs, logits, validate_args) -> torch.Tensor:
    """Return logits from one of the two, checked."""
    if (probs is None) == (logits is None):
        raise refuse(
            called,
            f"found {'neither probs nor' if probs is None else 'both probs and'} logits",
            "exactly one of them",
            f"{called}(..., logits=logits).",
        )
    name, given = ("probs", probs) if logits is None else ("logits", logits)
    given = torch.as_tensor(given)
    if not given.is_floating_point():
        raise refuse(
            called,
            f"{name} are of type {given.dtype}",
            "floating-point numbers",
            f"{called}(..., {name}={name}.float()).",
        )
    if checking(validate_args):
        _check_values(called, name, given)
    return given if logits is not None else given.log()


def read_floats(called, name, given, like=None) -> torch.Tensor:
    """Return an argument as a tensor of floating-point numbers."""
    tensor = torch.as_tensor(given, device=None if like is None else like.device)
    if like is not None and not isinstance(given, torch.Tensor):
        tensor = tensor.to(like.dtype)
    if not tensor.is_floating_point():
        raise refuse(
            called,
            f"{name} is of type {tensor.dtype}",
            "floating-point numbers",
            f"{called}(..., {name}={name}.float()).",
        )
    return tensor


def check_axis(called, name, tensor) -> torch.Tensor:
    """Refuse an argument without an axis of classes."""
    if tensor.dim() == 0 or tensor.shape[-1] == 0:
        raise refuse(
            called,
            f"{name} has the shape {tuple(tensor.shape)}",
            "classes along the last axis, at least one",
            f"Stack what belongs to the classes: {name}=torch.stack({name}, -1).",
        )
    return tensor


def check_classes(called: str, logits: torch.Tensor, validate_args: bool | None) -> None:
    """Refuse logits without an axis of classes, and rows without a possible class."""
    if logits.dim() == 0 or logits.shape[-1] == 0:
        raise refuse(
            called,
            f"logits have the shape {tuple(logits.shape)}",
            "classes along the last axis, at least one",
            "Stack the logits of the classes: torch.stack(logits, -1).",
        )
    if checking(validate_args) and not bool((logits.amax(-1) > -torch.inf).all()):
        raise refuse(
            called,
            "all logits of a row are -inf (or all its probs are 0)",
            "at least one possible class in each row",
            "Mask the row itself: pyro.poutine.mask(mask=logits.amax(-1) > -torch.inf).",
        )


def read_temperature(called, temperature, like, batch_shape, validate_args) -> torch.Tensor:
    """Return the temperature as a tensor that broadcasts against the batch, checked."""
    try:
        tensor = torch.as_tensor(temperature, dtype=widen(like).dtype, device=like.device)
    except (TypeError, ValueError) as error:
        raise refuse(
            called,
            f"temperature is {temperature!r}",
            "positive numbers",
            "temperature=0.5, or of a schedule its value at a step: temperature=schedule(step).",
        ) from error
    if checking(validate_args) and not bool(constraints.positive.check(tensor).all()):
        raise refuse(
            called,
            f"temperature is {_extreme(tensor)}",
            "positive numbers",
            "Parametrise it on the log scale: temperature=log_temperature.exp().",
        )
    try:
        torch.broadcast_shapes(tensor.shape, batch_shape)
    except RuntimeError as error:
        raise refuse(
            called,
            f"temperature has the shape {tuple(tensor.shape)}, which does not broadcast against "
            f"the batch shape {tuple(batch_shape)}",
            "one temperature, or one for each member of the batch (the classes are no batch)",
            "temperature=0.5, or temperature=torch.full(logits.shape[:-1], 0.5).",
        ) from error
    return tensor


def checking(validate_args: bool | None) -> bool:
    """Say whether arguments are checked: by the host's switch where nothing is said."""
    return Distribution._validate_args if validate_args is None else validate_args


def to_probs(logits: torch.Tensor) -> torch.Tensor:
    """Normalise logits to probabilities, in the precision they came in."""
    return logits_to_probs(widen(logits)).to(logits.dtype)


def _check_values(called, name, given):
    if not given.numel():
        return
    # The extreme tells all, NaN among it, and is found faster than a fault.
    extreme = given.amin() >= 0 if name == "probs" else given.amax() < torch.inf
    if not bool(extreme):
        sound = given >= 0 if name == "probs" else given < torch.inf
        raise refuse(
            called,
            f"{name} contain {_extreme(given[~sound])}",
            "numbers >= 0" if name == "probs" else "numbers below +inf; -inf rules a class out",
            f"Look at {name}[~torch.isfinite({name})] and at what made them.",
        )


def _extreme(tensor) -> float:
    """Pick the value to show: the least, or NaN."""
    return float(tensor.min())
