"""What training on minibatches gives: parameters, the log, and draws of what rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ppl_ext.diagnostics.report import Report
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.pyro.tracing.isolation import choose_seed
from ppl_ext.pyro.tracing.turns import in_turn
from ppl_ext.pyro.training.draws import draw_and_score
from ppl_ext.training.log import MinibatchLog
from ppl_ext.training.report import REPORT_DRAWS, judge_training
from ppl_ext.training.streams import Source, as_source

__all__ = ["MinibatchFit"]


@dataclass(frozen=True, eq=False)
class MinibatchFit:
    """A model and a guide that were trained on minibatches.

    Args:
        params: Averaged parameters of guide and model, those of the parameter store.
        log: How the training went.
        model: The model.
        guide: The guide.

    Example:
        >>> import numpy as np
        >>> one, none = np.ones(1), np.zeros(0)
        >>> log = MinibatchLog(90 * one, one, none, none, one, 1.0, "done", True, 0.5, 9)
        >>> print(MinibatchFit({"loc": torch.zeros(2)}, log, print, print))
        done after 90 steps in 9 epochs and 0.5 s; loss 1 on the latest epochs
    """

    params: dict[str, torch.Tensor]
    log: MinibatchLog
    model: Callable[..., Any]
    guide: Callable[..., Any]

    def __str__(self) -> str:
        return str(self.log)

    @in_turn
    def draws(self, batches: Source, num_draws: int = 1000, seed: int | None = None) -> Draws:
        """Draw the latent sites that all rows share, and score every draw on all rows.

        One pass through the data, so that importance weights say what the guide is worth:
        ``fit.draws(batches).resample().khat`` is below .7 where its draws may be reweighted to
        the posterior. The parameters are those of the parameter store.

        Args:
            batches: All rows once, in batches of any size: `Minibatches`, or what
                `fit_minibatches` takes. Not a part that `Minibatches.split` has made.
            num_draws: Number of draws.
            seed: Seed of the draws; by default from torch's random state.

        Returns:
            The draws, with the log densities of all data and of the guide.

        Raises:
            ValueError: A latent site belongs to single rows, as those of an encoder do, or is
                not drawn by the guide; or the batches are not all rows once.
            NotImplementedError: Several plates show some of their rows.

        Example:
            >>> import numpy as np, pyro, pyro.distributions as dist
            >>> from ppl_ext.pyro import AutoFullRank, Minibatches, fit_minibatches
            >>> def model(x):
            ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
            ...     with pyro.plate("rows", 500, subsample_size=len(x)):
            ...         pyro.sample("x", dist.Normal(mu, 1.0), obs=x)
            >>> x = np.random.default_rng(0).normal(3.0, 1.0, 500).astype(np.float32)
            >>> batches = Minibatches(x, batch_size=100)
            >>> pyro.clear_param_store()
            >>> fit = fit_minibatches(model, AutoFullRank(model), batches, seed=0)
            >>> draws = fit.draws(batches, seed=1)
            >>> bool(abs(draws.values["mu"].mean() - x.mean()) < 0.01)
            True
        """
        check_count("MinibatchFit.draws", "num_draws", num_draws, "num_draws=1000")
        source = as_source(batches)
        return draw_and_score(self.model, self.guide, source, num_draws, choose_seed(seed))

    @in_turn
    def report(self, batches: Source, seed: int | None = None) -> Report:
        """Judge the guide by twenty thousand draws, each scored on all rows in one pass.

        By their importance weights: a mode that the guide has missed is not searched for, as
        `fit` does where it sees all data.

        Args:
            batches: All rows once, as for `draws`.
            seed: Seed of the draws; by default from torch's random state.

        Returns:
            The verdict with the numbers behind it; print it.

        Raises:
            ValueError: As `draws`; or the model's density is finite at no draw.
        """
        return judge_training(self.draws(batches, REPORT_DRAWS, seed), self.log)
