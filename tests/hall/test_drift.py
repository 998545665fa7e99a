"""Whether parameters have arrived, beside losses that are too noisy to tell."""

import numpy as np
import pytest
from scipy import signal, stats

from ppl_ext.training.judges.drift import Drift
from ppl_ext.training.judges.epoch_judge import EpochJudge
from ppl_ext.training.loop import train
from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Place
from tests.hall.test_training import Line

END = Place(0, 9, last=True)


def count(path):
    drift = Drift()
    for place in path:
        drift.add(place)
    return drift.count()


@pytest.mark.parametrize("epochs", [40, 130, 1000])
def test_false_alarms_on_random_walks_are_as_many_as_the_level_says(epochs):
    """Seven parameters, some of them in other units."""
    rng, runs = np.random.default_rng(0), 1000
    units = 10.0 ** np.arange(-3, 4)
    walks = (rng.normal(size=(runs, epochs, 7)) * units).cumsum(1)
    alarms = sum(count(walk) > 0 for walk in walks)
    low, high = stats.binom(runs, 0.05).ppf([0.001, 0.999])
    assert low <= alarms <= high


def test_one_that_is_pulled_back_does_not_drift():
    """Autoregression of first order, with a time scale of a twentieth of the run."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 200, 7))
    paths = signal.lfilter([1.0], [1.0, -0.9], noise, axis=1)
    assert sum(count(path) > 0 for path in paths) == 0


def test_drift_that_is_larger_than_its_noise_is_found():
    """The power of a t-test of moves, from the noncentral t distribution."""
    rng, runs, epochs, drift = np.random.default_rng(0), 400, 100, 0.6
    walks = (drift + rng.normal(size=(runs, epochs, 1))).cumsum(1)
    found = sum(count(walk) for walk in walks)
    # Of a hundred places every second is kept, of those the later half: 24 moves of two epochs.
    limit = stats.t(24).ppf(0.975)
    power = stats.nct(24, drift * 2**0.5 * 25**0.5).sf(limit)
    assert found / runs == pytest.approx(power, abs=4 * (power * (1 - power) / runs) ** 0.5)


def test_many_parameters_are_looked_at_in_part():
    drift = Drift()
    for epoch in range(60):
        drift.add(np.full(25_000, float(epoch)))
    assert drift.size == drift.count() == 8_334  # every third


class Slow:
    """A parameter on its way at constant speed, of which noisy losses show nothing.

    Args:
        arrives: Where it ends.
    """

    def __init__(self, arrives):
        self.at, self.speed, self.arrives = 0.0, 0.02, arrives
        self.rng = np.random.default_rng(0)

    def read(self):
        self.at = min(self.at + self.speed, self.arrives)
        return np.array([self.at + 0.01 * self.rng.normal(), self.rng.normal()])

    def train(self, judge):
        """The verdicts that are more than to go on, with their looks."""
        verdicts, look = [], 0
        while not verdicts or not verdicts[-1][1].finished:
            look += 1
            verdict = judge.look(5 + self.rng.normal(size=10), END, False)
            if verdict.renew or verdict.cut or verdict.finished:
                verdicts.append((look, verdict))
        return verdicts


def test_a_step_is_not_cut_while_a_parameter_is_on_its_way():
    slow = Slow(arrives=4.0)  # after two hundred epochs
    verdicts = slow.train(EpochJudge(MinibatchSettings(), slow.read))
    renewed, first = verdicts[:2]
    assert renewed[1].renew
    assert renewed[0] < 200  # where the losses alone would have cut
    assert first[1].cut
    assert first[0] >= 200
    last = verdicts[-1][1]
    assert last.finished == "the loss of epochs has stopped falling"
    assert not last.drifting


def test_one_that_never_arrives_is_told():
    slow = Slow(arrives=np.inf)
    verdicts = slow.train(EpochJudge(MinibatchSettings(num_decays=2), slow.read))
    assert verdicts[-1][1].drifting
    assert verdicts[-1][1].finished.endswith(", while 1 of 2 parameters still go one way")
    assert verdicts[-1][0] < 1000


def test_an_optimiser_that_was_given_is_left_as_it_is():
    slow = Slow(arrives=4.0)
    verdicts = slow.train(EpochJudge(MinibatchSettings(optim="of the host"), slow.read))
    assert not any(verdict.renew for _, verdict in verdicts)


def test_a_judge_goes_on_from_a_checkpoint():
    one, other = Slow(arrives=6.0), Slow(arrives=6.0)
    straight = one.train(EpochJudge(MinibatchSettings(), one.read))
    judge, looks = EpochJudge(MinibatchSettings(), other.read), []
    while not looks or not looks[-1].finished:
        again = EpochJudge(MinibatchSettings(), other.read)
        again.load_state(judge.state())
        judge = again
        looks.append(judge.look(5 + other.rng.normal(size=10), END, False))
    assert [verdict for _, verdict in straight] == [
        verdict for verdict in looks if verdict.renew or verdict.cut or verdict.finished
    ]
    assert len(looks) == straight[-1][0]


class Sliding(Line):
    """Its loss is flat, and it slides on."""

    def advance(self, step, batches, step_size):
        super().advance(step, batches, step_size)
        return np.zeros(len(batches))


def test_a_training_that_ends_in_drift_has_not_converged():
    learner, source = Sliding(floor=-np.inf), Minibatches(np.arange(23.0), batch_size=5)
    log = train(learner, source, MinibatchSettings(0.01), progress_bar=False)
    assert learner.renewed == 1
    assert not log.converged
    assert "while 1 of 1 parameters still go one way after" in str(log)
