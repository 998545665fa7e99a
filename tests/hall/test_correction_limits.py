"""What a correction refuses, where it ends early, and how ArviZ reads its draws."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from ppl_ext.correction import Corrected, Correction, correct
from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.fitting.fit_log import INTERRUPTED
from tests.hall.targets import gaussian, make_density

WIDE = gaussian([3.0, 0.0], np.diag([1.0, 0.25]))
NARROW = Gaussian(np.zeros(2), np.array([0.2, 0.2]))


QUICK = Correction(ess=2000)


def run(settings=QUICK, density=WIDE, fitted=NARROW) -> Corrected:
    return correct(density, fitted, settings, progress_bar=False)


def after(calls, density=WIDE) -> Density:
    """The density, interrupted from the keyboard after so many calls."""
    left = [calls]

    def log_density(z):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return density.log_density(z)

    return make_density(density.dim, log_density)


def test_arviz_reads_islands_as_chains():
    corrected = run()
    chains = corrected.draws.to_datatree()["posterior"]["z"].values
    assert corrected.ok
    assert corrected.draws.resampled
    assert len(chains) == corrected.log.num_islands
    for column in np.moveaxis(chains, 2, 0):
        assert array_stats.rhat(column, chain_axis=0, draw_axis=1) < 1.01
        assert array_stats.ess(column, chain_axis=0, draw_axis=1) > 2000


def test_its_words():
    corrected = run()
    assert str(corrected).startswith("verdict       good")
    assert "use the draws." in str(corrected)
    assert "temperatures" in str(corrected)
    assert f"{corrected.log.gradients:,} gradients" in str(corrected.log)
    assert [stage.temperature for stage in corrected.log.stages][-1] == 1


def test_no_budget_leaves_the_start_and_says_so():
    for settings in (Correction(max_gradients=0), Correction(max_seconds=0.0)):
        corrected = run(settings)
        z = corrected.draws.values["z"]
        assert not corrected.ok
        assert corrected.log.temperature == 0
        assert "the budget is spent" in str(corrected)
        assert "q^1 p^0" in corrected.log.notes[0]
        assert not corrected.draws.resampled
        assert abs(np.median(z[:, 0])) < 0.1
        assert "max_gradients" in corrected.advice


def test_a_budget_spent_on_the_way_leaves_weights_to_the_posterior():
    corrected = run(Correction(max_gradients=20_000))
    assert not corrected.ok
    assert 0 < corrected.log.temperature < 1
    assert corrected.log.gradients <= 20_000
    weights = np.exp(corrected.draws.log_weights - corrected.draws.log_weights.max())
    raw = corrected.draws.values["z"][:, 0]
    assert abs(np.average(raw, weights=weights) - 3) < abs(raw.mean() - 3)


@pytest.mark.parametrize("calls", [12, 100])
def test_an_interruption_keeps_what_was_reached(calls):
    corrected = run(density=after(calls))
    assert corrected.log.reason == INTERRUPTED
    assert not corrected.ok
    assert "interrupted" in corrected.advice
    assert np.isfinite(corrected.draws.values["z"]).all()


def test_particles_that_die_are_kept_and_called_dead():
    def log_density(z):
        return -1e9 * np.abs(z[:, 0] - 50.0), -1e9 * np.sign(z - 50.0)

    corrected = run(
        Correction(max_gradients=200_000),
        make_density(1, log_density),
        Gaussian(np.zeros(1), np.ones(1)),
    )
    assert not corrected.ok
    assert corrected.log.temperature < 1


def test_refusals_name_what_is_wrong():
    with pytest.raises(ValueError, match="leave out subsample_size"):
        run(density=None)
    single = Density(**{**vars(WIDE), "batched": False})
    with pytest.raises(ValueError, match="sites 'z' is called draw by draw"):
        run(density=single)
    with pytest.raises(ValueError, match=r"shape \(3,\).*expected \(2,\)"):
        run(fitted=Gaussian(np.zeros(3), np.ones(3)))
    nowhere = make_density(2, lambda z: (np.full(len(z), -np.inf), np.full(z.shape, np.nan)))
    with pytest.raises(ValueError, match="zero or not finite at all 1,024 draws"):
        run(density=nowhere)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ess", 0), ("max_rhat", 1.0), ("max_gradients", -1), ("max_seconds", -1.0)],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"Correction: {name} = {value}; expected"):
        Correction(**{name: value})
