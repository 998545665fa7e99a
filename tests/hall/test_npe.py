"""The parts of neural posteriors that need no host, against closed forms and SciPy."""

import numpy as np
import pytest
from scipy import special, stats

from ppl_ext.correction import Correction
from ppl_ext.density import Density, Site
from ppl_ext.npe.answers.correction import RESAMPLED, SAMPLED, correct_answer
from ppl_ext.npe.answers.mode import find_mode
from ppl_ext.npe.answers.strangers import Familiar
from ppl_ext.npe.answers.values import check_observation
from ppl_ext.npe.checkpoint import Checkpoint
from ppl_ext.npe.features import Features, Layout, ObservedSite
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import FINISHED, learn
from ppl_ext.npe.pairs import Batches, Pairs
from ppl_ext.npe.preparation import prepare
from ppl_ext.npe.schedule import DecayOnPlateau
from ppl_ext.npe.settings import Training
from ppl_ext.simulation import Simulations


def test_columns_have_mean_0_and_sd_1_whatever_their_tails():
    rng = np.random.default_rng(0)
    y = np.stack([1e3 + 5 * rng.normal(size=4000), rng.standard_cauchy(4000)], 1)
    features = Features.read([ObservedSite("y", (2,))], {"y": y})
    f = features.apply({"y": y})
    np.testing.assert_allclose(f.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(f.std(0), 1, atol=1e-4)
    assert np.abs(f).max() < 20


def test_the_rows_of_a_set_are_scaled_alike():
    y = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 5, 2))
    features = Features.read([ObservedSite("y", (5, 2), set_axis=0)], {"y": y})
    assert features.layout == Layout(vector_width=0, num_rows=5, row_width=2)
    f = features.apply({"y": y}).reshape(1000, 5, 2)
    turned = features.apply({"y": y[:, ::-1]}).reshape(1000, 5, 2)
    np.testing.assert_array_equal(f[:, ::-1], turned)


def test_what_is_missing_is_flagged_and_what_is_hidden_too():
    y = np.random.default_rng(0).normal(size=(2000, 3))
    features = Features.read([ObservedSite("y", (3,), set_axis=0)], {"y": y}, missing=True)
    seen = y.copy()
    seen[:, 1] = np.nan
    rows = features.apply({"y": seen}).reshape(2000, 3, 3)
    np.testing.assert_array_equal(rows[:, 1], 0)
    np.testing.assert_array_equal(rows[:, [0, 2], 1:], 1)
    hidden = features.hide(features.apply({"y": y}), np.random.default_rng(1))
    kept = hidden.reshape(2000, 3, 3)[..., -1].sum(1)
    # Half are whole; the others keep 1, 2 or 3 rows, each as often.
    counts = np.array([(kept == number).mean() for number in (1, 2, 3)])
    np.testing.assert_allclose(counts, [1 / 6, 1 / 6, 2 / 3], atol=0.04)


def test_any_number_of_values_may_be_missing():
    x = np.random.default_rng(0).normal(size=(4000, 7))
    features = Features.read([ObservedSite("x", (7,))], {"x": x}, missing=True)
    hidden = features.hide(features.apply({"x": x}), np.random.default_rng(1))
    kept = hidden.reshape(4000, 7, 2)[..., 1].sum(1)
    # Half are whole; a share that is uniform keeps 0 to 7 of 7, each as often.
    counts = np.array([(kept == number).mean() for number in range(8)])
    np.testing.assert_allclose(counts, [1 / 16] * 7 + [9 / 16], atol=0.02)


def test_the_frame_is_the_posterior_of_a_linear_gaussian_model():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20_000, 2))
    x = z @ np.array([[1.0, 0.5], [0.0, 2.0]]) + rng.normal(size=(20_000, 2))
    features = Features.read([ObservedSite("x", (2,))], {"x": x})
    f = features.apply({"x": x})
    frame = Frame.read(z, f, features.layout)
    gain = np.array([[1.0, 0.5], [0.0, 2.0]])
    covariance = np.linalg.inv(np.eye(2) + gain @ gain.T)
    np.testing.assert_allclose(frame.scale_tril @ frame.scale_tril.T, covariance, atol=0.02)
    location = frame.locate(f[:100], features.layout)
    np.testing.assert_allclose(location, x[:100] @ gain.T @ covariance, atol=0.06)
    u = frame.pull(z[:100], location)
    np.testing.assert_allclose(frame.push(u, location), z[:100], atol=1e-9)


def test_a_frame_of_noise_is_the_prior():
    """The ridge that predicts best takes all weight from features that tell nothing."""
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(300, 1)), rng.normal(size=(300, 40))
    features = Features.read([ObservedSite("x", (40,))], {"x": x})
    frame = Frame.read(z, features.apply({"x": x}), features.layout)
    assert np.abs(frame.weights).max() < 0.02
    assert abs(frame.scale_tril[0, 0] - 1) < 0.1


