"""The entry for models whose data come in minibatches."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import numpyro
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.elbo import ELBO

from ppl_ext.fitting.calls import check_count
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key, whole_seed_from
from ppl_ext.numpyro.tracing.turns import in_turn
from ppl_ext.numpyro.training.first_run import run_first
from ppl_ext.numpyro.training.learner import MinibatchLearner, compile_programs
from ppl_ext.numpyro.training.optimizers import check_optimizer, describe_optimizer
from ppl_ext.numpyro.training.parts import place_parts
from ppl_ext.numpyro.training.result import MinibatchFit
from ppl_ext.training.checkpoint import open_checkpoint
from ppl_ext.training.loop import train
from ppl_ext.training.refusals import check_objects
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Source, as_source, join_batches, read_held_out

__all__ = ["fit_minibatches"]

_LINE = "fit_minibatches(rng_key, model, guide, batches)"


@in_turn
def fit_minibatches(
    rng_key: jax.Array,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    batches: Source,
    *,
    held_out: Source | None = None,
    elbo: ELBO | None = None,
    settings: MinibatchSettings | None = None,
    num_parts: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress_bar: bool = True,
) -> MinibatchFit:
    r"""Train a model and a guide on data that come in minibatches and may be larger than memory.

    The model takes a batch, and its plate knows the length of all data:
    ``numpyro.plate("rows", size, subsample_size=len(x))``. Adam follows the gradient; step size,
    its cuts and the end are found by themselves (see `MinibatchSettings`).

    With several devices, of this process or of all that ``jax.distributed`` has joined, every
    batch is divided into equal parts, and their gradients are averaged in one reduction. Each
    part draws noise of its own, which follows from the key, the step and the number of the part,
    so that one device makes the same steps as many with the same ``num_parts``. Every process
    calls with the same arguments and reads the same batches.

    Args:
        rng_key: Random key.
        model: NumPyro model.
        guide: NumPyro guide, with no parameters of single rows: `AutoAmortized`, or one for a
            model whose latent sites are all shared.
        batches: `Minibatches`, a data loader or list of tuples of the model's arguments, or a
            function of the number of the epoch that opens one.
        held_out: Likewise, batches that are not trained on, of which at most 32 are scored; for
            encoders, which may learn their rows by heart. None looks at the losses of whole
            epochs: for the posterior of shared latent sites, which wants all rows.
        elbo: Objective of the host; ``Trace_ELBO()`` by default.
        settings: How to train; ``MinibatchSettings()`` by default.
        num_parts: Parts of a batch; None for one on each device.
        checkpoint: File that the training is written to at every look, and from which the same
            call goes on bit for bit after it was killed. Limits of the settings may be raised.
        progress_bar: Whether to draw a bar where there is a terminal.

    Returns:
        The parameters and the log. Ctrl-C ends the training with the best so far.

    Raises:
        TypeError: A class or something else stands for the model, the guide, the objective or the
            settings; batches cannot be gone through again or are dictionaries.
        ValueError: The data change their length between epochs, a batch is empty, rows cannot be
            divided into the parts, or the checkpoint is of another training.
        FloatingPointError: A batch with values that are not finite made a loss that is not, or
            no loss is finite any more.
        NotImplementedError: The model has state that is no parameter (batch normalisation).
        RuntimeError: Another process is gone.

    Example:
        >>> import numpy as np, numpyro.distributions as dist
        >>> from ppl_ext.numpyro import AutoAmortized, Minibatches, fit_minibatches
        >>> def model(x):
        ...     with numpyro.plate("rows", 1000, subsample_size=len(x)):
        ...         z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        ...         numpyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> x = np.random.default_rng(0).normal(0.0, 2**0.5, 1000).astype(np.float32)
        >>> train, held_out = Minibatches(x, batch_size=100).split(0.2)
        >>> guide, settings = AutoAmortized(model), MinibatchSettings(max_epochs=40)
        >>> fitted = fit_minibatches(
        ...     jax.random.key(0), model, guide, train, held_out=held_out, settings=settings
        ... )
        >>> guide.median(fitted.params, np.array([-1.0, 0.0, 1.0], np.float32))["z"].shape
        (3,)

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
        Kingma, Ba (2015), Adam: a method for stochastic optimization, ICLR, arXiv:1412.6980.
    """
    check_rng_key("fit_minibatches", rng_key, _LINE)
    if num_parts is not None:
        check_count("fit_minibatches", "num_parts", num_parts, "num_parts=2")
    check_objects(model, guide, elbo, settings, objective=ELBO, line=_LINE)
    settings = settings or MinibatchSettings()
    check_optimizer(settings.optim)
    source, parts = as_source(batches), place_parts(num_parts)
    scored = None if held_out is None else read_held_out(held_out)
    start_key, noise_key = jax.random.split(rng_key)
    svi = SVI(model, guide, numpyro.optim.SGD(1.0), elbo or Trace_ELBO())
    # Guides look at their first data: to standardise, one batch is few.
    params, sites = run_first(start_key, svi, join_batches(source), source)
    learner = MinibatchLearner(
        compile_programs(svi, params, parts, settings.optim), noise_key, parts
    )
    file = open_checkpoint(
        checkpoint,
        host="numpyro",
        shapes=[list(jax.numpy.shape(leaf)) for leaf in jax.tree.leaves(params)],
        sites=sites,
        source=source,
        held_out=scored,
        settings=settings,
        seed=whole_seed_from(rng_key),
        num_parts=parts.count,
        objective=[type(svi.loss).__name__, getattr(svi.loss, "num_particles", 1)],
        optimizer=describe_optimizer(settings.optim, params),
    )
    log = train(
        learner,
        source,
        settings,
        held_out=scored,
        file=file,
        writes=jax.process_index() == 0,
        progress_bar=progress_bar and jax.process_index() == 0,
    )
    return MinibatchFit(learner.params, log, model, guide)
