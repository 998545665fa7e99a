"""What only NumPyro has: sites inside of its scan, and programs shared by coordinates."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from ppl_ext.gaussian_vi import solve_mean_field
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.numpyro.reparameterisation import reparameterise
from ppl_ext.numpyro.tracing.bound_model import bind_model
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.density import density_of
from tests.rooms.hierarchies import FAST

Y = np.array([0.3, 2.1, -0.4, 1.2])
SD = np.array([3.0, 3.0, 3.0, 3.0])


def hierarchy(y, sd):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("group", len(y)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sd), obs=y)


def walk(y, sd):
    hierarchy(y, sd)
    step = numpyro.sample("step", dist.HalfNormal(1.0))

    def advance(before, datum):
        x = numpyro.sample("x", dist.Normal(before, step))
        numpyro.sample("z", dist.Normal(x, 1.0), obs=datum)
        return x, None

    scan(advance, 0.0, y)


def test_sites_inside_of_scan_are_left_alone():
    bound = bind_model("test", walk, (Y, SD), {})
    density = density_of(bound)
    other = reparameterise(bound, density, solve_mean_field(density, FAST))
    assert list(other.centering) == ["theta"]
    assert set(density_of(other).constrain(np.zeros((1, 11)))) == {
        "mu",
        "tau",
        "theta",
        "step",
        "x",
    }


def test_other_degrees_compile_nothing():
    bound = bind_model("test", hierarchy, (Y, SD), {})
    some, others = (
        bound.centred({"theta": PartialCentering(np.full(4, degree), np.ones(4))})
        for degree in (0.2, 0.7)
    )
    assert compile_density(some.call) is compile_density(others.call)
    assert compile_density(some.call) is not compile_density(bound.call)


def test_coordinates_run_in_float64_and_survive_pickling():
    with jax.enable_x64(True):
        bound = bind_model("test", hierarchy, (Y, SD), {})
    centering = PartialCentering(np.linspace(0, 1, 4), np.full(4, 2.0))
    other = bound.centred({"theta": centering})
    assert other.x64
    make, arguments = other.__reduce__()
    with jax.enable_x64(True):
        back = make(*arguments)
    z = np.linspace(-1, 1, 6)[None]
    assert density_of(back).log_p(z) == density_of(other).log_p(z)
