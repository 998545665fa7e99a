"""What flows of both hosts are made of: their arguments, and the order of their coordinates."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ppl_ext.fitting.calls import check_count

__all__ = ["check_context", "check_flow", "draw_order"]


def check_flow(
    kind: str,
    dim: int,
    context_dim: Any,
    transform: str,
    num_layers: int,
    hidden: Sequence[int],
    num_bins: int,
    bound: float,
) -> None:
    """Refuse arguments of which no flow can be made.

    Args:
        kind: Name of the flow's class.
        dim: Length of the vectors.
        context_dim: Length of a context, 0 for none.
        transform: What moves a coordinate, ``"spline"`` or ``"affine"``.
        num_layers: Number of layers.
        hidden: Widths of the hidden layers of a network.
        num_bins: Bins of a spline.
        bound: Half the width of a spline's box.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> check_flow("CouplingFlow", 2, 0, "spline", 6, (64, 64), 8, 5.0)
    """
    check_count(kind, "dim", dim, f"{kind}(2)")
    check_count(kind, "num_layers", num_layers, f"{kind}({dim}, num_layers=6)")
    check_count(kind, "num_bins", num_bins, f"{kind}({dim}, num_bins=8)")
    for width in hidden:
        check_count(kind, "hidden", width, f"{kind}({dim}, hidden=(64, 64))")
    whole = isinstance(context_dim, Integral) and int(context_dim) >= 0
    known = transform in ("spline", "affine")
    for name, found, fits, expected, example in (
        ("context_dim", context_dim, whole, "a whole number, 0 for no context", 0),
        ("transform", transform, known, "'spline' or 'affine'", "'spline'"),
        ("bound", bound, bound > 0, "a positive number", 5.0),
    ):
        if not fits:
            raise ValueError(
                f"{kind}: {name} = {found!r}; expected {expected}, such as "
                f"{kind}({dim}, {name}={example})."
            )


def check_context(
    kind: str, dim: int, context_dim: int, shape: tuple[int, ...] | None, call: str
) -> None:
    """Refuse a context that a flow was not made for.

    Args:
        kind: Name of the flow's class.
        dim: Length of its vectors.
        context_dim: Length of its contexts, 0 for none.
        shape: Shape of the context, None where there is none.
        call: How the flow is called with one, ``"(context)"``.

    Raises:
        ValueError: The context is missing, not wanted or of another width.

    Example:
        >>> check_context("CouplingFlow", 2, 3, (100, 3), "(context)")
    """
    if (shape is None) == (context_dim == 0) and (shape is None or shape[-1:] == (context_dim,)):
        return
    found = "missing" if shape is None else f"of shape {shape}"
    expected = f"shape [..., {context_dim}]" if context_dim else "none"
    flow = "flow" if context_dim else f"{kind}({dim}, context_dim=...)"
    raise ValueError(
        f"{kind}: the context is {found}; expected {expected}, for the flow was made with "
        f"context_dim={context_dim}. Write {flow}{call}."
    )


def draw_order(dim: int, seed: int) -> np.ndarray:
    """An order of the coordinates, that of the model first; no random state is touched.

    Args:
        dim: Number of coordinates.
        seed: Number of the order, 0 for that of the model.

    Returns:
        Positions ``[dim]``.

    Example:
        >>> draw_order(3, 0).tolist(), sorted(draw_order(3, 1).tolist())
        ([0, 1, 2], [0, 1, 2])
    """
    return np.arange(dim) if seed == 0 else np.random.default_rng(seed).permutation(dim)
