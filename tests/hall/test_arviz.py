"""ArviZ's own statistics and plots take the tree of a guide, in both supported generations."""

import subprocess
import sys

import arviz_base
import arviz_plots
import arviz_stats
import numpy as np
import pytest
from scipy import stats

from ppl_ext.draws import Draws, estimate_loo

COUNT = 1000


def draws_of(seed):
    rng = np.random.default_rng(seed)
    data = np.array([0.4, -0.3, 1.2, 0.8])
    mu = rng.normal(0.4, 0.5, size=COUNT)
    theta = mu[:, None] + rng.normal(size=(COUNT, 4))
    log_likelihood = stats.norm.logpdf(data, mu[:, None])
    return Draws(
        {"mu": mu, "theta": theta},
        log_p=log_likelihood.sum(1),
        log_q=stats.norm.logpdf(mu, 0.4, 0.5),
        log_likelihood={"y": log_likelihood},
        posterior_predictive={"y": mu[:, None] + rng.normal(size=(COUNT, 4))},
        observed={"y": data},
        dims={"theta": ("school",), "y": ("school",)},
        coords={"school": list("abcd")},
        chains=2,
    )


@pytest.fixture(scope="module")
def draws():
    return draws_of(0)


@pytest.fixture(scope="module")
def tree(draws):
    return draws.to_datatree()


def test_summary_reads_moments_and_labels(tree, draws):
    table = arviz_stats.summary(tree, round_to="none")
    assert list(table.index) == ["mu", "theta[a]", "theta[b]", "theta[c]", "theta[d]"]
    assert table.loc["theta[b]", "mean"] == pytest.approx(draws.values["theta"][:, 1].mean())
    assert np.isfinite(table["r_hat"].astype(float)).all()


def test_one_chain_summarises_too(draws):
    one = Draws(**{**vars(draws), "chains": 1}).to_datatree()
    assert arviz_stats.summary(one, kind="stats").index[0] == "mu"


# arviz-stats 0.8 sorts tables in place, which newer pandas deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_extract_and_compare(tree, draws):
    assert arviz_base.extract(tree)["theta"].sizes["sample"] == COUNT
    table = arviz_stats.compare({"one": estimate_loo(draws, pointwise=True),
                                 "two": estimate_loo(draws_of(1), pointwise=True)})  # fmt: skip
    assert set(table.index) == {"one", "two"}


# plot_ppc_pit of arviz-plots 0.8 hands one thinned observation at a time to a converter.
@pytest.mark.filterwarnings("ignore:Found chain dimension to be longer")
@pytest.mark.parametrize(
    "plot",
    ["plot_dist", "plot_forest", "plot_trace", "plot_rank", "plot_ppc_dist", "plot_ppc_pit"],
)
def test_plots_take_the_tree(tree, plot):
    getattr(arviz_plots, plot)(tree, backend="none")


def test_two_guides_lie_over_each_other(tree):
    arviz_plots.plot_dist(
        {"first": tree, "second": draws_of(1).to_datatree()}, var_names=["mu"], backend="none"
    )


def test_draws_import_neither_arviz_nor_xarray():
    code = (
        "import ppl_ext.draws, ppl_ext.draws, ppl_ext.storage, ppl_ext.fitting, ppl_ext.fitting, "
        "sys; assert not [name for name in sys.modules if name.split('.')[0] in "
        "{'arviz_base', 'arviz_stats', 'xarray', 'safetensors', 'tqdm', 'jax', 'torch'}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