class Line:
    """A learner of one number: the mean of ``u``, by steps of gradient descent."""

    def __init__(self):
        self.at = self.best = np.zeros(1)

    def advance(self, u, f, rates):
        losses = []
        for batch in u:
            losses.append(0.5 * ((batch - self.at) ** 2).mean())
            self.at = self.at + 0.1 * rates * (batch.mean() - self.at)
        return np.mean(losses, keepdims=True)

    def look(self, u, f):
        squares = ((u - self.at) ** 2).T
        return -squares / 2, squares

    def keep(self, members):
        self.best = np.where(members, self.at, self.best)

    def restore(self, members):
        self.at = np.where(members, self.best, self.at)


def make_pairs(mean=3.0):
    rng = np.random.default_rng(0)
    u = rng.normal(mean, 1.0, size=(1000, 1)).astype(np.float32)
    f = np.zeros((1000, 1), np.float32)
    return Pairs(lambda rows: (u[rows], f[rows]), np.arange(900), (u[900:], f[900:]))


def test_learning_ends_at_the_best_weights():
    learner, pairs = Line(), make_pairs()
    log = learn(learner, pairs, Training(), np.random.default_rng(1), progress_bar=False)
    assert log.reason == FINISHED
    assert log.converged
    assert abs(learner.at[0] - 3.0) < 0.2
    assert -learner.look(*pairs.held_out)[0].mean() == log.best[0] <= log.held_out.min()


def test_flows_that_are_too_sure_get_wider_noise():
    class Sure(Line):
        def look(self, u, f):
            squares = 4 * ((u - self.at) ** 2).T
            return np.log(2) - np.log(2 * np.pi) / 2 - squares / 2, squares

    log = learn(Sure(), make_pairs(), Training(), np.random.default_rng(1), progress_bar=False)
    assert abs(log.noise.scale - 2) < 0.3
    assert "noise of scale" in str(log)


def test_a_network_that_is_lost_is_an_error():
    class Lost(Line):
        def advance(self, u, f, rates):
            return np.full(1, np.nan)

    with pytest.raises(FloatingPointError, match="no loss is finite"):
        learn(Lost(), make_pairs(), Training(), np.random.default_rng(1), progress_bar=False)


def test_an_interrupt_keeps_the_best():
    class Interrupted(Line):
        looks = 0

        def look(self, u, f):
            self.looks += 1
            if self.looks == 4:
                raise KeyboardInterrupt
            return super().look(u, f)

    learner = Interrupted()
    log = learn(learner, make_pairs(), Training(), np.random.default_rng(1), progress_bar=False)
    assert log.reason == "interrupted"
    assert not log.converged
    assert learner.at[0] > 1


