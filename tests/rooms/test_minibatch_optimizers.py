"""``fit_minibatches`` with an optimiser of the user's own: its steps, cuts and checkpoints."""

import functools

import numpy as np
import pytest

from ppl_ext.training.loop import _Training
from tests.rooms.minibatch_process import BATCH, ROWS, draw_rows, fit
from tests.rooms.test_minibatches import as_numpy, assert_equal

pytestmark = pytest.mark.usefixtures("fresh_parameters")

RATE, MOMENTUM, SCALE = 1e-3, 0.9, 2.0


def list_optimizers(host):
    """Momentum by all that a room takes."""
    if host.name == "numpyro":
        import optax

        return {"optax": optax.sgd(RATE, momentum=MOMENTUM)}
    import torch

    settings = {"lr": RATE, "momentum": MOMENTUM}
    return {
        "torch": functools.partial(torch.optim.SGD, **settings),
        "pyro": host.ppl.optim.SGD(settings),
    }


def make_adam(host, rate=0.01):
    """One with moments of its own."""
    if host.name == "numpyro":
        import optax

        return optax.adamw(rate)
    return host.ppl.optim.AdamW({"lr": rate})


def train_point(host, optim, **settings):
    """A point estimate, whose losses have no noise but that of the batches."""
    batches = [(batch,) for batch in draw_rows().reshape(-1, BATCH)]

    def model(x):
        mean = host.ppl.param("mean", host.array(0.5))
        with host.ppl.plate("rows", ROWS, subsample_size=len(x)):
            host.ppl.sample("x", host.dist.Normal(mean, SCALE), obs=x)

    if host.name == "pyro":
        host.ppl.clear_param_store()
    settings = host.room.MinibatchSettings(optim=optim, **settings)
    return host.random(
        host.room.fit_minibatches,
        model,
        lambda x: None,
        batches,
        settings=settings,
        progress_bar=False,
    )


def test_steps_are_those_of_the_optimizer(host):
    """Gradient descent with momentum, written out: no warm-up, no search of a step size."""
    batches = draw_rows().reshape(-1, BATCH)
    at, speed, average = 0.5, 0.0, 0.5
    for step in range(12 * len(batches)):
        batch = batches[step % len(batches)]
        speed = MOMENTUM * speed + ROWS / BATCH * ((at - batch) / SCALE**2).sum()
        at -= RATE * speed
        average += 4 / (step + 4) * (at - average)
    for optim in list_optimizers(host).values():
        fitted = train_point(host, optim, max_epochs=12)
        np.testing.assert_allclose(float(as_numpy(fitted.params["mean"])), average, rtol=1e-5)
        assert (fitted.log.step_sizes == 1).all()


def test_cuts_make_its_updates_smaller(host):
    """To the end, which is the maximum of the likelihood, however noisy the first steps are."""
    for optim in list_optimizers(host).values():
        fitted = train_point(host, optim, max_epochs=3000)
        assert fitted.log.converged
        factors = np.unique(fitted.log.step_sizes)[::-1]
        np.testing.assert_allclose(factors, 0.3 ** np.arange(len(factors)))
        assert len(factors) > 1
        assert float(as_numpy(fitted.params["mean"])) == pytest.approx(
            draw_rows().mean(), abs=5e-3
        )


def test_a_checkpoint_keeps_its_moments(host, tmp_path, monkeypatch):
    settings = functools.partial(host.room.MinibatchSettings, optim=make_adam(host))
    straight, _ = fit(host.name, settings=settings(max_epochs=20))
    path = tmp_path / "kept.safetensors"
    look, looks = _Training.look, []

    def dies(self):
        looks.append(1)
        if len(looks) == 4:
            raise RuntimeError("killed")
        look(self)

    monkeypatch.setattr(_Training, "look", dies)
    with pytest.raises(RuntimeError, match="killed"):
        fit(host.name, settings=settings(max_epochs=20), checkpoint=path)
    monkeypatch.undo()
    fitted, _ = fit(host.name, settings=settings(max_epochs=20), checkpoint=path)
    assert_equal(fitted, straight, rtol=0)
    with pytest.raises(ValueError, match=r"settings.optim was .*, and is None in this call"):
        fit(host.name, checkpoint=path)


def test_what_is_no_optimizer_is_refused(host):
    make, wrong = host.room.MinibatchSettings, ["adam", 0.01]
    if host.name == "numpyro":
        wrong.append(host.ppl.optim.Adam(0.01))
    else:
        import torch

        wrong.append(torch.optim.SGD([torch.zeros(1)], lr=0.1))
        schedule = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.9}
        wrong.append(host.ppl.optim.ExponentialLR(schedule))
        wrong.append(lambda parameters: None)
    for optim in wrong:
        with pytest.raises(TypeError, match=r"fit_minibatches: settings.optim is a .*expected"):
            fit(host.name, settings=make(optim=optim))
    with pytest.raises(ValueError, match=r"step_size = 0\.1 beside optim; expected one"):
        make(optim=make_adam(host), step_size=0.1)
