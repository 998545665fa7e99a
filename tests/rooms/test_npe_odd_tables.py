"""Tables, axes and values that do not fit a neural posterior, in both rooms."""

import numpy as np
import pytest

from tests.rooms.test_npe_odd_data import gaussian, mean_of, train


def test_tables_hold_what_the_prior_can_draw(host):
    def model(y):
        sigma = host.ppl.sample("sigma", host.dist.HalfNormal(1.0))
        host.ppl.sample("y", host.dist.Normal(0.0, sigma), obs=y)

    rng = np.random.default_rng(0)
    sigma = np.abs(rng.normal(size=400))
    y = sigma * rng.normal(size=400)
    npe = gaussian(host, model, host.array(np.array(0.0)))
    spoilt = np.where(np.arange(400) < 3, -sigma, sigma)
    with pytest.raises(ValueError, match=r"3 rows have values of the latent sites \['sigma'\]"):
        train(host, npe, simulations=({"sigma": spoilt}, {"y": y}))
    whole = np.ones(400, int) + np.arange(400) % 4
    drawn = host.random(
        train(host, npe, simulations=({"sigma": whole}, {"y": y})).posterior(0.3).sample, 50
    )
    assert np.isfinite(drawn["sigma"]).all()


def test_axes_of_sets(host):
    model, given = mean_of(host), host.array(np.zeros(3))
    (site,) = gaussian(host, model, given, exchangeable={"y": -1}).task.observed
    assert site.set_axis == 0
    for wrong in ({"x": 0}, {"y": 1}, {"y": "row"}, {"y": True}):
        with pytest.raises(ValueError, match="exchangeable"):
            gaussian(host, model, given, exchangeable=wrong)


def test_values_in_another_order_of_axes_are_refused(host):
    npe = train(host, gaussian(host, mean_of(host), host.array(np.zeros(3))))
    many = npe.posterior(np.zeros((5, 3)))
    drawn = host.random(many.sample, 7)
    assert many.log_prob(drawn).shape == (5, 7)
    for wrong in ({"mu": drawn["mu"].T}, {"mu": drawn["mu"][0]}, {}):
        with pytest.raises(ValueError, match="site 'mu'"):
            many.log_prob(wrong)
    one = npe.posterior(np.zeros(3))
    assert one.log_prob({"mu": np.zeros(7)}).shape == (7,)
    with pytest.raises(ValueError, match="site 'mu'"):
        one.log_prob({"mu": np.zeros((7, 2))})


def test_files_of_other_supports_and_of_whole_data_are_refused(host, tmp_path):
    def model(prior):
        def bounded(y):
            theta = host.ppl.sample("theta", prior)
            host.ppl.sample("y", host.dist.Normal(theta, 1.0), obs=y)

        return bounded

    path, given = tmp_path / "npe.safetensors", host.array(np.array(0.0))
    uniform, wider = host.dist.Uniform(0.0, 10.0), host.dist.Uniform(0.0, 20.0)
    train(host, gaussian(host, model(uniform), given)).save(path)
    gaussian(host, model(uniform), given).load(path)
    for other in (wider, host.dist.Normal(0.0, 1.0)):
        with pytest.raises(ValueError, match="site 'theta' had another support"):
            gaussian(host, model(other), given).load(path)
    with pytest.raises(ValueError, match="learned with missing=False"):
        gaussian(host, model(uniform), given, missing=True).load(path)
