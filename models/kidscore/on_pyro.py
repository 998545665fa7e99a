"""The kidscore regression on Pyro: ``python -m models.kidscore.on_pyro``."""

import argparse
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.kidscore.data import KID_SCORE, MOM_HS, MOM_IQ, REFERENCE


def model(mom_hs, mom_iq, kid_score=None):
    """Score on schooling, IQ and their product; flat prior on the four coefficients."""
    with pyro.plate("term", 4):
        # Flat: the masked Normal adds nothing to the density and says where guides may start.
        beta = pyro.sample("beta", dist.Normal(0.0, 1.0).mask(False))
    sigma = pyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with pyro.plate("child", len(mom_iq)):
        pyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit both Gaussian families and print how far they are from the published posterior."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke

    data = [torch.tensor(column).float() for column in (MOM_HS, MOM_IQ, KID_SCORE)]
    for guide in [px.AutoFullRank] if smoke else [px.AutoMeanField, px.AutoFullRank]:
        fit = px.fit(model, *data, guide=guide, progress_bar=not smoke)
        report = fit.report()
        if not smoke:
            print(f"\n{report}")
        values = fit.draws(10_000, seed=0).values
        print(
            f"kidscore on Pyro, {guide.__name__}: worst mean error "
            f"{REFERENCE.worst_mean_error(values):.3f} sd, "
            f"worst log sd ratio {REFERENCE.worst_log_sd_ratio(values):.3f}"
        )


if __name__ == "__main__":
    main()
