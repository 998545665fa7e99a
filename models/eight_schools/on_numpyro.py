"""Eight schools on NumPyro: ``python -m models.eight_schools.on_numpyro``."""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.eight_schools.data import EFFECT, REFERENCE, STANDARD_ERROR


def centered(standard_error, effect=None):
    """The hierarchy as it is usually written: its posterior is a funnel."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(standard_error)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


def noncentered(standard_error, effect=None):
    """The same hierarchy with standardised effects: close enough to a Gaussian to be resampled."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(standard_error)):
        z = numpyro.sample("z", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


model = noncentered


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the schools and print how far the posterior means are from the published ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke

    for schools in [noncentered] if smoke else [centered, noncentered]:
        fit = px.fit(
            jax.random.key(0),
            schools,
            jnp.asarray(STANDARD_ERROR),
            jnp.asarray(EFFECT),
            progress_bar=not smoke,
        )
        if not smoke:
            print(f"\n{schools.__name__}\n{fit.report()}")
        draws = fit.draws(jax.random.key(1))
        print(
            f"eight schools on NumPyro, {schools.__name__}: worst mean error "
            f"{REFERENCE.worst_mean_error(draws.values):.3f} sd, by {fit.climb.steps[-1].name}"
        )


if __name__ == "__main__":
    main()
