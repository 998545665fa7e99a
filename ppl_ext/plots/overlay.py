"""Several posteriors of the same sites in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ppl_ext.draws.draws import Draws
from ppl_ext.plots.palette import DASHES, GREY, SERIES, SHADES, open_axes
from ppl_ext.plots.quantities import collect_quantities

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["plot_marginal_overlay", "plot_pair_overlay"]

# Draws used for one density estimate: more would move no line by its own width.
_DRAWS = 4000
_MOST_COLUMNS = 8
_MASSES = (0.9, 0.5)
_IQR_OF_NORMAL = 1.349


def plot_marginal_overlay(
    data: Mapping[str, Draws | xarray.DataTree],
    ax: Axes | None = None,
    *,
    site: str | None = None,
    **style: Any,
) -> Axes:
    """Plot the marginal densities of one quantity under several posteriors.

    The first posterior is the reference and shaded. Not for integers, whose density has no
    meaning.

    Args:
        data: ``{label: draws or tree}``, the reference (NUTS, say) first.
        ax: Axes to draw on; new ones if None.
        site: A scalar site, or an entry such as ``"theta[3]"`` with the label of its coordinate.
            May be None where the posterior has one scalar only.
        **style: Passed to every line.

    Returns:
        The axes.

    Raises:
        ValueError: A site is missing in one of the posteriors, or more than one is meant.

    Example:
        >>> x = np.random.default_rng(0).normal(size=500)
        >>> draws = Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 2)
        >>> plot_marginal_overlay({"guide": draws}).get_xlabel()
        'x'
    """
    columns = collect_quantities("plot_marginal_overlay", data, None if site is None else [site])
    names = list(next(iter(columns.values())))
    if len(names) != 1:
        raise ValueError(
            f"plot_marginal_overlay: site={site!r} means {names}; expected one quantity. "
            f"Choose one: site={names[0]!r}."
        )
    ax = open_axes(ax)
    _draw_marginals(ax, {label: values[names[0]] for label, values in columns.items()}, style)
    ax.set_xlabel(names[0])
    ax.set_ylabel("density")
    ax.legend(frameon=False)
    return ax


def plot_pair_overlay(
    data: Mapping[str, Draws | xarray.DataTree],
    axes: np.ndarray | None = None,
    *,
    sites: Sequence[str] | None = None,
    **style: Any,
) -> np.ndarray:
    """Plot all pairs of quantities under several posteriors, with their marginals.

    The first posterior is the reference and shaded; the others are lines. Contours hold 50 % and
    90 % of the draws. Needs a grid of axes, hence an array of them. Not for more than eight
    quantities at once.

    Args:
        data: ``{label: draws or tree}``, the reference (NUTS, say) first.
        axes: ``[n, n]`` axes for n quantities; new ones if None. The upper triangle is hidden.
        sites: Sites (all their entries) or single entries such as ``"theta[3]"``; all if None.
        **style: Passed to every contour and line.

    Returns:
        The axes, ``[n, n]``.

    Raises:
        ValueError: A site is missing in one of the posteriors, is constant, or there are more
            than eight quantities.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(500, 2))
        >>> draws = Draws({"z": z}, log_p=np.zeros(500), log_q=np.zeros(500))
        >>> plot_pair_overlay({"guide": draws}).shape
        (2, 2)
    """
    columns = collect_quantities("plot_pair_overlay", data, sites)
    names = list(next(iter(columns.values())))
    count = len(names)
    if count > _MOST_COLUMNS:
        raise ValueError(
            f"plot_pair_overlay: {count} quantities; expected at most {_MOST_COLUMNS}. Choose "
            f"some: sites={names[:3]}."
        )
    if axes is None:
        import matplotlib.pyplot as plt

        side = 1.0 + 1.7 * count
        _, axes = plt.subplots(
            count, count, figsize=(side, side), squeeze=False, layout="constrained"
        )
    axes = np.asarray(axes)
    if axes.shape != (count, count):
        raise ValueError(
            f"plot_pair_overlay: axes of shape {axes.shape} for {count} quantities; expected "
            f"({count}, {count}). Write plt.subplots({count}, {count}, squeeze=False)."
        )
    limits = {name: _find_limits([values[name] for values in columns.values()]) for name in names}
    for row, below in enumerate(names):
        for column, left in enumerate(names):
            ax = open_axes(axes[row, column])
            if column > row:
                ax.set_visible(False)
                continue
            if column == row:
                _draw_marginals(ax, {label: v[left] for label, v in columns.items()}, style)
                ax.set_yticks([])
                ax.spines["left"].set_visible(False)
            else:
                pairs = {label: np.stack([v[left], v[below]]) for label, v in columns.items()}
                _draw_contours(ax, pairs, (limits[left], limits[below]), style)
                ax.set_ylim(limits[below])
            ax.set_xlim(limits[left])
            ax.tick_params(
                labelbottom=row == count - 1, labelleft=column == 0 and row > 0, labelsize="small"
            )
            if row == count - 1:
                ax.set_xlabel(left)
            if column == 0 and row > 0:
                ax.set_ylabel(below)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].figure.legend(handles, labels, loc="upper right", frameon=False)
    return axes


def _thin(values: np.ndarray) -> np.ndarray:
    return values[..., :: -(-values.shape[-1] // _DRAWS)]


def _find_limits(samples: Sequence[np.ndarray]) -> tuple[float, float]:
    """What holds 99 % of every posterior and a margin, but nothing beyond the draws."""
    quantiles = np.array([np.quantile(values, [0.005, 0.995]) for values in samples])
    low, high = float(quantiles[:, 0].min()), float(quantiles[:, 1].max())
    margin = 0.08 * (high - low)
    lowest, highest = min(v.min() for v in samples), max(v.max() for v in samples)
    return max(low - margin, float(lowest)), min(high + margin, float(highest))


def _draw_marginals(ax: Axes, samples: Mapping[str, np.ndarray], style: Mapping[str, Any]) -> None:
    grid = np.linspace(*_find_limits(list(samples.values())), 256)
    for number, (label, values) in enumerate(samples.items()):
        density = _estimate_density(values, grid)
        if number == 0:
            ax.fill_between(grid, density, color=SHADES[0], linewidth=0)
        line = {"color": GREY if number == 0 else SERIES[(number - 1) % len(SERIES)],
                "linestyle": "-" if number == 0 else DASHES[(number - 1) % len(DASHES)],
                "linewidth": 1.6}  # fmt: skip
        ax.plot(grid, density, label=label, **{**line, **style})
    ax.set_ylim(bottom=0)


def _estimate_density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Kernel density; where it ends steeply, as at a bound, its mass beyond is folded back."""
    kernel = stats.gaussian_kde(_thin(values))
    spread = np.subtract(*np.quantile(values, [0.75, 0.25])) / _IQR_OF_NORMAL
    # Scott's rule with the standard deviation smears a heavy tail over the whole picture.
    if 0 < spread < values.std():
        kernel.set_bandwidth(kernel.factor * spread / values.std())
    density: np.ndarray = kernel(grid)
    folded = density.copy()
    for end, inside in (
        (values.min(), grid >= values.min()),
        (values.max(), grid <= values.max()),
    ):
        if kernel(end)[0] > 0.05 * density.max():
            folded = np.where(inside, folded + kernel(2 * end - grid), 0.0)
    return folded


