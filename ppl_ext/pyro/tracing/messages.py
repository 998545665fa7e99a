"""What a message of Pyro says about a site: its kind, its support and its plates."""

import pyro
import torch
from pyro.poutine.util import site_is_factor
from torch.distributions import biject_to, constraints

__all__ = [
    "event_dim_of",
    "has_moving_support",
    "is_data",
    "is_deterministic",
    "is_real",
    "plate_layout",
    "support_of",
    "transform_of",
]


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
    """The support of a site; None where its distribution does not tell."""
    try:
        return msg["fn"].support
    except (AttributeError, NotImplementedError):
        return None


def has_moving_support(msg: dict) -> bool:
    """Whether the bounds of a site's support are tensors, which may depend on other sites."""
    support = support_of(msg)
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    bounds = (getattr(support, side, None) for side in ("lower_bound", "upper_bound"))
    return any(isinstance(bound, torch.Tensor) for bound in bounds)


def transform_of(site: dict, caller: str) -> torch.distributions.Transform:
    """The bijection from unconstrained space to the support of a latent site.

    Args:
        site: Message or trace node of the site.
        caller: Name of the public object on whose behalf the error speaks.

    Returns:
        A torch transform.

    Raises:
        ValueError: If the site is discrete or its support has no bijection.
    """
    name, support = site["name"], support_of(site)
    kind = type(site["fn"]).__name__
    if support is None:
        raise ValueError(
            f"{caller}: latent site {name!r} is sampled from {kind}, which has no support; a "
            "distribution with one is expected, such as those of pyro.distributions. Give it one: "
            "support = constraints.real."
        )
    if support.is_discrete:
        raise ValueError(
            f"{caller}: latent site {name!r} is discrete ({kind}), where a continuous one is "
            "expected. Sum it out inside the model (for a mixture: dist.MixtureSameFamily), or "
            f"use the host's TraceEnum_ELBO on poutine.block(model, hide=[{name!r}])."
        )
    try:
        return biject_to(support)
    except NotImplementedError as error:
        raise ValueError(
            f"{caller}: the support of latent site {name!r} ({kind}: {support}) has no "
            "bijection to unconstrained space. Change its coordinates: poutine.reparam(model, "
            f"config={{{name!r}: ...}}) (ProjectedNormalReparam for a sphere)."
        ) from error


def event_dim_of(msg: dict) -> int:
    """Event dimensions of a site's value; a deterministic one is matched against its plates."""
    value, event_dim = msg["value"], msg["fn"].event_dim
    frames = [frame for frame in msg["cond_indep_stack"] if frame.vectorized]
    if not (frames and is_deterministic(msg) and event_dim == value.dim()):
        return event_dim
    for guess in range(value.dim()):
        batch = value.shape[: value.dim() - guess]
        if all(-f.dim <= len(batch) and batch[f.dim] == f.size for f in frames):
            return guess
    return event_dim


def plate_layout(
    name: str, shape: tuple[int, ...], event_dim: int, frames: tuple
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names the plate dimensions of a value and drops those that only pad it for broadcasting.

    Args:
        name: Site name; batch dimensions without a plate are called ``name_dim_0``, ....
        shape: Shape of the value as Pyro lays it out, batch dimensions first.
        event_dim: Number of rightmost dimensions that belong to one event.
        frames: The ``cond_indep_stack`` of the site.

    Returns:
        Names of the leading dimensions that are kept, and the kept shape.
    """
    num_batch = len(shape) - event_dim
    plates = {frame.dim: frame.name for frame in frames if frame.vectorized}
    names, kept = [], []
    for axis, size in enumerate(shape[:num_batch]):
        plate = plates.get(axis - num_batch)
        if plate is not None or size != 1:
            names.append(plate)
            kept.append(size)
    while names and names[-1] is None:
        names.pop()
    dims = tuple(f"{name}_dim_{k}" if plate is None else plate for k, plate in enumerate(names))
    return dims, (*kept, *shape[num_batch:])
