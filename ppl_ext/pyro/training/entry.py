"""The entry for models whose data come in minibatches."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pyro
from pyro.infer import ELBO, Trace_ELBO

from ppl_ext.fitting.calls import check_count
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.turns import in_turn
from ppl_ext.pyro.training.first_run import run_first
from ppl_ext.pyro.training.learner import MinibatchLearner
from ppl_ext.pyro.training.optimizers import describe_optimizer
from ppl_ext.pyro.training.parts import place_parts
from ppl_ext.pyro.training.result import MinibatchFit
from ppl_ext.training.checkpoint import open_checkpoint
from ppl_ext.training.loop import train
from ppl_ext.training.refusals import check_objects
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Source, as_source, join_batches, read_held_out

__all__ = ["fit_minibatches"]


@in_turn
def fit_minibatches(
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
    seed: int = 0,
) -> MinibatchFit:
    r"""Train a model and a guide on data that come in minibatches and may be larger than memory.

    The model takes a batch, and its plate knows the length of all data:
    ``pyro.plate("rows", size, subsample_size=len(x))``. Adam follows the gradient; step size,
    its cuts and the end are found by themselves (see `MinibatchSettings`). Parameters are
    those of the host's store: what is there already is gone on from, and afterwards it holds the
    averaged ones. ``pyro.clear_param_store()`` before the call starts anew.

    In several processes that ``torch.distributed`` has joined (``torchrun``), every batch is
    divided into equal parts, and their gradients are averaged in one reduction. Each part draws
    noise of its own, which follows from the seed, the step and the number of the part, so that
    one process makes the same steps as many with the same ``num_parts``. Every process calls
    with the same arguments and reads the same batches. (``DistributedDataParallel`` does not
    see the parameter store.)

    Args:
        model: Pyro model.
        guide: Pyro guide, with no parameters of single rows: `AutoAmortized`, or one for a model
            whose latent sites are all shared. Modules with running statistics (batch
            normalisation) keep them out of averages and checkpoints: use layer normalisation.
        batches: `Minibatches`, a data loader or list of tuples of the model's arguments, or a
            function of the number of the epoch that opens one.
        held_out: Likewise, batches that are not trained on, of which at most 32 are scored; for
            encoders, which may learn their rows by heart. None looks at the losses of whole
            epochs: for the posterior of shared latent sites, which wants all rows.
        elbo: Objective of the host; ``Trace_ELBO()`` by default.
        settings: How to train; ``MinibatchSettings()`` by default.
        num_parts: Parts of a batch; None for one in each process.
        checkpoint: File that the training is written to at every look, and from which the same
            call goes on bit for bit after it was killed. Limits of the settings may be raised.
        progress_bar: Whether to draw a bar where there is a terminal.
        seed: Seed of starting parameters and noise.

    Returns:
        The parameters and the log. Ctrl-C ends the training with the best so far.

    Raises:
        TypeError: A class or something else stands for the model, the guide, the objective or the
            settings; batches cannot be gone through again or are dictionaries.
        ValueError: The data change their length between epochs, a batch is empty, rows cannot be
            divided into the parts, parameters are of several precisions, or the checkpoint is of
            another training.
        FloatingPointError: A batch with values that are not finite made a loss that is not, or
            no loss is finite any more.
        RuntimeError: Another process is gone.

    Example:
        >>> import numpy as np, torch, pyro.distributions as dist
        >>> from ppl_ext.pyro import AutoAmortized, Minibatches, fit_minibatches
        >>> def model(x):
        ...     with pyro.plate("rows", 1000, subsample_size=len(x)):
        ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> x = np.random.default_rng(0).normal(0.0, 2**0.5, 1000).astype(np.float32)
        >>> train, held_out = Minibatches(x, batch_size=100).split(0.2)
        >>> pyro.clear_param_store()
        >>> guide, settings = AutoAmortized(model), MinibatchSettings(max_epochs=40)
        >>> fitted = fit_minibatches(model, guide, train, held_out=held_out, settings=settings)
        >>> guide.median(torch.tensor([-1.0, 0.0, 1.0]))["z"].shape
        torch.Size([3])

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
        Kingma, Ba (2015), Adam: a method for stochastic optimization, ICLR, arXiv:1412.6980.
    """
    if num_parts is not None:
        check_count("fit_minibatches", "num_parts", num_parts, "num_parts=2")
    check_objects(
        model, guide, elbo, settings, objective=ELBO, line="fit_minibatches(model, guide, batches)"
    )
    settings = settings or MinibatchSettings()
    source, parts, elbo = as_source(batches), place_parts(num_parts), elbo or Trace_ELBO()
    scored = None if held_out is None else read_held_out(held_out)
    with own_random_state(seed):
        # Guides look at their first data: to standardise, one batch is few.
        leaves, sites = run_first(model, guide, join_batches(source), source)
    learner = MinibatchLearner(model, guide, elbo, leaves, seed, parts, settings.optim)
    file = open_checkpoint(
        checkpoint,
        host="pyro",
        shapes=[list(leaf.shape) for leaf in leaves.values()],
        sites=sites,
        source=source,
        held_out=scored,
        settings=settings,
        seed=seed,
        num_parts=parts.count,
        objective=[type(elbo).__name__, elbo.num_particles],
        optimizer=describe_optimizer(settings.optim, list(leaves.values())),
    )
    log = train(
        learner,
        source,
        settings,
        held_out=scored,
        file=file,
        writes=parts.rank == 0,
        progress_bar=progress_bar and parts.rank == 0,
    )
    for leaf in leaves.values():
        leaf.data = (
            leaf.data.clone()
        )  # no longer parts of one vector, which files would hold whole
    store = pyro.get_param_store()
    params = {name: store[name].detach().clone() for name in leaves}
    return MinibatchFit(params, log, model, guide)
