"""The verdict on a guide that was trained on minibatches."""

from __future__ import annotations

from dataclasses import replace

from ppl_ext.diagnostics.judging import judge
from ppl_ext.diagnostics.report import Report
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.training.log import MinibatchLog

__all__ = ["REPORT_DRAWS", "judge_training"]

REPORT_DRAWS = 20_000
_BATCHES = 8  # whose spread tells how sure the figures are


def judge_training(draws: Draws, log: MinibatchLog) -> Report:
    """Judge a guide by draws that were scored on all rows.

    Importance weights alone: batches have no log density that searches for other modes could
    climb.

    Args:
        draws: Of the guide, ten thousand at least.
        log: How the training went.

    Returns:
        The report.

    Raises:
        ValueError: The model's density is finite at none of the draws.

    Example:
        >>> import numpy as np
        >>> x, one = np.random.default_rng(0).standard_normal(10_000), np.ones(1)
        >>> draws = Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 2)
        >>> log = MinibatchLog(one, one, one, one, one, 1.0, "done", True, 0.5, 1)
        >>> print(judge_training(draws, log).verdict)
        good
    """
    size = -(-draws.num_draws // _BATCHES)
    parts = (slice(start, start + size) for start in range(0, draws.num_draws, size))
    batches = (
        replace(
            draws,
            values={name: value[part] for name, value in draws.values.items()},
            log_p=draws.log_p[part],
            log_q=draws.log_q[part],
        )
        for part in parts
    )
    return judge(batches, FitLog(log.losses, log.reason, log.converged, log.seconds))
