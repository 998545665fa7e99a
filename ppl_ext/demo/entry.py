"""What one method made of one problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ppl_ext.diagnostics.report import Report
    from ppl_ext.draws import Draws
    from ppl_ext.fitting import FitLog

__all__ = ["Entry"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One column of the demonstration's table.

    Args:
        method: "mean field", "full rank" or "NUTS".
        values: ``{site: array[draw, ...]}``, as the method draws them.
        seconds: Wall-clock time of the run without compilation.
        compile_seconds: Wall-clock time of compilation, 0 where it is part of the run.
        gradients: Gradients of the log density that were evaluated.
        judge_seconds: Wall-clock time of the verdict, its compilation included.
        draws: The same draws with both densities; None for NUTS.
        log: What the fit did; None for NUTS.
        report: The verdict on the fit; None for NUTS.
    """

    method: str
    values: Mapping[str, np.ndarray]
    seconds: float
    compile_seconds: float
    gradients: int
    judge_seconds: float = 0.0
    draws: Draws | None = None
    log: FitLog | None = None
    report: Report | None = None
