"""Neal's funnel on NumPyro: ``python -m models.funnel.on_numpyro``."""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.funnel.data import DIM, LOG_EVIDENCE, REFERENCE, SPREAD


def model():
    """The funnel as it is usually written: the scale of x is itself sampled."""
    log_scale = numpyro.sample("log_scale", dist.Normal(0.0, SPREAD))
    scale = jnp.exp(log_scale / 2)
    with numpyro.plate("coordinate", DIM - 1):
        x = numpyro.sample("x", dist.Normal(0.0, scale))
    numpyro.deterministic("unit", x / scale)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the funnel and print how far the draws are from its known law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    smoke = parser.parse_args(argv).smoke

    fit = px.fit(jax.random.key(0), model, progress_bar=not smoke)
    report = fit.report()
    if not smoke:
        print(report)
    draws = fit.draws(jax.random.key(1), 4000)
    print(
        f"funnel on NumPyro: log evidence {report.log_evidence - LOG_EVIDENCE:+.3f} from "
        f"the truth, worst mean error {REFERENCE.worst_mean_error(draws.values):.3f} sd, worst "
        f"log sd ratio {REFERENCE.worst_log_sd_ratio(draws.values):.3f}"
    )


if __name__ == "__main__":
    main()
