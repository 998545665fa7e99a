"""Leave-one-out against its closed form in a conjugate Gaussian model."""

import arviz_stats
import numpy as np
import pytest
import xarray
from scipy import stats

from ppl_ext.draws import Draws, estimate_loo

PRIOR_SCALE = 3.0
DATA = np.array([1.9, 0.3, -0.6, 1.1, 2.4, -1.2, 0.8, 0.1])


def posterior_of(data):
    precision = 1 / PRIOR_SCALE**2 + len(data)
    return data.sum() / precision, precision**-0.5


def exact_loo():
    """y_i is left out: its predictive is Gaussian around the mean of the rest."""
    total = 0.0
    for i, y in enumerate(DATA):
        mean, scale = posterior_of(np.delete(DATA, i))
        total += stats.norm.logpdf(y, mean, np.hypot(scale, 1))
    return total


def draws_of_guide(scale_factor, shift=0.0, count=8000, **fields):
    """A guide whose location and scale are wrong by a known amount."""
    mean, scale = posterior_of(DATA)
    x = mean + shift * scale + scale_factor * scale * np.random.default_rng(2).normal(size=count)
    log_likelihood = stats.norm.logpdf(DATA, x[:, None])
    return Draws(
        {"x": x},
        log_p=log_likelihood.sum(1) + stats.norm.logpdf(x, scale=PRIOR_SCALE),
        log_q=stats.norm.logpdf(x, mean + shift * scale, scale_factor * scale),
        log_likelihood={"y": log_likelihood},
        observed={"y": DATA},
        dims={"y": ("datum",)},
        **fields,
    )


@pytest.mark.parametrize(("scale_factor", "shift"), [(1.0, 0.0), (1.6, 0.0), (1.5, 1.0)])
def test_guides_that_are_wrong_give_the_exact_answer(scale_factor, shift):
    loo = estimate_loo(draws_of_guide(scale_factor, shift))
    assert float(loo.elpd) == pytest.approx(exact_loo(), abs=0.02)


def test_naive_loo_would_be_wrong():
    draws = draws_of_guide(1.5, shift=1.0)
    naive = arviz_stats.loo(draws.to_datatree())
    assert abs(float(naive.elpd) - exact_loo()) > 0.3
    assert estimate_loo(draws).approx_posterior


def test_chains_keep_their_order():
    one = estimate_loo(draws_of_guide(1.5, shift=1.0))
    four = estimate_loo(draws_of_guide(1.5, shift=1.0, chains=4))
    assert float(one.elpd) == pytest.approx(float(four.elpd), abs=1e-3)


def test_pointwise_keeps_the_labels_of_the_data():
    draws = draws_of_guide(1.3)
    labelled = Draws(**{**vars(draws), "coords": {"datum": list("abcdefgh")}})
    loo = estimate_loo(labelled, pointwise=True)
    assert loo.elpd_i.dims == ("datum",)
    assert (loo.pareto_k.sel(datum="c") < 0.7).all()


def test_a_scalar_datum_is_a_datum():
    draws = draws_of_guide(1.3)
    scalar = Draws(**{**vars(draws), "log_likelihood": {"y": draws.log_likelihood["y"][:, 0]},
                      "observed": {"y": DATA[0]}, "dims": {}})  # fmt: skip
    assert np.isfinite(float(estimate_loo(scalar, pointwise=False).elpd))


def test_a_tree_read_back_from_a_file_gives_the_same(tmp_path):
    draws = draws_of_guide(1.3)
    draws.to_datatree().to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        assert float(estimate_loo(tree).elpd) == float(estimate_loo(draws).elpd)


def test_resampled_draws_give_the_same_even_after_a_file(tmp_path):
    resampled = draws_of_guide(1.3).resample(seed=0)
    found = estimate_loo(resampled)
    assert float(found.elpd) == pytest.approx(exact_loo(), abs=0.05)
    resampled.to_datatree().to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        assert float(estimate_loo(tree).elpd) == float(found.elpd)


def test_what_is_missing_is_said():
    draws = draws_of_guide(1.3, count=100)
    tree = draws.to_datatree()
    del tree["sample_stats"]
    with pytest.raises(ValueError, match="no sample_stats 'lp' and 'log_q'"):
        estimate_loo(tree)
    with pytest.raises(ValueError, match="no log likelihood"):
        estimate_loo(Draws(draws.values, draws.log_p, draws.log_q))


def test_one_of_several_observed_sites_is_chosen():
    draws = draws_of_guide(1.3)
    both = {"y": draws.log_likelihood["y"], "z": draws.log_likelihood["y"][:, :3]}
    two = Draws(draws.values, draws.log_p, draws.log_q, log_likelihood=both)
    with pytest.raises(ValueError, match=r"site=None, but the observed sites are \['y', 'z'\]"):
        estimate_loo(two)
    with pytest.raises(ValueError, match=r"site='w'"):
        estimate_loo(two, site="w")
    assert estimate_loo(two, site="z").n_data_points == 3
