"""NaN at a random step, two fits in two threads, and forks."""

import os
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mishaps.victims import open_host
from ppl_ext.correction import Correction
from ppl_ext.correction.solve import correct
from ppl_ext.density import Density, Site
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution

__all__ = ["fork", "poison_correction", "poison_data", "poison_minibatches", "share_threads"]

ROWS, BATCH = 200, 20
_SECONDS = 60  # of a forked child


def _shared_mean(inside: Any) -> Any:
    def model(x: Any) -> None:
        mean = inside.ppl.sample("mean", inside.dist.Normal(0.0, 10.0))
        with inside.ppl.plate("rows", ROWS, subsample_size=len(x)):
            inside.ppl.sample("x", inside.dist.Normal(mean, 1.0), obs=x)

    return model


def _draw_rows() -> np.ndarray:
    return np.random.default_rng(0).normal(1.0, 1.0, ROWS).astype(np.float32)


def poison_minibatches(host: str, times: int) -> dict[str, Any]:
    """One batch of a stream holds a NaN, in a random epoch."""
    inside, rng, counts = open_host(host), np.random.default_rng(0), Counter()
    model = _shared_mean(inside)
    for _ in range(times):
        bad, at = int(rng.integers(0, 15)), int(rng.integers(ROWS))

        def open_epoch(epoch: int, bad: int = bad, at: int = at) -> Any:
            x = _draw_rows()
            x[at] = np.nan if epoch == bad else x[at]
            return [(each,) for each in x.reshape(-1, BATCH)]

        try:
            inside.call(
                inside.room.fit_minibatches,
                model,
                inside.room.AutoFullRank(model),
                open_epoch,
                settings=inside.room.MinibatchSettings(step_size=0.01, max_epochs=20),
                progress_bar=False,
            )
            counts["trained on"] += 1
        except ValueError:  # in the first epoch, from which the guide starts
            counts["refused, at the start" if bad == 0 else "refused, without the row"] += 1
        except FloatingPointError as error:
            where = f"row {at % BATCH} of batch {at // BATCH} of epoch {bad}"
            named = where in str(error)
            counts["refused, with the row" if named else "refused, without the row"] += 1
    right = {"refused, with the row", "refused, at the start"}
    return {"counts": dict(counts), "right": set(counts) <= right}


def poison_data(host: str, times: int) -> dict[str, Any]:
    """A NaN among the data of `fit`, and among simulations that NPE learns from."""
    inside, rng, counts = open_host(host), np.random.default_rng(0), Counter()
    model = _shared_mean(inside)
    for _ in range(times):
        x = _draw_rows()
        x[rng.integers(ROWS)] = np.nan
        try:
            fitted = inside.call(inside.room.fit, model, inside.array(x), progress_bar=False)
            counts[f"verdict {fitted.report().verdict}"] += 1
        except (ValueError, FloatingPointError):
            counts["refused"] += 1
    return {"counts": dict(counts), "right": set(counts) == {"refused"}}


def poison_correction(times: int) -> dict[str, Any]:
    """A density that is NaN for all draws of one random call."""
    rng, counts = np.random.default_rng(0), Counter()
    log = FitLog(np.zeros(1), "converged", True, seconds=0.0)
    solution = GaussianSolution(np.zeros(2), np.ones(2) * 0.7, 0.0, 0.0, 0.0, 256, True, log)
    for seed in range(times):
        bad, calls = int(rng.integers(1, 30)), []

        def log_density(z: np.ndarray, bad: int = bad, calls: list = calls) -> Any:
            calls.append(1)
            spoilt = np.nan if len(calls) == bad else 0.0
            return -0.5 * (z**2).sum(-1) + spoilt, -z + spoilt

        density = Density(
            dim=2,
            sites=(Site("x", (2,), 0, 2),),
            log_density=log_density,
            log_p=lambda z: -0.5 * (z**2).sum(-1),
            constrain=lambda z: {"x": z},
            explain=lambda z: "",
        )
        try:
            found = correct(density, solution, Correction(ess=300), seed=seed, progress_bar=False)
        except (ValueError, FloatingPointError):
            counts["refused"] += 1
            continue
        sd = found.draws.values["x"].std(axis=0)
        right = np.isfinite(sd).all() and (abs(sd - 1) < 0.2).all()
        verdict = "good" if found.ok else "not good"
        counts[f"{verdict}, {'right' if right else 'WRONG'}"] += 1
    return {"counts": dict(counts), "right": "good, WRONG" not in counts}


def share_threads(host: str, times: int) -> dict[str, Any]:
    """Two fits in two threads beside one after the other."""
    inside, counts = open_host(host), Counter()
    model = _shared_mean(inside)

    def work(shift: int) -> np.ndarray:
        x = inside.array(_draw_rows() + shift)
        return inside.call(inside.room.fit, model, x, progress_bar=False).solution.loc

    alone = [work(shift) for shift in range(2)]
    for _ in range(times):
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(work, range(2)))
        counts["same" if np.array_equal(alone, together) else "different"] += 1
    return {"counts": dict(counts), "right": set(counts) == {"same"}}


def fork(host: str, when: str, times: int) -> dict[str, Any]:
    """A process that is forked after the import, or after a fit, and fits there."""
    warnings.simplefilter("ignore")
    inside, counts = open_host(host), Counter()
    model = _shared_mean(inside)

    def work() -> None:
        x = inside.array(_draw_rows())
        inside.call(inside.room.fit, model, x, progress_bar=False)

    if when == "after a fit":
        work()
    for _ in range(times):
        child = os.fork()
        if not child:
            status = 1
            try:
                work()
                status = 0
            except RuntimeError as error:
                status = 3 if "was forked from" in str(error) else 1
            finally:
                os._exit(status)
        counts[_wait(child)] += 1
    return {"counts": dict(counts), "right": set(counts) <= {"fitted", "refused by name"}}


def _wait(child: int) -> str:
    began = time.monotonic()
    while time.monotonic() - began < _SECONDS:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ends = {0: "fitted", 3: "refused by name"}
            return ends.get(os.waitstatus_to_exitcode(status), "ended otherwise")
        time.sleep(0.2)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hung"
