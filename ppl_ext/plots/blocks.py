"""A table in blocks as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.factorization.result.biclusters import Blocks

__all__ = ["plot_blocks"]


def plot_blocks(blocks: Blocks, ax: Axes | None = None, **style: Any) -> Axes:
    """Plot predicted ratings as a heat map, alike users and alike items side by side.

    White lines separate the groups. The colours span all but the outermost hundredth of the
    values, which would otherwise hide the rest. Not for reading off a single rating.

    Args:
        blocks: The sorted table, from `ppl_ext.factorization.sort_blocks`.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the heat map, such as ``cmap``, ``vmin`` or ``vmax``.

    Returns:
        The axes.

    Example:
        >>> from ppl_ext.factorization import sort_blocks
        >>> table = np.kron(np.eye(2), np.ones((3, 4)))
        >>> plot_blocks(sort_blocks(table, 2)).get_xlabel()
        'item, in 2 groups'
    """
    ax = open_axes(ax, width=6.0, height=5.0)
    low, high = np.quantile(blocks.values, [0.005, 0.995])
    settings = {"cmap": "cividis", "vmin": low, "vmax": high, "aspect": "auto",
                "interpolation": "nearest", "rasterized": True, **style}  # fmt: skip
    image = ax.imshow(blocks.values, **settings)
    for cut in blocks.row_cuts:
        ax.axhline(cut - 0.5, color="white", linewidth=1.2)
    for cut in blocks.column_cuts:
        ax.axvline(cut - 0.5, color="white", linewidth=1.2)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["bottom", "left"]].set_visible(False)
    for name, cuts, write in (
        ("item", blocks.column_cuts, ax.set_xlabel),
        ("user", blocks.row_cuts, ax.set_ylabel),
    ):
        write(f"{name}, in {len(cuts) + 1} group{'s' if len(cuts) else ''}")
    rows, columns = blocks.values.shape
    ax.set_title(f"{rows:,} users, {columns:,} items", fontsize="medium", loc="left")
    bar = ax.figure.colorbar(image, ax=ax, label="predicted rating", extend="both")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return ax
