"""``fit_minibatches`` against closed forms, and against itself: killed, divided, gone wrong."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from ppl_ext.training.loop import _Training
from tests.repo.source import ROOT
from tests.rooms.minibatch_process import BATCH, NOISE, ROWS, draw_rows, fit, flatten

pytestmark = pytest.mark.usefixtures("fresh_parameters")

# What a child process runs: it is killed while it writes the checkpoint of the third look.
CHILD = """
import os, signal, sys
from ppl_ext.training.loop import _Training
from tests.rooms.minibatch_process import fit

write, looks = _Training.write, []

def killed(self, file):
    looks.append(file)
    if len(looks) == 3:
        os.fsync = lambda opened: os.kill(os.getpid(), signal.SIGKILL)
    write(self, file)

_Training.write = killed
fit(sys.argv[1], checkpoint=sys.argv[2])
"""


def numbers(params):
    """All numbers of parameters, whose names count the guides made in Pyro."""
    return [np.asarray(value) for _, value in sorted(flatten(params).items())]


def assert_equal(ours, theirs, **tolerance):
    for one, other in zip(numbers(ours.params), numbers(theirs.params), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)
    np.testing.assert_allclose(ours.log.losses, theirs.log.losses, **tolerance)


@pytest.fixture(scope="module")
def undisturbed(host):
    return fit(host.name)[0]


@pytest.fixture(scope="module")
def divided(host):
    return fit(host.name, num_parts=2)[0]


def test_posterior_of_shared_sites_is_that_of_all_rows(host):
    """Linear regression: the epochs' losses tell when mean and spread are right."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2)).astype(np.float32) @ np.array([[1.0, 0.6], [0.0, 0.8]], "f4")
    y = (x @ np.array([1.0, -2.0]) + rng.normal(size=300)).astype(np.float32)

    def model(x, y):
        b = host.ppl.sample("b", host.dist.Normal(host.array(np.zeros(2)), 10.0).to_event(1))
        with host.ppl.plate("rows", 300, subsample_size=len(x)):
            host.ppl.sample("y", host.dist.Normal(x @ b, 1.0), obs=y)

    guide = host.room.AutoFullRank(model)
    batches = host.room.Minibatches(x, y, batch_size=30)
    fitted = host.random(host.room.fit_minibatches, model, guide, batches, progress_bar=False)
    assert fitted.log.converged
    assert "the loss of epochs has stopped falling" in str(fitted)
    precision = x.T.astype(float) @ x + np.eye(2) / 100
    mean, covariance = np.linalg.solve(precision, x.T @ y), np.linalg.inv(precision)
    state = () if host.name == "pyro" else (fitted.params,)
    found = guide.get_posterior(*state)
    scale = np.sqrt(np.diag(covariance))
    loc, var = (np.asarray(as_numpy(each)) for each in (found.mean, found.variance))
    np.testing.assert_allclose(loc, mean, atol=0.2 * scale.min())
    np.testing.assert_allclose(np.sqrt(var) / scale, 1, atol=0.2)
    whole = host.room.Minibatches(x, y, batch_size=70)
    draws = host.random(fitted.draws, whole, 300)
    b = draws.values["b"].astype(float)
    log_p = stats.norm.logpdf(b, 0, 10).sum(1) + stats.norm.logpdf(y - b @ x.T).sum(1)
    np.testing.assert_allclose(draws.log_p, log_p, atol=1e-3)
    assert draws.resample().khat < 0.7
    # The weights of draws of a Gaussian average to the evidence, which has a closed form.
    evidence = stats.multivariate_normal(np.zeros(300), np.eye(300) + 100 * x @ x.T).logpdf(y)
    assert np.log(np.exp(draws.log_weights - evidence).mean()) == pytest.approx(0, abs=0.05)
    report = host.random(fitted.report, whole)
    assert report.ok or report.resampled_ok
    assert report.log_evidence == pytest.approx(evidence, abs=0.01)
    with pytest.raises(ValueError, match=r"MinibatchFit\.draws: the batches have 270 rows.*300"):
        host.random(fitted.report, whole.split(0.1)[0])


