"""Marked sites whose sum the host cannot form, or would form wrongly: refused by name."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from ppl_ext.pyro import fit, trace_density

PARALLEL = {"enumerate": "parallel"}


def one_site(marked, **infer):
    def model():
        pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("z", marked, infer=infer)

    return model


def rows_alone():
    pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("z", dist.Bernoulli(torch.full((3,), 0.5)), infer=PARALLEL)


def branching():
    pyro.sample("x", dist.Normal(0.0, 1.0))
    if pyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL):
        pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))


def moving():
    z = pyro.sample("z", dist.Categorical(torch.ones(2)), infer=PARALLEL)
    pyro.sample("x", dist.Uniform(0.0, torch.tensor([1.0, 2.0])[z]))


def crossed():
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    left, right = pyro.plate("left", 2, dim=-1), pyro.plate("right", 3, dim=-2)
    with left:
        u = pyro.sample("u", dist.Bernoulli(0.3), infer=PARALLEL)
    with right:
        v = pyro.sample("v", dist.Bernoulli(0.4), infer=PARALLEL)
    with left, right:
        pyro.sample("y", dist.Normal(x + u + v, 1.0), obs=torch.zeros(3, 2))


def scaled():
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with poutine.scale(scale=0.5):
        z = pyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
        pyro.sample("y", dist.Normal(x + z, 1.0), obs=torch.tensor(1.0))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (one_site(dist.Categorical(torch.ones(2))), r"'z' is discrete.*'enumerate': 'parallel'"),
        (one_site(dist.Poisson(1.0), **PARALLEL), r"'z' is discrete.*no list of values.*Categor"),
        (one_site(dist.Bernoulli(0.5), enumerate="sequential"), "'z'.*marked 'sequential'"),
        (one_site(dist.Bernoulli(0.5), num_samples=3, **PARALLEL), "'z'.*num_samples=3"),
        (rows_alone, r"'z' of shape \(3,\) has 3 rows outside of any plate.*pyro.plate"),
        (branching, r"\['z'\] take all of their values at once.*torch.where"),
        (moving, "support of latent site 'x' hangs on an enumerated site"),
        (scaled, "'z' is scaled"),
        (crossed, r"cannot sum out the sites \['u', 'v'\].*independent plates"),
        (
            lambda: pyro.sample("z", dist.Bernoulli(0.3), infer=PARALLEL),
            r"beside \['z'\].*infer_dis",
        ),
    ],
)
def test_what_cannot_be_summed_out_is_refused(model, words):
    for call in (trace_density, lambda model: fit(model, progress_bar=False)):
        with pytest.raises(ValueError, match=words):
            call(model)
