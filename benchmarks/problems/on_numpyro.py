"""The posteriordb models as NumPyro programs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from problems.reference import ports

__all__ = ["PROBLEMS"]


def flat(name, size):
    return numpyro.sample(name, dist.ImproperUniform(constraints.real_vector, (), (size,)))


def flat_positive(name):
    return numpyro.sample(name, dist.ImproperUniform(constraints.positive, (), ()))


def kidscore(kid_score, mom_iq, mom_hs):
    beta = flat("beta", 4)
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with numpyro.plate("child", kid_score.shape[0]):
        numpyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def mesquite(predictors, outcome):
    beta = flat("beta", predictors.shape[1])
    sigma = flat_positive("sigma")
    with numpyro.plate("bush", outcome.shape[0]):
        numpyro.sample("weight", dist.Normal(predictors @ beta, sigma), obs=outcome)


def ar_k(lags, y):
    alpha = numpyro.sample("alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([lags.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma).to_event(1), obs=y)


def garch11(y, first_scale):
    mu = numpyro.sample("mu", dist.ImproperUniform(constraints.real, (), ()))
    alpha0 = flat_positive("alpha0")
    alpha1 = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    share = numpyro.sample("share", dist.Uniform(0.0, 1.0))
    beta1 = numpyro.deterministic("beta1", share * (1 - alpha1))
    # Flat on the triangle alpha1 + beta1 < 1, of which (alpha1, share) are coordinates.
    numpyro.factor("triangle", jnp.log1p(-alpha1))

    def advance(variance, squared_shock):
        following = alpha0 + alpha1 * squared_shock + beta1 * variance
        return following, following

    first = jnp.square(first_scale) + 0 * alpha0
    _, later = jax.lax.scan(advance, first, jnp.square(y - mu)[:-1])
    scale = jnp.sqrt(jnp.concatenate([first[None], later]))
    numpyro.sample("y", dist.Normal(mu, scale).to_event(1), obs=y)


def hmm(y):
    stay = dist.Dirichlet(jnp.ones(2))
    theta1 = numpyro.sample("theta1", stay)
    theta2 = numpyro.sample("theta2", stay)
    # Ordered means as a lowest one and a gap, whose logs are Stan's unconstrained coordinates.
    lowest = flat_positive("lowest")
    gap = flat_positive("gap")
    mu = numpyro.deterministic("mu", jnp.stack([lowest, lowest + gap]))
    numpyro.factor("prior", dist.Normal(jnp.array([3.0, 10.0]), 1.0).log_prob(mu).sum())
    transition = jnp.log(jnp.stack([theta1, theta2]))
    emission = dist.Normal(mu, 1.0).log_prob(y[:, None])

    def advance(state, log_p):
        return jax.nn.logsumexp(state[:, None] + transition, axis=0) + log_p, None

    last, _ = jax.lax.scan(advance, emission[0], emission[1:])
    numpyro.factor("y", jax.nn.logsumexp(last))


def diamonds(predictors, Y):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([predictors.shape[1]]).to_event(1))
    intercept = numpyro.sample("Intercept", dist.StudentT(3.0, 8.0, 10.0))
    sigma = flat_positive("sigma")
    numpyro.factor("prior", dist.StudentT(3.0, 0.0, 10.0).log_prob(sigma) + jnp.log(2.0))
    with numpyro.plate("diamond", Y.shape[0]):
        numpyro.sample("Y", dist.Normal(intercept + predictors @ b, sigma), obs=Y)


def radon_likelihood(alpha, beta, sigma_y, county, log_uppm, floor_measure, log_radon):
    mean = alpha[county] + beta[0] * log_uppm + beta[1] * floor_measure
    with numpyro.plate("home", log_radon.shape[0]):
        numpyro.sample("log_radon", dist.Normal(mean, sigma_y), obs=log_radon)


def radon_priors():
    sigma_alpha = numpyro.sample("sigma_alpha", dist.HalfNormal(1.0))
    sigma_y = numpyro.sample("sigma_y", dist.HalfNormal(1.0))
    mu_alpha = numpyro.sample("mu_alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
    return sigma_alpha, sigma_y, mu_alpha, beta


def radon_noncentered(num_counties, **homes):
    sigma_alpha, sigma_y, mu_alpha, beta = radon_priors()
    with numpyro.plate("county", num_counties):
        raw = numpyro.sample("alpha_raw", dist.Normal(0.0, 1.0))
        alpha = numpyro.deterministic("alpha", mu_alpha + sigma_alpha * raw)
    radon_likelihood(alpha, beta, sigma_y, **homes)


def radon_centered(num_counties, **homes):
    sigma_alpha, sigma_y, mu_alpha, beta = radon_priors()
    with numpyro.plate("county", num_counties):
        alpha = numpyro.sample("alpha", dist.Normal(mu_alpha, sigma_alpha))
    radon_likelihood(alpha, beta, sigma_y, **homes)


def eight_schools_noncentered(y, sigma):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", y.shape[0]):
        theta_trans = numpyro.sample("theta_trans", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * theta_trans)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def eight_schools_centered(y, sigma):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", y.shape[0]):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def gp_pois(x, k):
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    f_tilde = numpyro.sample("f_tilde", dist.Normal(0.0, 1.0).expand([x.shape[0]]).to_event(1))
    kernel = alpha**2 * jnp.exp(-0.5 * ((x[:, None] - x) / rho) ** 2)
    f = numpyro.deterministic("f", jnp.linalg.cholesky(kernel + 1e-10 * jnp.eye(len(x))) @ f_tilde)
    numpyro.sample("k", dist.Poisson(jnp.exp(f)).to_event(1), obs=k)


def one_comp(dose, volume, grid, observed, C_hat):
    k_a = numpyro.sample("k_a", dist.HalfCauchy(1.0))
    K_m = numpyro.sample("K_m", dist.HalfCauchy(1.0))
    V_m = numpyro.sample("V_m", dist.HalfCauchy(1.0))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(1.0))

    def supply(time):
        return dose * k_a / volume * jnp.exp(-k_a * time)

    def elimination(level):
        return V_m / volume * level / (K_m + level)

    def advance(level, step):
        h, before, between, after = step
        slope1 = before - elimination(level)
        slope2 = between - elimination(level + h / 2 * slope1)
        slope3 = between - elimination(level + h / 2 * slope2)
        slope4 = after - elimination(level + h * slope3)
        level = level + h / 6 * (slope1 + 2 * slope2 + 2 * slope3 + slope4)
        return level, level

    start, end = grid[:-1], grid[1:]
    steps = (end - start, supply(start), supply((start + end) / 2), supply(end))
    _, levels = jax.lax.scan(advance, 0 * k_a, steps)
    concentration = jnp.maximum(levels[observed - 1], 1e-12)
    numpyro.sample("C_hat", dist.LogNormal(jnp.log(concentration), sigma).to_event(1), obs=C_hat)


MODELS: dict[str, Callable[..., None]] = {
    "kidscore": kidscore,
    "mesquite": mesquite,
    "arK": ar_k,
    "garch11": garch11,
    "hmm": hmm,
    "diamonds": diamonds,
    "radon_nc": radon_noncentered,
    "radon_c": radon_centered,
    "eight_nc": eight_schools_noncentered,
    "eight_c": eight_schools_centered,
    "gp_pois": gp_pois,
    "one_comp": one_comp,
}


PROBLEMS = ports(MODELS, jnp.asarray)
