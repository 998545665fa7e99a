"""A fit as it is seen, whichever host has made it."""

import abc
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from ppl_ext.climbing import Climb
from ppl_ext.diagnostics import Report
from ppl_ext.diagnostics.steps import STEP_HEADS, list_steps
from ppl_ext.draws.draws import Draws
from ppl_ext.fit_page.page import Content, render_content
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution
from ppl_ext.markup import render_fragment, render_heading, render_sentence, render_table
from ppl_ext.whole_files import find_target, replace_file

__all__ = ["AbstractFit"]


class AbstractFit(abc.ABC):
    """A fit that can be looked at; a room's ``Fit`` adds what its host is needed for.

    Attributes:
        guide: The guide.
        log: What the optimisation did and why it ended.
        solution: The solver's Gaussian; None after a stochastic fit.
        climb: The steps beyond the first guide; None where there was no climb.

    Example:
        >>> AbstractFit.__abstractmethods__ == {"report", "_describe", "_draw_page"}
        True
    """

    guide: Callable[..., Any]
    log: FitLog
    solution: GaussianSolution | None
    climb: Climb | None
    _reports: list[Report]

    def __repr__(self) -> str:
        elbo = -self.log.final_loss if self.solution is None else self.solution.elbo
        words = [self._guide_name]
        if self._reports:
            elbo = self._reports[0].elbo
            words.append(self._reports[0].verdict)
        if self.climb is not None and self.climb.leaves_guide:
            words.append(f"by {self.climb.steps[-1].name}")
        return f"Fit({', '.join([*words, f'ELBO {elbo:,.2f}', self.log.end])})"

    def _repr_html_(self) -> str:
        # To look at a fit must not judge it, which draws thousands of times.
        if self._reports:
            shown = self._reports[0].render_parts()
        else:
            steps = () if self.climb is None else list_steps(self.climb.steps)
            shown = (
                render_sentence("The report is not made yet: fit.report()."),
                render_table(steps, STEP_HEADS),
                render_table([("optimisation", str(self.log))]),
            )
        sites, _ = self._describe()
        rows = [(name, str(list(shape) or "scalar")) for name, shape in sites.items()]
        heading, table = render_heading(repr(self)), render_table(rows, ("site", "shape"))
        return render_fragment([heading, *shown, table])

    @abc.abstractmethod
    def report(self) -> Report:
        """Judge the draws."""

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write a page on the fit: one file, with its pictures in it, that asks for no other.

        The verdict, what to do, the sites, pictures of marginals, weights and optimisation, the
        settings, the versions. The draws are those of ``fit.draws`` with the seed, or the key of
        the seed, 0, so that the page of a fit is always the same. Makes the report where there
        is none yet. Not for tables of all elements of a large model: it shows the first 200.

        Args:
            path: Where to; customarily ``*.html``. Written whole or not at all.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            ValueError: The path is empty, or `report` refuses the fit.
            FileNotFoundError: There is no such folder.
            IsADirectoryError: The path is a folder.
        """
        called = "Fit.to_html"
        find_target(called, path, "fit.html")  # before anything is drawn
        if find_spec("matplotlib") is None:
            raise ModuleNotFoundError(
                f"{called}: matplotlib is not installed, so no pictures; expected it. Run: "
                'pip install "ppl-ext[plots]".'
            )
        report = self.report()
        draws, of_guide = self._draw_page()
        sites, packages = self._describe()
        settings = {"guide": self._guide_name, "sites": ", ".join(sites)}
        content = Content(repr(self), report, draws, of_guide, settings, packages)
        replace_file(called, path, render_content(content))

    @property
    def _guide_name(self) -> str:
        return getattr(self.guide, "__name__", type(self.guide).__name__)

    @abc.abstractmethod
    def _describe(self) -> tuple[Mapping[str, tuple[int, ...]], tuple[str, ...]]:
        """The sites of a draw with their shapes, and the packages of the host."""

    @abc.abstractmethod
    def _draw_page(self) -> tuple[Draws, Draws]:
        """Draws of the fit, and draws of its guide with their weights; often the same."""
