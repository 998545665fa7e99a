"""Hierarchies of which tests ask other coordinates, and what is true of them."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
from scipy.integrate import quad
from scipy.stats import halfnorm, multivariate_normal

from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal

SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
GROUPS = 6
TRUTH = np.random.default_rng(3).normal(1.0, 0.7, GROUPS)
FAST = Deterministic(error_tolerance=0.1)


def ways_of(host):
    """The functions of the room that a user does not see."""
    room = host.room.__name__
    bound_model = import_module(f"{room}.tracing.bound_model")
    return SimpleNamespace(
        bind=lambda model, *args: bound_model.bind_model("test", model, args, {}),
        density_of=import_module(f"{room}.tracing.density").density_of,
        reparameterise=import_module(f"{room}.reparameterisation").reparameterise,
    )


def hierarchy(host, prior, like=lambda fn: fn, event=False):
    """Groups around a common mean; ``prior(loc, scale)`` is that of a group."""
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 2.0))
        tau = ppl.sample("tau", dist.HalfNormal(1.0))
        if event:
            loc = mu + 0 * y
            theta = ppl.sample("theta", like(prior(loc, tau)).to_event(1))
            ppl.deterministic("gap", theta - mu)
            ppl.sample("y", dist.Normal(theta, sd).to_event(1), obs=y)
            return
        with ppl.plate("group", len(y)):
            theta = ppl.sample("theta", like(prior(mu, tau)))
            ppl.deterministic("gap", theta - mu)
            ppl.sample("y", dist.Normal(theta, sd), obs=y)

    return model


def schools(host):
    """Eight schools, centred."""
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        with ppl.plate("school", len(y)):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            ppl.sample("y", dist.Normal(theta, sd), obs=y)

    return model


def schools_noncentred(host):
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        with ppl.plate("school", len(y)):
            raw = ppl.sample("raw", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(mu + tau * raw, sd), obs=y)

    return model


def host_reparam(host):
    """The host's handlers and its reparametrisation of location-scale sites."""
    handlers = import_module("pyro.poutine" if host.name == "pyro" else "numpyro.handlers")
    return handlers, import_module(f"{host.name}.infer.reparam").LocScaleReparam


def data(host, spread):
    spread = np.broadcast_to(spread, GROUPS)
    return host.array(TRUTH + spread * np.linspace(-1, 1, GROUPS)), host.array(spread)


def log_weights(density, solution, pairs=1024):
    """``log p - log q`` at draws on which nothing was fitted."""
    half = draw_standard_normal(pairs, density.dim, 99)
    noise = np.concatenate([half, -half])
    scale = solution.scale_tril
    log_q = -0.5 * (noise**2 + np.log(2 * np.pi)).sum(1) - np.log(np.diagonal(scale)).sum()
    return density.log_p(solution.loc + noise @ scale.T) - log_q


def evidence(y, sd):
    """Log evidence of the hierarchy with a normal prior, by quadrature over tau."""
    y, sd = np.asarray(y, dtype=float), np.asarray(sd, dtype=float)

    def joint(tau):
        covariance = np.diag(sd**2 + tau**2) + 4.0
        return halfnorm.pdf(tau) * multivariate_normal.pdf(y, np.zeros(len(y)), covariance)

    return np.log(quad(joint, 0.0, 12.0, epsabs=0.0, epsrel=1e-8)[0])
