import re
import sys

import numpy as np
import pytest

from ppl_ext.fitting import FitLog, NonFiniteLossError, Plateau, drive


class Countdown:
    """An optimiser whose losses are given in advance and which remembers how it was called."""

    def __init__(self, losses):
        self.losses = np.asarray(losses, dtype=float)
        self.calls = []

    def __call__(self, n):
        start = sum(self.calls)
        self.calls.append(n)
        return self.losses[start : start + n]


def test_runs_to_max_steps_in_chunks_with_a_short_last_one():
    optimiser = Countdown(np.arange(10.0)[::-1])
    log = drive(optimiser, max_steps=10, chunk=4, gradients_per_step=3, progress_bar=False)
    assert optimiser.calls == [4, 4, 2]
    assert log.losses.tolist() == optimiser.losses.tolist()
    assert log.losses.dtype == np.float64
    assert log.gradients == 30
    assert not log.converged
    assert log.reason == "reached max_steps=10"


def test_default_chunk_makes_a_hundred_looks():
    optimiser = Countdown(np.zeros(5000))
    drive(optimiser, max_steps=5000, progress_bar=False)
    assert optimiser.calls == [50] * 100


def test_rule_ends_the_run_and_gives_the_reason():
    log = drive(
        Countdown(np.zeros(100)),
        max_steps=100,
        chunk=10,
        rule=lambda losses: "enough" if len(losses) >= 30 else None,
        progress_bar=False,
    )
    assert (len(log.losses), log.converged, log.reason, log.plateaus) == (
        30,
        True,
        "enough",
        (30,),
    )


def test_each_phase_is_judged_by_its_own_losses():
    seen = []
    phases = iter([True, True, False])

    def rule(losses):
        seen.append(len(losses))
        return "flat" if len(losses) >= 20 else None

    log = drive(
        Countdown(np.zeros(100)),
        max_steps=100,
        chunk=10,
        rule=rule,
        next_phase=lambda: next(phases),
        progress_bar=False,
    )
    assert seen == [10, 20] * 3
    assert log.plateaus == (20, 40, 60)
    assert log.converged


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_loss_is_raised_with_its_step_and_the_log_before_it(bad):
    losses = np.ones(20)
    losses[13:] = bad
    with pytest.raises(NonFiniteLossError, match=f"the loss is {bad} at step 13") as caught:
        drive(Countdown(losses), max_steps=20, chunk=5, progress_bar=False)
    assert caught.value.step == 13
    assert caught.value.log.losses.tolist() == [1.0] * 13
    assert not caught.value.log.converged
    assert "last finite loss was 1" in str(caught.value)


def test_non_finite_first_loss_has_an_empty_log():
    with pytest.raises(NonFiniteLossError, match=r"at step 0: a finite loss was expected\. ") as e:
        drive(Countdown([np.nan]), max_steps=1, progress_bar=False)
    assert len(e.value.log.losses) == 0


@pytest.mark.parametrize("complete", [0, 2])
def test_interrupt_keeps_the_complete_chunks(complete):
    optimiser = Countdown(np.arange(50.0))

    def advance(n):
        if len(optimiser.calls) == complete:
            raise KeyboardInterrupt
        return optimiser(n)

    log = drive(advance, max_steps=50, chunk=5, progress_bar=False)
    assert log.interrupted
    assert log.reason == "interrupted"
    assert not log.converged
    assert log.losses.tolist() == list(range(5 * complete))
    assert str(log)


def test_other_errors_of_the_optimiser_pass_through():
    def advance(n):
        raise RuntimeError("from the host")

    with pytest.raises(RuntimeError, match="from the host"):
        drive(advance, max_steps=5, progress_bar=False)


def test_losses_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=re.escape("advance(2) returned losses of shape (3,)")):
        drive(lambda n: np.zeros(n + 1), max_steps=4, chunk=2, progress_bar=False)


@pytest.mark.parametrize("settings", [{"max_steps": 0}, {"max_steps": 5, "chunk": 0}])
def test_empty_runs_are_refused(settings):
    with pytest.raises(ValueError, match="both must be at least 1"):
        drive(Countdown([]), **settings)


class FakeTerminal:
    def __init__(self, isatty):
        self.text, self._isatty = "", isatty

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return self._isatty


@pytest.mark.parametrize(
    ("terminal", "progress_bar", "shown"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_bar_is_drawn_on_terminals_alone(monkeypatch, terminal, progress_bar, shown):
    stderr = FakeTerminal(terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    drive(
        Countdown(np.full(10, 7.25)),
        max_steps=10,
        chunk=5,
        progress_bar=progress_bar,
        describe="full rank",
    )
    assert ("full rank" in stderr.text) == shown
    assert ("7.25" in stderr.text) == shown


def test_log_prints_what_matters():
    log = FitLog(
        losses=np.full(1200, 31.25),
        reason="the loss has stopped falling",
        converged=True,
        seconds=0.5,
        compile_seconds=2.25,
        gradients=2400,
        start_losses=(31.25, 40.0),
        dropped_starts=1,
        notes=("The model could not be vectorised.",),
    )
    assert str(log) == (
        "1,200 steps in 0.50 s (and 2.25 s compiling); 2,400 gradients; the loss has stopped "
        "falling; final loss 31.25; starts 31.25 40.00, 1 of them dropped early\n"
        "The model could not be vectorised."
    )


def test_final_loss_averages_the_last_tenth():
    log = FitLog(np.r_[np.full(90, 5.0), np.full(5, 1.0), np.full(5, 2.0)], "", True, 0.0)
    assert log.final_loss == 1.5
    assert np.isnan(FitLog(np.empty(0), "", False, 0.0).final_loss)


def test_stochastic_gradient_descent_lowers_its_step_until_the_gap_is_closed():
    # E[(x - noise)^2]: the stationary variance of x, hence the loss, falls with the step size.
    rng = np.random.default_rng(3)
    state = {"x": 30.0, "step_size": 0.2}

    def advance(n):
        losses = np.empty(n)
        for i in range(n):
            error = state["x"] - rng.normal()
            losses[i] = error**2
            state["x"] -= state["step_size"] * 2 * error
        return losses

    def next_phase():
        state["step_size"] /= 4
        return state["step_size"] > 0.001

    log = drive(
        advance,
        max_steps=100_000,
        chunk=200,
        rule=Plateau(),
        next_phase=next_phase,
        progress_bar=False,
    )
    assert log.converged
    assert len(log.plateaus) == 4
    assert abs(state["x"]) < 0.2
