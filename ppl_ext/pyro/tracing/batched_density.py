"""A function of one draw, evaluated at many: vectorised where it can be, in bounded memory."""

from collections.abc import Callable, Hashable, Mapping

import numpy as np
import torch

from ppl_ext.pyro.tracing.isolation import model_scope
from ppl_ext.pyro.tracing.run_at_point import ChangedSitesError

__all__ = ["Arrays", "Tensors", "batch_size", "in_batches", "over_draws", "to_points"]

Tensors = dict[Hashable, torch.Tensor]
Arrays = dict[Hashable, np.ndarray]

# Floats that a batch of draws may hold at the sites of the model; autograd keeps some ten times
# as many, and far larger batches leave the processor's cache.
_BATCH_FLOATS = 1_000_000
_BATCH_DRAWS = 1024


def batch_size(floats: int) -> int:
    """Draws of one batch, if one draw holds this many floats."""
    return min(_BATCH_DRAWS, max(1, _BATCH_FLOATS // max(1, floats)))


def over_draws(
    function: Callable[[torch.Tensor], Tensors],
    points: torch.Tensor,
    shapes: Mapping[Hashable, tuple[int, ...]],
    size: int,
    randomness: str = "same",
) -> Arrays:
    """Evaluates a function of one point at every draw, without gradients.

    Args:
        function: ``point -> {name: value}``.
        points: What it is called with, one row for each draw.
        shapes: Shape of each value.
        size: Draws of one batch; 1 does without ``vmap``.
        randomness: ``"different"`` where each draw has random numbers of its own; ``"same"`` where
            the value does not depend on any.

    Returns:
        For each name the values, shape [draw, ...]; NaN for a draw at which the function failed.
    """
    vectorised = torch.func.vmap(function, randomness=randomness)

    def evaluate(batch: torch.Tensor) -> Tensors:
        with torch.no_grad():
            if len(batch) > 1:
                return vectorised(batch)
            return {name: value[None] for name, value in function(batch[0]).items()}

    return in_batches(evaluate, points, shapes, size)


def in_batches(
    function: Callable[[torch.Tensor], Tensors],
    points: torch.Tensor,
    shapes: Mapping[Hashable, tuple[int, ...]],
    size: int,
) -> Arrays:
    """Calls a function of a batch on some draws at a time and joins what it returns.

    Args:
        function: ``points[draw, ...] -> {name: values[draw, ...]}``.
        points: One row for each draw.
        shapes: Shape of each value.
        size: Draws of one batch.

    Returns:
        For each name the values, floats in float64; NaN for a draw at which the function failed.
    """
    with model_scope():
        parts = [
            part for batch in points.split(size) for part in _around_failures(function, batch)
        ]
    joined = {}
    for name, shape in shapes.items():
        missing = torch.full((1, *shape), torch.nan, device=points.device)
        values = torch.cat([missing if part is None else part[name] for part in parts]).detach()
        joined[name] = (values.double() if values.is_floating_point() else values).cpu().numpy()
    return joined


def _around_failures(function: Callable, batch: torch.Tensor) -> list[Tensors | None]:
    """Halves a batch in which the model raises until the draw that does it stands alone: None."""
    try:
        return [function(batch)]
    except ChangedSitesError:
        raise
    except (torch.linalg.LinAlgError, ValueError):
        if len(batch) == 1:
            return [None]
    halves = batch.split((len(batch) + 1) // 2)
    return [part for half in halves for part in _around_failures(function, half)]


def to_points(caller: str, z: np.ndarray, dim: int) -> torch.Tensor:
    """Points on unconstrained space as a tensor.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        z: The points, shape [draw, dim].
        dim: Number of coordinates.

    Raises:
        ValueError: If z is of another shape.
    """
    z = np.asarray(z, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] != dim:
        raise ValueError(
            f"{caller}: the density was called with an array of shape {z.shape}, where "
            f"[draw, {dim}] is expected. Give one draw as z[None, :]."
        )
    return torch.as_tensor(z)