def test_steps_go_to_zero_where_a_limit_ends_the_training():
    class Watched(Line):
        rates: list

        def advance(self, u, f, rates):
            self.rates.append(rates[0])
            return super().advance(u, f, rates)

    learner = Watched()
    learner.rates = []
    settings = Training(max_epochs=8, patience=99, batch_size=1000)
    learn(learner, make_pairs(), settings, np.random.default_rng(1), progress_bar=False)
    np.testing.assert_allclose(learner.rates, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_smaller_step_that_brings_nothing_is_the_last():
    schedule = DecayOnPlateau(Training(num_members=2, patience=2))
    losses = [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]
    decisions = [schedule.look(np.array(loss)) for loss in losses]
    # Both are cut; the first gains nothing by it and is done, the second is cut again.
    assert [decision.decayed.tolist() for decision in decisions[-4:]] == [
        [True, True],
        [False, False],
        [False, False],
        [False, True],
    ]
    assert not decisions[-1].finished
    schedule.look(np.array([0.0, 1.0]))
    assert schedule.look(np.array([0.0, 1.0])).finished


def test_an_epoch_sees_every_pair_once():
    pairs = make_pairs()
    batches = Batches(pairs, 10, np.random.default_rng(0))
    blocks = list(batches.epoch())
    seen = np.concatenate([u.ravel() for u, _ in blocks])
    np.testing.assert_array_equal(np.sort(seen), np.sort(pairs.read(pairs.rows)[0].ravel()))


def two_humps(distance):
    """A mixture of two normals, of weights .3 and .7."""

    def log_density(z):
        parts = np.stack(
            [np.log(0.3) - (z + distance) ** 2 / 2, np.log(0.7) - (z - distance) ** 2 / 2]
        )
        total = np.logaddexp(*parts)[:, 0] - 0.5 * np.log(2 * np.pi)
        shares = np.exp(parts - np.logaddexp(*parts))
        return total, -shares[0] * (z + distance) - shares[1] * (z - distance)

    return Density(
        dim=1,
        sites=(Site("x", (1,), 0, 1),),
        log_density=log_density,
        log_p=lambda z: log_density(z)[0],
        constrain=lambda z: {"x": z},
        explain=lambda z: "",
    )


@pytest.mark.parametrize(("width", "method"), [(1.5, RESAMPLED), (0.5, SAMPLED)])
def test_a_network_is_corrected_whether_too_wide_or_too_narrow(width, method):
    """Two modes that the network knows, with the wrong shares and the wrong width."""

    def sample(count):
        rng = np.random.default_rng(count)
        z = rng.choice([-5.0, 5.0], count)[:, None] + width * rng.normal(size=(count, 1))
        near = stats.norm.pdf(z[:, 0], -5, width) + stats.norm.pdf(z[:, 0], 5, width)
        return z, np.log(near / 2)

    found = correct_answer(sample, two_humps(5.0), Correction(ess=2000), 0, progress_bar=False)
    assert (found.method, found.ok) == (method, True)
    z = found.points.z[:, 0]
    assert abs((z > 0).mean() - 0.7) < 0.04
    assert abs(np.log(z[z > 0].std())) < 0.06
    assert abs(found.evidence) < max(0.02, 4 * found.evidence_error)


def test_the_mode_of_a_correlated_normal():
    covariance = np.array([[1.0, 0.95], [0.95, 1.0]])
    law = stats.multivariate_normal([2.0, -1.0], covariance)
    draws = law.rvs(500, random_state=0)
    np.testing.assert_allclose(find_mode(law.logpdf, draws), [2.0, -1.0], atol=0.01)


def test_fewer_rows_are_filled_where_they_may_be_missing():
    site = ObservedSite("y", (4, 2), set_axis=0)
    found, many = check_observation(np.ones((3, 2)), [site], missing=True)
    assert not many
    np.testing.assert_array_equal(np.isfinite(found["y"]).all(-1), [[True, True, True, False]])
    with pytest.raises(ValueError, match="missing=True"):
        check_observation(np.ones((3, 2)), [site], missing=False)


def test_no_observation_is_refused_by_its_number():
    with pytest.raises(ValueError, match=r"have \[0\] observations; expected one at least"):
        check_observation(np.ones((0, 4)), [ObservedSite("y", (4,))], missing=False)


def test_a_draw_on_the_end_of_its_support_spoils_no_network():
    """A uniform in single precision is its own bound once in eight million draws."""
    rng = np.random.default_rng(0)
    theta, x = rng.uniform(size=(400, 2)), rng.normal(size=(400, 2))
    theta[3, 0], theta[7, 1] = 1.0, 0.0
    table, site = Simulations({"theta": theta}, {"x": x}), ObservedSite("x", (2,))
    prepared = prepare(table, lambda some: special.logit(some["theta"]), [site], Training(), rng)
    u, f = prepared.convert(table)
    z = prepared.frame.push(u, prepared.frame.locate(f, prepared.features.layout))
    found, inside = special.expit(z), (theta > 0) & (theta < 1)
    np.testing.assert_allclose(found[inside], theta[inside], atol=1e-5)
    assert found[3, 0] == pytest.approx(theta[inside[:, 0], 0].max())
    assert found[7, 1] == pytest.approx(theta[inside[:, 1], 1].min())


def test_an_observation_unlike_all_simulations_is_announced():
    simulated = np.random.default_rng(0).normal(size=(2000, 3))
    familiar = Familiar(simulated, [ObservedSite("y", (3,))])
    familiar.warn_of({"y": np.array([[0.5, -1.0, 2.0]])})
    with pytest.warns(UserWarning, match=r"outside of everything simulated.*y\[1\]"):
        familiar.warn_of({"y": np.array([[0.5, -40.0, 2.0]])})


class Numbered(Line):
    """A line whose state can be put down."""

    def state(self):
        return {"at": self.at, "best": self.best}

    def load_state(self, state):
        self.at, self.best = state["at"], state["best"]


def test_a_checkpoint_goes_on_to_the_same_answer_and_refuses_another(tmp_path):
    def run(stop_at, identity):
        kept, learner = Checkpoint(tmp_path / "kept.safetensors", identity), Numbered()

        class Stopping:
            def resume(self, *parts):
                return kept.resume(*parts)

            def write(self, *parts):
                kept.write(*parts)
                if parts[-1].num_looks == stop_at:
                    raise RuntimeError("stopped")

        settings, rng = Training(max_epochs=9), np.random.default_rng(1)
        log = learn(
            learner, make_pairs(), settings, rng, checkpoint=Stopping(), progress_bar=False
        )
        return learner.at, log

    with pytest.raises(RuntimeError, match="stopped"):
        run(4, {"settings.batch_size": 128})
    at, log = run(None, {"settings.batch_size": 128})
    undisturbed = Numbered()
    truth = learn(
        undisturbed,
        make_pairs(),
        Training(max_epochs=9),
        np.random.default_rng(1),
        progress_bar=False,
    )
    np.testing.assert_array_equal(at, undisturbed.at)
    np.testing.assert_array_equal(log.losses, truth.losses)
    np.testing.assert_array_equal(log.held_out, truth.held_out)
    assert (log.reason, log.num_pairs) == (truth.reason, truth.num_pairs)
    # One that has ended is read as it is.
    again, _ = run(None, {"settings.batch_size": 128})
    np.testing.assert_array_equal(again, at)
    with pytest.raises(ValueError, match=r"settings.batch_size was 128, and is 64"):
        run(None, {"settings.batch_size": 64})
