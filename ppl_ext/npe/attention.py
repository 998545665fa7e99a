"""What is asked of a set among whose rows a network attends."""

from __future__ import annotations

from ppl_ext.npe.features import Layout

__all__ = ["check_attention"]


def check_attention(layout: Layout, hidden: int, num_heads: int) -> None:
    """Refuse features without rows, and heads that do not divide the width.

    Args:
        layout: How the features lie.
        hidden: Width of the layers.
        num_heads: Heads of an attention.

    Raises:
        ValueError: There are no rows, or the heads do not divide the width.

    Example:
        >>> check_attention(Layout(vector_width=0, num_rows=3, row_width=2), 64, 4)
    """
    if not layout.num_rows:
        raise ValueError(
            f"SetTransformer: the {layout.width} features stand alone; expected rows in no order. "
            "Write exchangeable={site: axis}, or take ResidualMLP."
        )
    if num_heads < 1 or hidden % num_heads:
        raise ValueError(
            f"SetTransformer: num_heads = {num_heads} does not divide hidden = {hidden}; expected "
            "a divisor. Write functools.partial(SetTransformer, hidden=64, num_heads=4)."
        )
