"""What training on minibatches gives: parameters, the log, and draws of what rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ppl_ext.diagnostics.report import Report
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn
from ppl_ext.numpyro.training.draws import draw_and_score
from ppl_ext.training.log import MinibatchLog
from ppl_ext.training.report import REPORT_DRAWS, judge_training
from ppl_ext.training.streams import Source, as_source

__all__ = ["MinibatchFit"]


@dataclass(frozen=True, eq=False)
class MinibatchFit:
    """A model and a guide that were trained on minibatches.

    Args:
        params: Averaged parameters of guide and model, as the host's functions take them:
            ``Predictive(guide, params=fit.params, num_samples=...)``.
        log: How the training went.
        model: The model.
        guide: The guide.

    Example:
        >>> import numpy as np
        >>> one, none = np.ones(1), np.zeros(0)
        >>> log = MinibatchLog(90 * one, one, none, none, one, 1.0, "done", True, 0.5, 9)
        >>> print(MinibatchFit({"loc": jax.numpy.zeros(2)}, log, print, print))
        done after 90 steps in 9 epochs and 0.5 s; loss 1 on the latest epochs
    """

    params: dict[str, Any]
    log: MinibatchLog
    model: Callable[..., Any]
    guide: Callable[..., Any]

    def __str__(self) -> str:
        return str(self.log)

    @in_turn
    def draws(self, rng_key: jax.Array, batches: Source, num_draws: int = 1000) -> Draws:
        """Draw the latent sites that all rows share, and score every draw on all rows.

        One pass through the data, so that importance weights say what the guide is worth:
        ``fit.draws(key, batches).resample().khat`` is below .7 where its draws may be
        reweighted to the posterior.

        Args:
            rng_key: Random key.
            batches: All rows once, in batches of any size: `Minibatches`, or what
                `fit_minibatches` takes. Not a part that `Minibatches.split` has made.
            num_draws: Number of draws.

        Returns:
            The draws, with the log densities of all data and of the guide.

        Raises:
            ValueError: A latent site belongs to single rows, as those of an encoder do, or is
                not drawn by the guide; or the batches are not all rows once.
            NotImplementedError: Several plates show some of their rows.

        Example:
            >>> import numpy as np, numpyro, numpyro.distributions as dist
            >>> from ppl_ext.numpyro import AutoFullRank, Minibatches, fit_minibatches
            >>> def model(x):
            ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
            ...     with numpyro.plate("rows", 1000, subsample_size=len(x)):
            ...         numpyro.sample("x", dist.Normal(mu, 1.0), obs=x)
            >>> x = np.random.default_rng(0).normal(3.0, 1.0, 1000).astype(np.float32)
            >>> batches = Minibatches(x, batch_size=100)
            >>> fit = fit_minibatches(jax.random.key(0), model, AutoFullRank(model), batches)
            >>> draws = fit.draws(jax.random.key(1), batches)
            >>> bool(abs(draws.values["mu"].mean() - x.mean()) < 0.01)
            True
        """
        called = "fit.draws(rng_key, batches)"
        check_rng_key("MinibatchFit.draws", rng_key, called)
        check_count("MinibatchFit.draws", "num_draws", num_draws, "num_draws=1000")
        source = as_source(batches)
        return draw_and_score(rng_key, self.model, self.guide, self.params, source, num_draws)

    @in_turn
    def report(self, rng_key: jax.Array, batches: Source) -> Report:
        """Judge the guide by twenty thousand draws, each scored on all rows in one pass.

        By their importance weights: a mode that the guide has missed is not searched for, as
        `fit` does where it sees all data.

        Args:
            rng_key: Random key.
            batches: All rows once, as for `draws`.

        Returns:
            The verdict with the numbers behind it; print it.

        Raises:
            ValueError: As `draws`; or the model's density is finite at no draw.
        """
        return judge_training(self.draws(rng_key, batches, REPORT_DRAWS), self.log)
