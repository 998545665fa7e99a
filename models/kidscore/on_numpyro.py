"""The kidscore regression on NumPyro: ``python -m models.kidscore.on_numpyro``."""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

import ppl_ext.numpyro as px
from models.kidscore.data import KID_SCORE, MOM_HS, MOM_IQ, REFERENCE


def model(mom_hs, mom_iq, kid_score=None):
    """Score on schooling, IQ and their product; flat prior on the four coefficients."""
    with numpyro.plate("term", 4):
        beta = numpyro.sample("beta", dist.ImproperUniform(constraints.real, (), ()))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with numpyro.plate("child", len(mom_iq)):
        numpyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit both Gaussian families and print how far they are from the published posterior."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke

    data = [jnp.asarray(column) for column in (MOM_HS, MOM_IQ, KID_SCORE)]
    for guide in [px.AutoFullRank] if smoke else [px.AutoMeanField, px.AutoFullRank]:
        fit = px.fit(jax.random.key(0), model, *data, guide=guide, progress_bar=not smoke)
        report = fit.report()
        if not smoke:
            print(f"\n{report}")
        values = fit.draws(jax.random.key(1), 10_000).values
        print(
            f"kidscore on NumPyro, {guide.__name__}: worst mean error "
            f"{REFERENCE.worst_mean_error(values):.3f} sd, "
            f"worst log sd ratio {REFERENCE.worst_log_sd_ratio(values):.3f}"
        )


if __name__ == "__main__":
    main()
