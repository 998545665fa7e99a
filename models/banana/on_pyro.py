"""The banana on Pyro: ``python -m models.banana.on_pyro``."""

import argparse
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.banana.data import LOG_EVIDENCE, NOISE, REFERENCE, SEEN


def model(seen=None):
    """Two coefficients, of which only a + b**2 is seen."""
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(0.0, 1.0))
    pyro.sample("seen", dist.Normal(a + b**2, NOISE), obs=seen)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the banana and print how far the draws are from quadrature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    smoke = parser.parse_args(argv).smoke

    fit = px.fit(model, torch.tensor(SEEN).float(), progress_bar=not smoke)
    report = fit.report()
    if not smoke:
        print(report)
    draws = fit.draws(4000)
    print(
        f"banana on Pyro: log evidence {report.log_evidence - LOG_EVIDENCE:+.3f} from "
        f"quadrature, worst mean error {REFERENCE.worst_mean_error(draws.values):.3f} sd, worst "
        f"log sd ratio {REFERENCE.worst_log_sd_ratio(draws.values):.3f}"
    )


if __name__ == "__main__":
    main()
