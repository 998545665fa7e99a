"""Neal's funnel on Pyro: ``python -m models.funnel.on_pyro``."""

import argparse
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.funnel.data import DIM, LOG_EVIDENCE, REFERENCE, SPREAD


def model():
    """The funnel as it is usually written: the scale of x is itself sampled."""
    log_scale = pyro.sample("log_scale", dist.Normal(0.0, SPREAD))
    scale = torch.exp(log_scale / 2)
    with pyro.plate("coordinate", DIM - 1):
        x = pyro.sample("x", dist.Normal(0.0, scale))
    pyro.deterministic("unit", x / scale)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the funnel and print how far the draws are from its known law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    smoke = parser.parse_args(argv).smoke

    fit = px.fit(model, progress_bar=not smoke)
    report = fit.report()
    if not smoke:
        print(report)
    draws = fit.draws(4000)
    print(
        f"funnel on Pyro: log evidence {report.log_evidence - LOG_EVIDENCE:+.3f} from "
        f"the truth, worst mean error {REFERENCE.worst_mean_error(draws.values):.3f} sd, worst "
        f"log sd ratio {REFERENCE.worst_log_sd_ratio(draws.values):.3f}"
    )


if __name__ == "__main__":
    main()