def _draw_contours(
    ax: Axes,
    pairs: Mapping[str, np.ndarray],
    limits: tuple[tuple[float, float], tuple[float, float]],
    style: Mapping[str, Any],
) -> None:
    x, y = (np.linspace(*ends, 56) for ends in limits)
    points = np.stack(np.meshgrid(x, y)).reshape(2, -1)
    for number, pair in enumerate(pairs.values()):
        kernel = stats.gaussian_kde(_thin(pair))
        # A little smoother than Scott's rule, which leaves dents in the outer contour.
        kernel.set_bandwidth(1.2 * kernel.factor)
        density = kernel(points).reshape(len(y), len(x))
        ordered = np.sort(density, axis=None)[::-1]
        mass = np.cumsum(ordered) / ordered.sum()
        levels = [ordered[np.searchsorted(mass, m)] for m in _MASSES]
        if number == 0:
            ax.contourf(x, y, density, [*levels, np.inf], colors=SHADES)
            ax.contour(x, y, density, levels, colors=GREY, linewidths=0.8)
            continue
        line = {"colors": SERIES[(number - 1) % len(SERIES)],
                "linestyles": [DASHES[(number - 1) % len(DASHES)]], "linewidths": 1.4}  # fmt: skip
        # Contours call the same settings by their plurals.
        plural = {
            f"{key}s" if key in ("color", "linestyle", "linewidth") else key: value
            for key, value in style.items()
        }
        ax.contour(x, y, density, levels, **{**line, **plural})
