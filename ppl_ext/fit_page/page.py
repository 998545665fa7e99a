"""A page on a fit: the verdict first, then the sites, the pictures, the settings."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from ppl_ext import __version__
from ppl_ext.diagnostics import Report, Verdict
from ppl_ext.draws.draws import Draws
from ppl_ext.draws.summary import render_summary
from ppl_ext.fit_page.pictures import draw_elbo, draw_marginals, draw_weights
from ppl_ext.markup import (
    render_heading,
    render_page,
    render_picture,
    render_sentence,
    render_table,
)

__all__ = ["Content", "render_content"]

_MOST_ROWS = 200


@dataclass(frozen=True, eq=False)
class Content:
    """What a page is made of.

    Args:
        title: The fit in a line.
        report: The verdict on it.
        draws: The draws that it gives.
        of_guide: Draws of its guide, not resampled.
        settings: ``{name: words}``, what was fitted and how.
        packages: Names of the packages of its host.
    """

    title: str
    report: Report
    draws: Draws
    of_guide: Draws
    settings: Mapping[str, str]
    packages: tuple[str, ...]


def render_content(content: Content) -> bytes:
    """Make the page; needs matplotlib.

    Args:
        content: What goes on it.

    Returns:
        The file.

    Example:
        >>> import numpy as np
        >>> from ppl_ext.diagnostics import judge
        >>> from ppl_ext.fitting import FitLog
        >>> def draw(seed):
        ...     x = np.random.default_rng(seed).standard_normal(500)
        ...     return Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 2)
        >>> log = FitLog(np.array([2.0, 1.0]), "converged", True, seconds=0.1)
        >>> draws, report = draw(0), judge([draw(1), draw(2)], log)
        >>> page = render_content(Content("Fit", report, draws, draws, {}, ("numpy",)))
        >>> page.count(b"<img "), b"<script" in page
        (3, False)
    """
    report, draws = content.report, content.draws
    table = render_summary(draws.values, draws.dims, draws.coords, _MOST_ROWS)
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", *content.packages)}
    settings = {
        **content.settings,
        "ppl_ext": __version__,
        "Python": platform.python_version(),
        **versions,
    }
    parts = [
        render_heading(content.title, 2),
        *report.render_parts(),
        render_heading("Sites"),
        render_sentence(_describe_draws(content)),
        *table,
        render_heading("Pictures"),
        *_render_pictures(content),
        render_heading("Settings and versions"),
        render_table(settings.items()),
    ]
    return render_page(content.title, parts)


def _describe_draws(content: Content) -> str:
    """Whose draws the table and the marginals show, and whether they can be believed."""
    draws, report = content.draws, content.report
    whose = f"{draws.num_draws:,} draws of the guide as they are"
    if report.chains is not None:
        whose = f"{draws.num_draws:,} draws by sequential Monte Carlo"
    elif draws.resampled:
        whose = f"{draws.num_draws:,} draws of the guide, resampled by their importance weights"
    if report.verdict is Verdict.RESAMPLE:
        return f"{whose}; the verdict asks to resample them first: draws.resample()."
    return f"{whose}, which are {report.verdict}."


def _render_pictures(content: Content) -> list[str]:
    draws, log = content.draws, content.report.details.log
    count, judged = content.of_guide.num_draws, content.report.details.num_draws
    marginals, left = draw_marginals(draws)
    parts = []
    if marginals is not None:
        parts.append(render_picture(marginals, "Marginal densities of these draws."))
    if left:
        parts.append(render_sentence(left))
    weights = draw_weights(content.of_guide)
    if weights is not None:
        caption = (
            f"Importance weights of {count:,} draws of the guide and the Pareto tail fitted to "
            f"them; the verdict is by {judged:,} others, and by more than this tail."
        )
        parts.append(render_picture(weights, caption))
    if len(log.losses):
        parts.append(render_picture(draw_elbo(log), "ELBO over the steps of the optimiser."))
    return parts
