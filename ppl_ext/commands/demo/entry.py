"""What one method made of one problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ppl_ext.diagnostics.report import Report
    from ppl_ext.draws.draws import Draws

__all__ = ["Entry", "Judgement"]


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict on a fit, and the draws that are shown.

    Args:
        draws: Draws of the guide, with both densities.
        report: The verdict.
        seconds: Wall-clock time of the verdict, its compilation included.
    """

    draws: Draws
    report: Report
    seconds: float


@dataclass(frozen=True, eq=False)
class Entry:
    """One column of the demonstration's table.

    Args:
        method: "mean field", "full rank" or "NUTS".
        values: ``{site: array[draw, ...]}``, as the method draws them.
        seconds: Wall-clock time of the run without compilation.
        compile_seconds: Wall-clock time of compilation, 0 where nothing is compiled beforehand.
        gradients: Gradients of the log density that were evaluated.
        judgement: The verdict on a fit; None for NUTS.
    """

    method: str
    values: Mapping[str, np.ndarray]
    seconds: float
    compile_seconds: float
    gradients: int
    judgement: Judgement | None = None
