"""A factorization fitted on GPUs, on several devices, or on several machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from jax.sharding import Mesh

from ppl_ext.factorization import Factors, MatrixFactorization, Ratings
from ppl_ext.factorization.fitting.first_state import expect_variances, open_fit
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.hyperparameters import Conclusion, conclude_sweep
from ppl_ext.fitting.loop import drive
from ppl_ext.numpyro.factorization.hall_arrays import (
    list_knowns,
    make_side,
    read_table,
    read_totals,
)
from ppl_ext.numpyro.factorization.kernel import Knowns, Rows
from ppl_ext.numpyro.factorization.placement import Placement, collect_local
from ppl_ext.numpyro.factorization.processes import take_first
from ppl_ext.numpyro.factorization.sweep import AXIS, compile_sweep
from ppl_ext.numpyro.tracing.bound_model import x64_scope

__all__ = ["fit_on_devices"]


def fit_on_devices(
    model: MatrixFactorization,
    ratings: Ratings,
    *,
    devices: Sequence[jax.Device] | None = None,
    start: Factors | None = None,
    progress_bar: bool = True,
) -> Factors:
    """Fit a factorization on one accelerator or many, on one machine or many.

    The updates are those of ``MatrixFactorization.fit``, from the same start, and so are the
    factors but for rounding. Users and their ratings are spread over the devices, each of which
    holds the items as well; what is sent in a sweep is of the size of the items' posteriors. Give
    the longer side as users.

    On several machines each process, after ``jax.distributed.initialize``, calls this with the
    ratings of its own users alone (see `read_part`), and gets the posteriors of its own users and
    of all items. Its items need not be those of the others. A user belongs to one process alone.

    Not for a CPU alone, where ``MatrixFactorization.fit`` is faster.

    Args:
        model: Settings. ``num_threads`` is left to XLA.
        ratings: Ratings; those of this process' users, where there are several processes.
        devices: Devices of all processes, as many of each; all there are if None.
        start: Factors to go on from, matched by labels.
        progress_bar: Draw a bar, in the first process.

    Returns:
        The factors: predictions, ranking and saving are those of any other fit.

    Raises:
        ValueError: There are no ratings, ``start`` has features or other settings, or some process
            has fewer devices than another.
        ModuleNotFoundError: numba is not installed.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=60, num_items=40, seed=0).ratings
        >>> model = MatrixFactorization(2, dtype=np.float64, max_sweeps=5)
        >>> ours = fit_on_devices(model, ratings, progress_bar=False)
        >>> theirs = model.fit(ratings, progress_bar=False)
        >>> bool(np.allclose(ours.elbo, theirs.elbo, rtol=1e-10))
        True

    References:
        Mehta, Rendle, Krichene, Zhang (2021), ALX: Large scale matrix factorization on TPUs,
        arXiv 2112.02194.
    """
    chosen = jax.devices() if devices is None else list(devices)
    each = np.bincount([device.process_index for device in chosen], minlength=jax.process_count())
    if not each.min() or each.min() < each.max():
        raise ValueError(
            f"fit_on_devices: devices= has {each.tolist()} devices of the processes in turn; "
            "expected as many of each, and one at least. Leave it out, to take all there are."
        )
    mesh = Mesh(np.array(chosen), (AXIS,))
    with x64_scope(True):
        task = _Fit(model, ratings, mesh)
        runs: list[Factors] = []
        for seed in np.random.SeedSequence(model.seed).spawn(1 if start else model.num_starts):
            runs.append(task.run(seed, start, progress_bar))
            if runs[-1].log.interrupted:
                break
    best = max(runs, key=lambda factors: factors.elbo[-1])
    ends = tuple(-float(factors.elbo[-1]) for factors in runs)
    return replace(best, log=replace(best.log, start_losses=ends))


class _Fit:
    """Ratings on their devices, and the program that sweeps over them.

    Args:
        model: Settings.
        ratings: Ratings of this process.
        mesh: All devices.
    """

    def __init__(self, model: MatrixFactorization, ratings: Ratings, mesh: Mesh):
        self._model = model
        dim = model.num_factors + (1 if model.biases else 0)
        self._place = Placement(ratings, mesh, dim)
        self._sweep = compile_sweep(
            mesh,
            bias=model.biases,
            diagonal=model.diagonal,
            weighted=(model.noise.by_user, model.noise.by_item),
            dtype=model.dtype,
        )

    def run(
        self, seed: np.random.SeedSequence, start: Factors | None, progress_bar: bool
    ) -> Factors:
        """Sweep until the ELBO stops rising."""
        model, place = self._model, self._place
        spread = place.variance or 1.0
        variances = expect_variances(model.num_factors, model.biases, spread)
        first = open_fit(
            "fit_on_devices",
            model,
            place.user_ids,
            place.item_ids,
            mean=place.mean,
            spread=spread,
            seed=seed,
            start=start,
        )
        weights = place.spread(place.users.spread(first.users.summary[:, -1], 0))
        items = Rows(
            place.copy(place.items.spread(read_table(first.items), 0)[0]),
            place.copy(place.items.spread(first.items.summary, 0)[0]),
            place.copy(np.zeros(place.items.places)),
        )
        users: Rows | None = None
        known = before = Conclusion(
            (first.users.prior, first.items.prior),
            (first.users.concentration, first.items.concentration),
            first.noise_precision,
            -math.inf,
        )
        elbo = [] if start is None else list(start.elbo)
        earlier = len(elbo)

        def advance(steps: int) -> np.ndarray:
            nonlocal users, items, weights, known, before
            each_side = list_knowns(known, first.center - place.origin)
            knowns = [Knowns(*map(place.copy, each)) for each in each_side]
            new_users, new_items, *totals = self._sweep(
                place.user_half, place.item_half, weights, items, *knowns
            )
            rows = place.num_users, len(place.item_ids)
            sums = [read_totals(*each) for each in zip(totals, rows, strict=True)]
            done = conclude_sweep(
                (sums[0], sums[1]),
                count=place.count,
                error=float(totals[1].error),
                sweeps=first.sweeps + len(elbo) - earlier,
                noise_precision=known.noise_precision,
                concentrations=known.concentrations,
                kinds=(model.user_prior, model.item_prior),
                noise=model.noise,
                variances=variances,
                spread=spread,
                bias=model.biases,
            )
            done = _agree(done)
            users, items, before, known = new_users, new_items, known, done
            weights = users.summary[..., -1]
            elbo.append(done.bound)
            return np.array([-done.bound])

        def rule(losses: np.ndarray) -> str | None:
            # The first sweeps may climb slowly and then fast, while the weights rest.
            if len(losses) < 6 or losses[-2] - losses[-1] > model.tolerance * place.count:
                return None
            return f"the ELBO rises by less than {model.tolerance:g} nats per rating and sweep"

        log = drive(
            advance,
            max_steps=model.max_sweeps,
            rule=rule,
            chunk=1,
            progress_bar=progress_bar and jax.process_index() == 0,
            describe=f"CAVI, {model.num_factors} factors",
        )
        if users is None:  # interrupted before there was anything to keep
            raise KeyboardInterrupt
        local = Rows(*(place.users.collect(collect_local(each)) for each in users))
        whole = Rows(
            *(place.items.collect(np.asarray(each.addressable_data(0))[None]) for each in items)
        )
        sides = [
            make_side(side, rows, counts, known, before, which)
            for which, (side, rows, counts) in enumerate(
                ((first.users, local, place.user_counts), (first.items, whole, place.item_counts))
            )
        ]
        posterior = replace(
            first,
            users=sides[0],
            items=sides[1],
            noise_precision=known.noise_precision,
            sweeps=first.sweeps + len(elbo) - earlier,
        )
        return Factors(posterior, np.array(elbo), log)


def _agree(done: Conclusion) -> Conclusion:
    """What the first process concluded: rounding may differ where machines do."""
    if jax.process_count() == 1:
        return done
    dim = len(done.priors[0].mean)
    numbers = [[*done.concentrations, done.noise_precision, done.bound]]
    numbers += [each for prior in done.priors for each in (prior.mean, prior.precision.ravel())]
    found = take_first(np.concatenate(numbers))
    cuts = np.cumsum([4, dim, dim * dim, dim])
    scalars, *rest = np.split(found, cuts)
    means, precisions = rest[::2], [each.reshape(dim, dim) for each in rest[1::2]]
    priors = [GaussianPrior(*each) for each in zip(means, precisions, strict=True)]
    return Conclusion(
        (priors[0], priors[1]),
        (float(scalars[0]), float(scalars[1])),
        float(scalars[2]),
        float(scalars[3]),
    )
