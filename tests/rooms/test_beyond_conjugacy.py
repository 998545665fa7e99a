"""A model that coordinate ascent refuses, and ``fit`` fits."""

import numpy as np
import pytest
from scipy import integrate, stats

from ppl_ext.cavi import Normal, NormalTerm, NotConjugateError, PriorTerm, ascend

Y = stats.norm.ppf((np.arange(12) + 0.5) / 12, 1.5, 0.7)


def test_a_precision_with_a_log_normal_prior(host):
    """No factor of a known family meets it; a Gaussian of its logarithm does, by quadrature."""
    mean = PriorTerm("mean", Normal(np.array(0.0), np.array(1.0)))
    log_precision = Normal(np.array(0.0), np.array(1.0))
    with pytest.raises(NotConjugateError, match=r"'precision' is Normal; expected Gamma"):
        ascend(
            [mean, NormalTerm(Y, "mean", "precision")],
            {"mean": Normal(np.array(0.0), np.array(1.0)), "precision": log_precision},
        )

    def model(y):
        centre = host.ppl.sample("mean", host.dist.Normal(0.0, 1.0))
        precision = host.ppl.sample("precision", host.dist.LogNormal(0.0, 1.0))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(centre, precision**-0.5), obs=y)

    fit = host.random(host.room.fit, model, host.array(Y), progress_bar=False)
    assert fit.report().ok
    m, z = np.linspace(-1.0, 4.0, 401)[:, None], np.linspace(-4.0, 4.0, 401)
    log_p = stats.norm.logpdf(m) + stats.norm.logpdf(z)
    log_p = log_p + stats.norm.logpdf(Y[:, None, None], m, np.exp(-z / 2)).sum(0)
    mass = integrate.simpson(integrate.simpson(np.exp(log_p), x=z), x=m[:, 0])
    assert fit.report().log_evidence == pytest.approx(np.log(mass), abs=0.02)
