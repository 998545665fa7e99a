"""Where float32 rounds a log density by whole nats, its weights are not believed."""

import numpy as np

COUNTS = np.array([1_200_345.0, 1_201_234.0, 1_199_876.0])
# By conjugacy: a gamma posterior of shape 1 + sum of counts and rate 1e-6 + 3.
SHAPE, RATE = 1 + COUNTS.sum(), 3 + 1e-6
MEAN, SD = SHAPE / RATE, SHAPE**0.5 / RATE


def shift(values):
    return abs(values.mean() - MEAN) / SD, abs(np.log(values.std() / SD))


def fit_counts(host, number, data, **options):
    def model(y):
        rate = host.ppl.sample("rate", host.dist.Gamma(number(1.0), number(1e-6)))
        with host.ppl.plate("row", len(COUNTS)):
            host.ppl.sample("y", host.dist.Poisson(rate), obs=y)

    return host.random(host.room.fit, model, data, progress_bar=False, **options)


def test_counts_of_a_million(host):
    fitted = fit_counts(host, host.array, host.array(COUNTS.astype(np.float32)))
    report = fitted.report()
    assert report.verdict == "not to be trusted"
    assert "run it in float64" in report.advice


def test_the_same_in_double_precision(host):
    if host.name == "pyro":
        number, data, options = (lambda x: host.math.tensor(x).double()), COUNTS, {}
        data = host.math.as_tensor(data)
    else:
        number, data, options = (lambda x: x), COUNTS, {"enable_x64": True}
    fitted = fit_counts(host, number, data, **options)
    assert fitted.report().verdict == "good"
    assert max(shift(host.random(fitted.draws, 4000).values["rate"])) < 0.1