def test_a_training_has_not_converged_before_all_scales_are_right(host):
    """That of a noise may be twice too wide without a trace in the noisy losses of epochs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)).astype(np.float32)
    y = (x @ [1.0, -0.5, 0.0] + rng.normal(size=2000)).astype(np.float32)

    def model(x, y):
        slope = host.dist.Normal(host.array(np.zeros(3)), 5.0).to_event(1)
        slope = host.ppl.sample("slope", slope)
        noise = host.ppl.sample("noise", host.dist.HalfNormal(2.0))
        with host.ppl.plate("rows", 2000, subsample_size=len(x)):
            host.ppl.sample("y", host.dist.Normal(x @ slope, noise), obs=y)

    guide = host.room.AutoFullRank(model)
    batches = host.room.Minibatches(x, y, batch_size=200)
    options = {"settings": host.room.MinibatchSettings(num_decays=1), "progress_bar": False}
    fitted = host.random(host.room.fit_minibatches, model, guide, batches, **options)
    assert fitted.log.converged
    # The slopes integrated out in closed form, the noise on a grid of its logarithm.
    log_noise = np.linspace(-0.15, 0.15, 301)
    gram, moments = x.T.astype(float) @ x, x.T @ y.astype(float)
    log_p = np.empty(301)
    for index, noise in enumerate(np.exp(log_noise)):
        precision = gram / noise**2 + np.eye(3) / 25
        fit = moments @ np.linalg.solve(precision, moments) / noise**4
        log_p[index] = (fit - y.astype(float) @ y / noise**2 - np.linalg.slogdet(precision)[1]) / 2
    log_p += stats.halfnorm.logpdf(np.exp(log_noise), scale=2.0) - 1999 * log_noise
    weights = np.exp(log_p - log_p.max())
    mean = np.average(log_noise, weights=weights)
    sd = np.average((log_noise - mean) ** 2, weights=weights) ** 0.5
    state = () if host.name == "pyro" else (fitted.params,)
    found = guide.get_posterior(*state)
    loc, var = (float(as_numpy(each)[-1]) for each in (found.mean, found.variance))
    assert loc == pytest.approx(mean, abs=0.3 * sd)
    assert np.log(var**0.5 / sd) == pytest.approx(0, abs=0.15)


def as_numpy(value):
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def test_encoder_comes_to_the_exact_bound_on_held_out_rows(host):
    train, held_out = host.room.Minibatches(draw_rows(), batch_size=BATCH).split(0.2)
    settings = host.room.MinibatchSettings(step_size=0.01, max_epochs=150)
    fitted, guide = fit(host.name, train, held_out=held_out, settings=settings)
    assert "on held-out batches" in str(fitted)
    with pytest.raises(ValueError, match=r"\['z'\] belong to the rows of plate 'rows'"):
        host.random(fitted.draws, train)
    x = np.array([-0.5, 1.0, 2.5] * (ROWS // 3), np.float32)
    state = () if host.name == "pyro" else (fitted.params,)
    found = guide.median(*state, host.array(x))
    share = 1 / (1 + NOISE**2)
    mean = float(as_numpy(found["mean"]))
    trained_on = draw_rows()[train._rows].mean()
    assert mean == pytest.approx(trained_on, abs=0.15)
    np.testing.assert_allclose(as_numpy(found["z"])[:3], mean + share * (x[:3] - mean), atol=0.15)


def test_a_killed_training_goes_on_to_the_same_answer(host, undisturbed, tmp_path):
    path = tmp_path / "kept.safetensors"
    killed = subprocess.run(
        [sys.executable, "-c", CHILD, host.name, str(path)], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    fitted, _ = fit(host.name, checkpoint=path)
    assert_equal(fitted, undisturbed, rtol=0)
    # One that has come to its limit goes on where the limit is raised.
    wider = host.room.MinibatchSettings(step_size=0.01, max_epochs=25)
    longer, _ = fit(host.name, checkpoint=path, settings=wider)
    assert longer.log.num_epochs == 25
    np.testing.assert_array_equal(longer.log.losses[:4], undisturbed.log.losses[:4])
    other = host.room.MinibatchSettings(step_size=0.02)
    with pytest.raises(ValueError, match=r"settings.step_size was 0.01, and is 0.02"):
        fit(host.name, checkpoint=path, settings=other)


def test_ctrl_c_leaves_the_best_so_far(host, monkeypatch):
    look, looks = _Training.look, []

    def interrupted(self):
        if len(looks) == 3:
            raise KeyboardInterrupt
        looks.append(1)
        look(self)

    monkeypatch.setattr(_Training, "look", interrupted)
    fitted, _ = fit(host.name)
    assert fitted.log.reason == "interrupted"
    assert len(fitted.log.losses) == 3
    assert all(np.isfinite(value).all() for value in numbers(fitted.params))


def start(host, output, *rest):
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.rooms.minibatch_process", host.name]
    return [
        subprocess.Popen(
            [*command, str(rank), "2", str(port), str(output), *rest],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": ""},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def test_two_processes_make_the_steps_of_one(host, divided, tmp_path):
    for process in start(host, tmp_path / "found"):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for rank in range(2):
        found = dict(np.load(tmp_path / f"found.{rank}.npz"))
        np.testing.assert_allclose(found.pop("losses"), divided.log.losses, rtol=1e-5)
        for one, other in zip(numbers(found), numbers(divided.params), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_where_one_process_is_gone_the_other_ends_and_the_checkpoint_is_whole(host, tmp_path):
    path = tmp_path / "kept.safetensors"
    one, other = start(host, tmp_path / "found", str(path), "12")
    _, errors = one.communicate(timeout=300)
    other.communicate(timeout=300)
    assert other.returncode == -signal.SIGKILL
    assert one.returncode != 0
    assert "fit_minibatches: another process is gone at" in errors
    batches = [(rows,) for rows in draw_rows().reshape(-1, BATCH)]
    fitted, _ = fit(host.name, batches, num_parts=2, checkpoint=path)
    straight, _ = fit(host.name, batches, num_parts=2)
    assert_equal(fitted, straight, rtol=1e-5, atol=1e-6)


def test_parts_are_of_equal_size(host):
    with pytest.raises(ValueError, match=r"a batch has 40 rows and num_parts = 3"):
        fit(host.name, num_parts=3)
    with pytest.raises(ValueError, match="num_parts = 0; expected a positive whole number"):
        fit(host.name, num_parts=0)


def test_steps_are_those_of_adam(host):
    """A point estimate has no noise: the steps beside Kingma and Ba's algorithm 1, written out."""
    x = draw_rows()
    batches = [(batch,) for batch in x.reshape(-1, BATCH)]

    def model(x):
        mean = host.ppl.param("mean", host.array(0.5))
        with host.ppl.plate("rows", ROWS, subsample_size=len(x)):
            host.ppl.sample("x", host.dist.Normal(mean, 2.0), obs=x)

    settings = host.room.MinibatchSettings(step_size=0.05, max_epochs=30)
    fitted = host.random(
        host.room.fit_minibatches,
        model,
        lambda x: None,
        batches,
        settings=settings,
        progress_bar=False,
    )
    steps = [np.float64(0.05 * min(1.0, (step + 1) / 100)) for step in range(180)]
    at, first, second, mean, losses = 0.5, 0.0, 0.0, 0.5, []
    for step, rate in enumerate(steps):
        (batch,) = batches[step % len(batches)]
        scale = ROWS / BATCH
        losses.append(-scale * stats.norm(at, 2.0).logpdf(batch).sum())
        slope = scale * ((at - batch) / 4).sum()
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        up = first / (1 - 0.9 ** (step + 1))
        at -= rate * up / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
        mean += 4 / (step + 4) * (at - mean)
    np.testing.assert_allclose(float(as_numpy(fitted.params["mean"])), mean, rtol=1e-4)
    assert fitted.log.steps.tolist() == list(range(12, 181, 12))
    np.testing.assert_allclose(
        fitted.log.losses, np.reshape(losses, (15, 12)).mean(axis=1), rtol=1e-5
    )


