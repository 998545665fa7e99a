"""The mixture on Pyro: ``python -m models.mixture.on_pyro``."""

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
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
    with pyro.plate("point", len(points)):
        prior = px.distributions.OneHotCategoricalStraightThrough(probs=torch.as_tensor(WEIGHTS))
        z = pyro.sample("z", prior)
        pyro.sample(
            "x", dist.Normal(z @ torch.as_tensor(LOC), z @ torch.as_tensor(SCALE)), obs=points
        )


def summed(points):
    """The same mixture, the host summing over the components."""
    components = dist.Normal(torch.as_tensor(LOC), torch.as_tensor(SCALE))
    mixture = dist.MixtureSameFamily(dist.Categorical(torch.as_tensor(WEIGHTS)), components)
    with pyro.plate("point", len(points)):
        pyro.sample("x", mixture, obs=points)


def guide(points):
    """An assignment for each point by itself."""
    logits = pyro.param("logits", torch.zeros(len(points), len(LOC)))
    with pyro.plate("point", len(points)):
        pyro.sample("z", px.distributions.OneHotCategoricalStraightThrough(logits=logits))


def relaxed_guide(points):
    """The wrong one: one-hot draws that are scored by a density."""
    logits = pyro.param("logits", torch.zeros(len(points), len(LOC)))
    relaxed = px.distributions.RelaxedOneHotCategoricalStraightThrough
    with pyro.plate("point", len(points)):
        pyro.sample("z", relaxed(0.5, logits=logits))


def train(program, elbo, steps: int = 1000) -> np.ndarray:
    """Fit the assignments, leave them in the parameter store and return their probabilities."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = pyro.infer.SVI(model, program, pyro.optim.Adam({"lr": 0.05}), elbo)
    for _ in range(steps):
        svi.step(torch.as_tensor(POINTS))
    return pyro.param("logits").softmax(-1).detach().numpy()


def main(argv: Sequence[str] | None = None) -> None:
    """Fit with each estimator and print how far the assignments are from the exact ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke
    with pyro.get_param_store().scope():
        compare(smoke)


def compare(smoke: bool) -> None:
    """Print a line for each estimator, and what becomes of the wrong guide."""
    points = torch.as_tensor(POINTS)
    for estimator in ESTIMATORS[:1] if smoke else ESTIMATORS:
        found = train(guide, px.DiscreteELBO(estimator), steps=300 if smoke else 1000)
        bound = -px.DiscreteELBO(px.estimators.LocalExpectation()).loss(model, guide, points)
        print(
            f"mixture on Pyro, {estimator}: worst probability off by "
            f"{np.abs(found - PROBABILITIES).max():.3f}, {LOG_EVIDENCE - bound:.3f} nats below "
            f"the evidence {LOG_EVIDENCE:.3f}"
        )
    if smoke:
        return
    host = -pyro.infer.Trace_ELBO().loss(summed, lambda points: None, points)
    print(f"the host's sum over the components: evidence {host:.3f}")
    ascent = ascend_mixture()
    found = ascent.factors["classes"].expect()[0]
    print(
        f"coordinate ascent on a list of terms: worst probability off by "
        f"{np.abs(found - PROBABILITIES).max():.1e}, bound {ascent.elbo[-1]:.3f}"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        px.check_densities(model, relaxed_guide, points)
        wrong = train(relaxed_guide, pyro.infer.Trace_ELBO())
    print(f"a relaxed density in the guide: off by {np.abs(wrong - PROBABILITIES).max():.3f}")
    for each in caught:
        if each.category is px.RelaxedDensityWarning:
            print(f"  {each.category.__name__}: {each.message}")


if __name__ == "__main__":
    main()
