"""Neural posterior estimation in which the user's model is the simulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ppl_ext.fitting.calls import check_count
from ppl_ext.npe.learning import LearningLog
from ppl_ext.npe.observation import take_one
from ppl_ext.npe.settings import Training
from ppl_ext.numpyro.npe.posterior import NeuralPosterior
from ppl_ext.numpyro.npe.task import Task, read_task
from ppl_ext.numpyro.npe.trained import Trained, load_trained, save_trained
from ppl_ext.numpyro.npe.training import train_network, train_rounds
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn
from ppl_ext.simulation import Simulations

__all__ = ["NPE"]

_Pairs = Simulations | tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]


class NPE:
    """Learn the posterior of every observation at once, from simulations of the model.

    A network is trained on pairs of latent values and data that the model itself draws; then the
    posterior of any data of that shape costs one pass through it. Latent sites are learned on
    unconstrained space, so that no draw leaves a support. Latent sites that are left out are
    marginalised. Rows of a plate that the model treats alike are read as a set, without order.

    Args:
        model: NumPyro model, with proper priors.
        *args: Its positional arguments, data among them, whose values do not count.
        observed: Names of the sites that are observed; all of the model's if None.
        latent: Names of the sites of interest; all latent sites if None.
        simulator: A simulator that is no probabilistic program,
            ``(values, rng) -> {site: array} or array``: latent values of one row and a NumPy
            generator; the model then is the prior alone.
        vectorized: Whether the simulator takes many rows at once, on a leading axis.
        exchangeable: ``{observed site: axis}`` of rows in no order; None looks for a plate whose
            rows the model treats alike.
        estimator: ``(dim, context_dim) -> conditional density``: a flow of
            `ppl_ext.numpyro.flows`, `MixtureDensity` or `FullRankGaussian` of
            `ppl_ext.numpyro.npe` (``functools.partial`` for their settings); a spline flow if
            None.
        embedding: ``layout -> embedding``: `ResidualMLP`, `DeepSet`, `SetTransformer`,
            `Convolution`, or an object of your own with ``context_dim``, ``init(rng_key)`` and
            ``__call__(params, features)``; one that suits the data if None.
        missing: Whether observations may lack values (NaN) and rows.
        **kwargs: Keyword arguments of the model.

    Raises:
        ValueError: A name is not that of a site, a latent site is discrete or has a support
            without a bijection, a prior is improper, or a plate draws minibatches.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> from ppl_ext.numpyro.npe import FullRankGaussian
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     with numpyro.plate("row", len(y)):
        ...         numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> npe = NPE(model, np.zeros(4), estimator=FullRankGaussian)
        >>> npe = npe.train(jax.random.key(0), 2000, progress_bar=False)
        >>> posterior = npe.posterior(np.full(4, 1.0))
        >>> draws = posterior.draws(jax.random.key(1), 4000)
        >>> round(float(draws.values["mu"].mean()), 1)
        0.8

    References:
        Papamakarios, Murray (2016), Fast epsilon-free inference of simulation models with Bayesian
        conditional density estimation, NeurIPS, arXiv:1605.06376.
        Cranmer, Brehmer, Louppe (2020), The frontier of simulation-based inference, PNAS 117(48).
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *args: Any,
        observed: str | Sequence[str] | None = None,
        latent: str | Sequence[str] | None = None,
        simulator: Callable[..., Any] | None = None,
        vectorized: bool = False,
        exchangeable: Mapping[str, int] | None = None,
        estimator: Callable[..., Any] | None = None,
        embedding: Callable[..., Any] | None = None,
        missing: bool = False,
        **kwargs: Any,
    ) -> None:
        self.task: Task = read_task(
            model, args, kwargs, observed, latent, simulator, vectorized, exchangeable,
            estimator, embedding, missing,
        )  # fmt: skip
        self.trained: Trained | None = None

    @property
    def log(self) -> LearningLog:
        """How the training went."""
        return self._ready("log").log

    def simulate(
        self,
        rng_key: jax.Array,
        num_simulations: int = 10_000,
        *,
        folder: str | os.PathLike[str] | None = None,
        num_jobs: int | None = 1,
        progress_bar: bool = True,
    ) -> Simulations:
        """Draw pairs of latent values and data.

        Args:
            rng_key: Random key; the same key gives the same pairs.
            num_simulations: How many.
            folder: Where the table is kept and gone on with by a later call; None for memory.
            num_jobs: Processes, by joblib; None for those of ``joblib.parallel_config``.
            progress_bar: Whether to draw a bar where there is a terminal.

        Returns:
            Those that neither failed nor are without a finite number; the others are counted.
        """
        check_rng_key("NPE.simulate", rng_key, "npe.simulate(jax.random.key(0), 10_000)")
        check_count("NPE.simulate", "num_simulations", num_simulations, "simulate(rng_key, 1000)")
        source = self.task.make_source(rng_key)
        return source.simulate(
            np.arange(num_simulations), folder=folder, num_jobs=num_jobs, progress_bar=progress_bar
        )

    def train(
        self,
        rng_key: jax.Array,
        num_simulations: int = 10_000,
        *,
        simulations: _Pairs | None = None,
        fresh: bool = False,
        settings: Training | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress_bar: bool = True,
    ) -> NPE:
        """Simulate, and train the network.

        Args:
            rng_key: Random key; the same key gives the same answer.
            num_simulations: How many pairs to draw.
            simulations: Pairs that there are already, from `simulate`, or
                ``({latent site: array[row, ...]}, {observed site: array[row, ...]})``.
            fresh: Whether to draw as many again for each epoch, where simulations are cheap.
            settings: How to train.
            checkpoint: File that the training is written to at every look; after a kill the same
                call goes on from there, to the same answer bit for bit.
            progress_bar: Whether to draw bars where there is a terminal.

        Returns:
            The object itself.

        Raises:
            ValueError: There are too few simulations, an observed site is the same in all, or
                the checkpoint is of another training.
        """
        check_rng_key("NPE.train", rng_key, "npe.train(jax.random.key(0))")
        check_count("NPE.train", "num_simulations", num_simulations, "npe.train(rng_key, 10_000)")
        if isinstance(simulations, tuple):
            simulations = self.task.take_table(*simulations)
        self.trained = train_network(
            self.task, rng_key, num_simulations, simulations, fresh, settings or Training(),
            checkpoint, progress_bar,
        )  # fmt: skip
        return self

    def train_for(
        self,
        rng_key: jax.Array,
        x: Any,
        num_simulations: int = 10_000,
        *,
        num_rounds: int = 4,
        settings: Training | None = None,
        progress_bar: bool = True,
    ) -> NPE:
        """Simulate and train in rounds for one observation, where simulations are costly.

        Each round simulates only where the posterior of the round before it has mass. The network
        is good for this observation and not for others.

        Args:
            rng_key: Random key; the same key gives the same answer.
            x: The observation, as `posterior` takes it.
            num_simulations: How many pairs to draw in all rounds together.
            num_rounds: Number of rounds.
            settings: How to train.
            progress_bar: Whether to draw bars where there is a terminal.
        """
        check_rng_key("NPE.train_for", rng_key, "npe.train_for(jax.random.key(0), x)")
        check_count("NPE.train_for", "num_rounds", num_rounds, "num_rounds=4")
        observed = take_one("train_for", *self.task.read(x))
        self.trained = train_rounds(
            self.task, rng_key, observed, num_simulations, num_rounds, settings or Training(),
            progress_bar,
        )  # fmt: skip
        return self

    @in_turn
    def posterior(self, x: Any) -> NeuralPosterior:
        """The posterior given one observation, or given each of many.

        Args:
            x: ``{observed site: array}``, or the array alone where there is one site; one more
                axis in front for many observations.

        Raises:
            ValueError: The observation has other sites or another shape, or is not finite.
            RuntimeError: The network has not been trained.

        Warns:
            UserWarning: One observation lies outside of everything simulated.
        """
        trained = self._ready("posterior")
        observed, many = self.task.read(x)
        if not many:
            trained.familiar.warn_of(observed)
        bound = None if many else self.task.bind(observed)
        return NeuralPosterior(trained, self.task.coordinates, observed, bound, many)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained network to a file, ``*.safetensors`` by custom."""
        save_trained(self._ready("save"), path, self.task)

    def load(self, path: str | os.PathLike[str]) -> NPE:
        """Read the network that was saved from an object made alike. Nothing is executed.

        Raises:
            ValueError: The file is damaged, or of another model or network.
        """
        self.trained = load_trained(path, self.task)
        return self

    def _ready(self, called: str) -> Trained:
        if self.trained is None:
            raise RuntimeError(
                f"NPE.{called}: the network has not been trained; expected a call of train "
                "before. Write npe.train(jax.random.key(0))."
            )
        return self.trained