def shared(host, plate):
    """A model of one shared site, its plate as a function of the batch."""
    ppl, dist = host.ppl, host.dist

    def model(x):
        mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
        with plate(x):
            ppl.sample("x", dist.Normal(mean, 2.0), obs=x)

    return model


def train_shared(host, model, guide, batches=None, **options):
    batches = batches or host.room.Minibatches(draw_rows(), batch_size=BATCH)
    settings = host.room.MinibatchSettings(step_size=0.01, max_epochs=2)
    options = {"settings": settings, "progress_bar": False, **options}
    return host.random(host.room.fit_minibatches, model, guide, batches, **options)


def test_a_plate_of_the_batch_is_refused(host):
    model = shared(host, lambda x: host.ppl.plate("rows", len(x)))
    batches = host.room.Minibatches(np.tile(draw_rows(), 2), batch_size=BATCH)
    with pytest.raises(ValueError, match=r"Write plate\('rows', 480, subsample_size=len\(x\)\)"):
        train_shared(host, model, host.room.AutoFullRank(model), batches)


def test_guides_with_numbers_for_rows_are_refused(host):
    ppl, dist = host.ppl, host.dist

    def model(x):
        with ppl.plate("rows", ROWS, subsample_size=len(x)):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, NOISE), obs=x)

    def make_plates(x):
        return ppl.plate("rows", ROWS, subsample_size=len(x))

    guide = ppl.infer.autoguide.AutoNormal(model, create_plates=make_plates)
    batches = host.room.Minibatches(draw_rows(), batch_size=10)
    with pytest.raises(ValueError, match=r"AutoNormal has numbers for single rows .*\['z'\]"):
        train_shared(host, model, guide, batches)


