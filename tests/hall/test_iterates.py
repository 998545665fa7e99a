"""Which iterate and which start is the result of a stochastic fit."""

import numpy as np

from ppl_ext.fitting import INTERRUPTED, FitLog
from ppl_ext.fitting.held_out import HeldOut
from ppl_ext.fitting.iterates import Starts, choose_iterate, conclude_stages


def trial(loss, reason="reached max_steps=4"):
    return FitLog(np.full(4, loss), reason, converged=False, seconds=0.5)


def test_an_iterate_is_preferred_to_a_later_one_unless_that_is_provably_better():
    noise = np.random.default_rng(0).normal(size=512)
    other = np.random.default_rng(1).normal(size=512)
    average = 3.0 + noise
    chosen, loss, note = choose_iterate({"the average": average, "the last": average - 0.01})
    assert (chosen, loss) == ("the last", np.mean(average - 0.01))
    assert note == f"the result is the last, its ELBO {-loss:,.3f} on fresh draws"
    # Of two means that differ by less than twice their standard error the first one is kept.
    first = {"the average": average, "the last": average.mean() - 0.01 + other - other.mean()}
    assert choose_iterate(first)[0] == "the average"


def test_an_iterate_that_is_not_finite_is_left():
    losses = {"the average": np.array([1.0, np.inf]), "the last": np.array([5.0, 6.0])}
    assert choose_iterate(losses)[:2] == ("the last", 5.5)


def test_the_log_counts_every_start():
    starts = Starts(asked=4)
    starts.add(trial(3.0), 3.0)
    starts.add(trial(2.0), 2.0)
    starts.add(trial(9.0), np.nan)
    starts.failures.append(FloatingPointError("the loss is nan"))
    assert starts.best == 1
    last = FitLog(np.full(10, 1.5), "converged", converged=True, seconds=1.0)
    log = starts.summarise(last, 1.25, "the result is the last", per_step=2)
    assert (log.reason, log.converged) == ("converged", True)
    assert log.seconds == 2.5
    assert log.gradients == 2 * (4 + 4 + 4 + 10)
    assert log.start_losses[:2] == (3.0, 1.25)
    assert log.dropped_starts == 2
    assert log.notes == (
        "the result is the last",
        "1 of 4 starts diverged; the first: the loss is nan",
    )


def test_a_single_start_has_no_trial():
    starts = Starts(asked=1)
    assert starts.best == 0
    log = starts.summarise(trial(1.0), 1.0, "", per_step=1)
    assert log.start_losses == ()
    assert (log.dropped_starts, log.gradients) == (0, 4)


def test_interruption_of_a_trial_ends_the_fit_with_the_best_start():
    starts = Starts(asked=3)
    starts.add(trial(2.0), 2.0)
    assert not starts.interrupted
    starts.add(trial(3.0, INTERRUPTED), 3.0)
    assert starts.interrupted
    log = starts.summarise(None, 1.5, "", per_step=1)
    assert log.interrupted
    assert log.losses[0] == 2.0
    assert log.start_losses == (1.5, 3.0)


def test_the_best_stage_is_the_result_and_the_log_tells_of_all():
    losses = {
        "the last": np.array([3.0, 3.1]),
        "the middle": np.array([2.0, 2.1]),
        "the broken": np.array([1.0, np.nan]),
        "the first": np.array([4.0, 4.1]),
    }
    logs = [
        FitLog(np.full(2, 4.0), "converged", True, seconds=1.0, gradients=7),
        FitLog(np.full(3, 3.0), "reached max_steps=3", False, seconds=0.25, gradients=4),
    ]
    chosen, log = conclude_stages(losses, logs, ["what was known"])
    assert chosen == "the middle"
    assert (log.reason, log.converged, log.losses.tolist()) == (logs[1].reason, False, [3.0] * 3)
    assert (log.seconds, log.gradients) == (1.25, 11)
    assert log.notes == (
        "what was known",
        "the result is the middle, its ELBO -2.050 on fresh draws",
        "the last has -3.050 on the same draws",
        "the first has -4.050 on the same draws",
    )


def test_held_out_draws_end_a_phase_and_leave_the_next_its_patience():
    found = iter([5.0, 4.0, 3.999, 4.5, 4.5, 3.9, 3.9, 3.9, 3.9])
    looks = []

    def look():
        looks.append(next(found))
        return looks[-1], len(looks)

    rule = HeldOut(look, start=0)
    reasons = [rule(np.zeros(25)) for _ in range(9)]
    # A thousandth of a nat is no gain; the fifth look is the third without one.
    assert [index for index, reason in enumerate(reasons, 1) if reason] == [5, 9]
    assert rule.best == 6
