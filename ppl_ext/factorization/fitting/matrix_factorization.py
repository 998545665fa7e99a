"""Bayesian matrix factorization: settings, and the fit."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.fitting.climb import climb_elbo
from ppl_ext.factorization.fitting.excess import describe_excess
from ppl_ext.factorization.fitting.first_state import open_start, read_both, start_posterior
from ppl_ext.factorization.model.checks import check_held_out, check_ratings, check_settings
from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.priors import AbstractPrior, FullCovariance
from ppl_ext.factorization.model.side_rows import require_numba
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.whole_files import find_target

__all__ = ["MatrixFactorization"]

_CALLED = "MatrixFactorization.fit"


@dataclass(frozen=True)
class MatrixFactorization:
    r"""A table of ratings as a product of Gaussian factors, fitted by exact coordinate ascent.

    .. math:: r_{ij} \sim N(m + b_i + c_j + u_i \cdot v_j,\ \sigma^2 / (a_i g_j)) \\
              (u_i, b_i) \sim N(\mu_u, \Lambda_u^{-1}), \quad
              (v_j, c_j) \sim N(\mu_v, \Lambda_v^{-1})

    with one Gaussian of full covariance for each user and each item, a Gamma for each weight, and
    priors and noise learned by maximising the same ELBO. Every update has a closed form; there is
    no learning rate, and the ELBO never falls.

    Not for implicit feedback (clicks, plays), where what is missing is a signal too, and not for
    ratings whose order alone has a meaning.

    Args:
        num_factors: Length of u and v. More cost time; the priors keep them from fitting noise.
        biases: Whether users and items have levels of their own, b and c.
        center: The constant m; the mean of the ratings if None.
        user_prior: What the prior of the users learns.
        item_prior: What the prior of the items learns.
        noise: What the noise learns.
        diagonal: Neglect the covariances of a user's factors with one another, and an item's: less
            accurate, a little faster, and no smaller.
        tolerance: Rise of the ELBO in a sweep, in nats per rating, at which the fit ends.
        max_sweeps: The limit.
        start_sds: Standard deviation of the random means that the items' factors start from, and
            that of each posterior around them; fractions of the ratings' own if None.
        num_starts: Number of starts; the one with the best ELBO is returned.
        seed: Seed of the starts. The same seed gives the same answer on any number of threads.
        num_threads: Threads to run on; one for each processor if None.
        dtype: Type of what is stored. Solves, and sums of more than 512 ratings, are in double
            precision in any case. Single precision is enough unless the noise is below a
            thousandth of the ratings' spread: there the ELBO may fall by what was rounded, and
            float64 is the cure.

    Raises:
        ValueError: A setting is outside its range.
        TypeError: A prior or the noise is of another type.

    Example:
        >>> from ppl_ext.factorization import simulate_ratings, split_by_row
        >>> train, test = split_by_row(simulate_ratings(seed=0).ratings)
        >>> factors = MatrixFactorization(num_factors=4).fit(train, progress_bar=False)
        >>> bool(np.all(np.diff(factors.elbo) > 0))
        True
        >>> factors.predict([3, 4], [5, 5]).sd.shape, factors.assess(test).ok
        ((2,), True)

    References:
        Lim, Teh (2007), Variational Bayesian approach to movie rating prediction, KDD Cup.
        Salakhutdinov, Mnih (2008), Bayesian probabilistic matrix factorization using Markov chain
        Monte Carlo, ICML.
        Rendle, Zhang, Koren (2019), On the difficulty of evaluating baselines, arXiv 1905.01395.
    """

    num_factors: int = 16
    biases: bool = True
    center: float | None = None
    user_prior: AbstractPrior = field(default_factory=FullCovariance)
    item_prior: AbstractPrior = field(default_factory=FullCovariance)
    noise: Noise = field(default_factory=Noise)
    diagonal: bool = False
    tolerance: float = 5e-4
    max_sweeps: int = 200
    start_sds: tuple[float, float] | None = None
    num_starts: int = 1
    seed: int = 0
    num_threads: int | None = None
    dtype: np.dtype = field(default=np.dtype(np.float32))

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        threads = 1 if self.num_threads is None else self.num_threads
        check_settings(
            counts={
                "num_factors": self.num_factors,
                "max_sweeps": self.max_sweeps,
                "num_starts": self.num_starts,
                "num_threads": threads,
            },
            priors={"user_prior": self.user_prior, "item_prior": self.item_prior},
            noise=self.noise,
            seed=self.seed,
            tolerance=self.tolerance,
            center=self.center,
            start_sds=self.start_sds,
            dtype=self.dtype,
        )

    def fit(
        self,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
        held_out: Ratings | None = None,
        start: Factors | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress_bar: bool = True,
    ) -> Factors:
        """Climb the ELBO until it stops rising, or until it no longer helps ratings held out.

        With ``start`` the fit goes on from other factors: from a checkpoint after an interruption,
        or from yesterday's after new ratings came in, with new users and items among them. Ctrl-C
        ends the fit after the sweep it is in and returns what was reached.

        Args:
            ratings: The ratings.
            user_features: What is known of every user: a pandas frame of numbers whose index
                holds the labels, a tuple of labels and a matrix, or a matrix ``[user, feature]``
                in the order of ``ratings.user_ids``, dense or SciPy sparse. Time and memory grow
                with the number of features: 2,000 take 0.4 s a sweep. See `Regression`.
            item_features: The same of every item.
            held_out: Ratings that are no part of the fit, nor of a later test. Given them, the fit
                ends where they have become no likelier in three sweeps, and the ELBO's rise is
                not asked. On ratings tables that changes little; where noise is nothing like the
                model's it prevents the worst.
            start: Factors to go on from, matched by the labels of users and items.
            checkpoint: File that the factors are written to every five sweeps and at the end.
            progress_bar: Draw a bar; silent where stderr is neither a terminal nor a notebook.

        Returns:
            The factors. Where the ratings cannot carry so many, a warning says so, and their log.

        Raises:
            ValueError: There are no ratings, or they are too spread for the ``dtype``; ``start``
                is of other settings, a feature is missing, or a rating held out is by nobody
                known; the message names whose.
            TypeError: A feature is no number, or an argument is of another type.
            ModuleNotFoundError: numba is not installed.
            FileNotFoundError: The folder of the checkpoint does not exist.
        """
        check_ratings(ratings, self.dtype)
        require_numba(_CALLED)
        if checkpoint is not None:
            find_target(f"{_CALLED}: checkpoint", checkpoint)
        if held_out is not None:
            check_held_out(ratings, held_out)
        known = None if start is None else open_start(_CALLED, self, start)
        features = read_both(_CALLED, self, ratings, user_features, item_features, known)
        mean = float(np.mean(ratings.values, dtype=np.float64))
        spread = float(np.var(ratings.values, dtype=np.float64)) or 1.0
        runs: list[Factors] = []
        for seed in np.random.SeedSequence(self.seed).spawn(1 if start else self.num_starts):
            begun = start_posterior(
                self,
                ratings.user_ids,
                ratings.item_ids,
                mean=mean,
                spread=spread,
                features=features,
                seed=seed,
                start=known,
            )
            runs.append(
                climb_elbo(
                    self,
                    begun,
                    ratings,
                    spread=spread,
                    designs=[design for _, design in features],
                    held_out=held_out,
                    start=start,
                    checkpoint=checkpoint,
                    progress_bar=progress_bar,
                )
            )
            if runs[-1].log.interrupted:
                break
        best = max(runs, key=lambda factors: factors.elbo[-1])
        ends = tuple(-float(factors.elbo[-1]) for factors in runs)
        best = replace(best, log=replace(best.log, start_losses=ends))
        # Before the end the noise may still be on its way down.
        if best.log.converged and (excess := describe_excess(best.posterior, ratings)):
            best = replace(best, log=replace(best.log, notes=(*best.log.notes, excess)))
            warnings.warn(f"{_CALLED}: {excess}", stacklevel=2)
        if checkpoint is not None:
            best.save(checkpoint)
        return best
