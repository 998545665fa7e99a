"""Eight schools on Pyro: ``python -m models.eight_schools.on_pyro``."""

import argparse
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.eight_schools.data import EFFECT, REFERENCE, STANDARD_ERROR


def centered(standard_error, effect=None):
    """The hierarchy as it is usually written: its posterior is a funnel."""
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(standard_error)):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


def noncentered(standard_error, effect=None):
    """The same hierarchy with standardised effects: close enough to a Gaussian to be resampled."""
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(standard_error)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        theta = pyro.deterministic("theta", mu + tau * z)
        pyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


model = noncentered


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the schools and print how far the posterior means are from the published ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke

    for schools in [noncentered] if smoke else [centered, noncentered]:
        fit = px.fit(
            schools,
            torch.tensor(STANDARD_ERROR).float(),
            torch.tensor(EFFECT).float(),
            progress_bar=not smoke,
        )
        if not smoke:
            print(f"\n{schools.__name__}\n{fit.report()}")
        draws = fit.draws(seed=0)
        print(
            f"eight schools on Pyro, {schools.__name__}: worst mean error "
            f"{REFERENCE.worst_mean_error(draws.values):.3f} sd, by {fit.climb.steps[-1].name}"
        )


if __name__ == "__main__":
    main()