def test_checkpoints_know_sites_and_held_out_batches(host, tmp_path):
    model = shared(host, lambda x: host.ppl.plate("rows", ROWS, subsample_size=len(x)))
    kept, guide = {"checkpoint": tmp_path / "kept.safetensors"}, host.room.AutoFullRank
    train_shared(host, model, guide(model), **kept)
    with pytest.raises(ValueError, match="the checksum of the held-out batches was None"):
        train_shared(host, model, guide(model), held_out=[(draw_rows()[:9],)], **kept)

    def other(x):
        mean = host.ppl.sample("level", host.dist.Normal(0.0, 10.0))
        with host.ppl.plate("rows", ROWS, subsample_size=len(x)):
            host.ppl.sample("x", host.dist.Normal(mean, 2.0), obs=x)

    with pytest.raises(ValueError, match="the sites of the model was"):
        train_shared(host, other, guide(other), **kept)


def test_a_gradient_that_is_not_finite_is_blamed_on_the_row(host):
    """Missing values below a mask: the loss is finite, in Pyro its gradient is not."""
    x = draw_rows()
    x[7] = np.nan

    def model(x):
        mean = host.ppl.sample("mean", host.dist.Normal(0.0, 10.0))
        with host.ppl.plate("rows", ROWS, subsample_size=len(x)):
            known = host.math.isfinite(x)
            seen = host.math.nan_to_num(x) if put else x
            host.ppl.sample("x", host.dist.Normal(mean, 2.0).mask(known), obs=seen)

    put, batches = True, host.room.Minibatches(x, batch_size=BATCH)
    assert np.isfinite(train_shared(host, model, host.room.AutoFullRank(model), batches).log.best)
    if host.name == "pyro":
        put = False
        with pytest.raises(FloatingPointError, match=r"nan in row 7; expected .*nan_to_num"):
            train_shared(host, model, host.room.AutoFullRank(model), batches)
