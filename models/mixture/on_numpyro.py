"""The mixture on NumPyro: ``python -m models.mixture.on_numpyro``."""

import argparse
import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.mixture.closed_form import ascend_mixture
from models.mixture.data import LOC, LOG_EVIDENCE, POINTS, PROBABILITIES, SCALE, WEIGHTS

ESTIMATORS = (
    px.estimators.LeaveOneOut(4),
    px.estimators.LocalExpectation(),
    px.estimators.ReinMax(1.0),
    px.estimators.GumbelSoftmax(0.5),
)


def model(points):
    """A one-hot assignment for each point, and the point given it."""
    with numpyro.plate("point", len(points)):
        prior = px.distributions.OneHotCategoricalStraightThrough(probs=jnp.asarray(WEIGHTS))
        z = numpyro.sample("z", prior)
        numpyro.sample("x", dist.Normal(z @ LOC, z @ SCALE), obs=points)


def summed(points):
    """The same mixture, the host summing over the components."""
    components = dist.Normal(jnp.asarray(LOC), jnp.asarray(SCALE))
    mixture = dist.MixtureSameFamily(dist.Categorical(jnp.asarray(WEIGHTS)), components)
    with numpyro.plate("point", len(points)):
        numpyro.sample("x", mixture, obs=points)


def guide(points):
    """An assignment for each point by itself."""
    logits = numpyro.param("logits", jnp.zeros((len(points), len(LOC))))
    with numpyro.plate("point", len(points)):
        numpyro.sample("z", px.distributions.OneHotCategoricalStraightThrough(logits=logits))


def relaxed_guide(points):
    """The wrong one: one-hot draws that are scored by a density."""
    logits = numpyro.param("logits", jnp.zeros((len(points), len(LOC))))
    relaxed = px.distributions.RelaxedOneHotCategoricalStraightThrough
    with numpyro.plate("point", len(points)):
        numpyro.sample("z", relaxed(0.5, logits=logits))


def train(program, elbo, steps: int = 1000):
    """Fit the assignments and return their probabilities and parameters."""
    svi = numpyro.infer.SVI(model, program, numpyro.optim.Adam(0.05), elbo)
    params = svi.run(jax.random.key(0), steps, jnp.asarray(POINTS), progress_bar=False).params
    return np.asarray(jax.nn.softmax(params["logits"], -1)), params


def main(argv: Sequence[str] | None = None) -> None:
    """Fit with each estimator and print how far the assignments are from the exact ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke
    points = jnp.asarray(POINTS)
    elbo = px.DiscreteELBO(px.estimators.LocalExpectation())
    exact = jax.jit(lambda params: elbo.loss(jax.random.key(1), params, model, guide, points))
    for estimator in ESTIMATORS[:1] if smoke else ESTIMATORS:
        found, params = train(guide, px.DiscreteELBO(estimator), steps=300 if smoke else 1000)
        bound = -float(exact(params))
        print(
            f"mixture on NumPyro, {estimator}: worst probability off by "
            f"{np.abs(found - PROBABILITIES).max():.3f}, {LOG_EVIDENCE - bound:.3f} nats below "
            f"the evidence {LOG_EVIDENCE:.3f}"
        )
    if smoke:
        return
    host = -numpyro.infer.Trace_ELBO().loss(jax.random.key(0), {}, summed, lambda x: None, points)
    print(f"the host's sum over the components: evidence {float(host):.3f}")
    ascent = ascend_mixture()
    found = ascent.factors["classes"].expect()[0]
    print(
        f"coordinate ascent on a list of terms: worst probability off by "
        f"{np.abs(found - PROBABILITIES).max():.1e}, bound {ascent.elbo[-1]:.3f}"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        px.check_densities(jax.random.key(0), model, relaxed_guide, points)
        wrong, _ = train(relaxed_guide, numpyro.infer.Trace_ELBO())
    print(f"a relaxed density in the guide: off by {np.abs(wrong - PROBABILITIES).max():.3f}")
    for each in caught:
        if each.category is px.RelaxedDensityWarning:
            print(f"  {each.category.__name__}: {each.message}")


if __name__ == "__main__":
    main()
