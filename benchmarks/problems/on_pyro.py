"""The posteriordb models as Pyro programs that ``torch.func.vmap`` can batch."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch

from problems.reference import ports

__all__ = ["PROBLEMS"]


# Flat priors: a distribution that lends its support and its draws for initialisation, and whose
# density is masked out. Pyro's guides and NUTS cannot be initialised from ImproperUniform.
def flat(name, size):
    return pyro.sample(name, dist.Normal(0.0, 1.0).expand([size]).to_event(1).mask(False))


def flat_positive(name):
    return pyro.sample(name, dist.HalfNormal(1.0).mask(False))


def kidscore(kid_score, mom_iq, mom_hs):
    beta = flat("beta", 4)
    sigma = pyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with pyro.plate("child", len(kid_score)):
        pyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def mesquite(predictors, outcome):
    beta = flat("beta", predictors.shape[1])
    sigma = flat_positive("sigma")
    with pyro.plate("bush", len(outcome)):
        pyro.sample("weight", dist.Normal(predictors @ beta, sigma), obs=outcome)


def ar_k(lags, y):
    alpha = pyro.sample("alpha", dist.Normal(0.0, 10.0))
    beta = pyro.sample("beta", dist.Normal(0.0, 10.0).expand([lags.shape[1]]).to_event(1))
    sigma = pyro.sample("sigma", dist.HalfCauchy(2.5))
    pyro.sample("y", dist.Normal(alpha + lags @ beta, sigma).to_event(1), obs=y)


def garch11(y, first_scale):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0).mask(False))
    alpha0 = flat_positive("alpha0")
    alpha1 = pyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    share = pyro.sample("share", dist.Uniform(0.0, 1.0))
    beta1 = pyro.deterministic("beta1", share * (1 - alpha1))
    # Flat on the triangle alpha1 + beta1 < 1, of which (alpha1, share) are coordinates.
    pyro.factor("triangle", torch.log1p(-alpha1))
    # variance[t] = input[t] + beta1 * variance[t - 1] by doubling: after the pass of distance d
    # each entry holds the discounted sum of its last 2 d inputs.
    first = alpha0.new_full((1,), first_scale**2)
    variance = torch.cat([first, alpha0 + alpha1 * (y - mu)[:-1] ** 2])
    distance, discount = 1, beta1
    while distance < len(y):
        earlier = torch.nn.functional.pad(variance[:-distance], (distance, 0))
        variance = variance + discount * earlier
        distance, discount = 2 * distance, discount**2
    pyro.sample("y", dist.Normal(mu, variance.sqrt()).to_event(1), obs=y)


def hmm(y):
    stay = dist.Dirichlet(torch.ones(2))
    theta1 = pyro.sample("theta1", stay)
    theta2 = pyro.sample("theta2", stay)
    # Ordered means as a lowest one and a gap, whose logs are Stan's unconstrained coordinates.
    lowest = flat_positive("lowest")
    gap = flat_positive("gap")
    mu = pyro.deterministic("mu", torch.stack([lowest, lowest + gap]), event_dim=1)
    pyro.factor("prior", dist.Normal(torch.tensor([3.0, 10.0]), 1.0).log_prob(mu).sum())
    transition = torch.stack([theta1, theta2]).log()
    emission = dist.Normal(mu, 1.0).log_prob(y[:, None])
    # chain[t] holds log p(state after, y_t | state before); neighbours are multiplied in pairs,
    # which takes log2(T) rounds instead of T steps.
    chain = transition + emission[1:, None, :]
    while len(chain) > 1:
        odd = chain[2 * (len(chain) // 2) :]
        left, right = chain[0 : 2 * (len(chain) // 2) : 2], chain[1::2]
        pairs = torch.logsumexp(left[:, :, :, None] + right[:, None, :, :], dim=2)
        chain = torch.cat([pairs, odd])
    pyro.factor("y", torch.logsumexp(emission[0][:, None] + chain[0], dim=(0, 1)))


def diamonds(predictors, Y):
    b = pyro.sample("b", dist.Normal(0.0, 1.0).expand([predictors.shape[1]]).to_event(1))
    intercept = pyro.sample("Intercept", dist.StudentT(3.0, 8.0, 10.0))
    sigma = flat_positive("sigma")
    half = torch.tensor(2.0).log()
    pyro.factor("prior", dist.StudentT(3.0, 0.0, 10.0).log_prob(sigma) + half)
    with pyro.plate("diamond", len(Y)):
        pyro.sample("Y", dist.Normal(intercept + predictors @ b, sigma), obs=Y)


def radon_likelihood(alpha, beta, sigma_y, county, log_uppm, floor_measure, log_radon):
    mean = alpha[county] + beta[0] * log_uppm + beta[1] * floor_measure
    with pyro.plate("home", len(log_radon)):
        pyro.sample("log_radon", dist.Normal(mean, sigma_y), obs=log_radon)


def radon_priors():
    sigma_alpha = pyro.sample("sigma_alpha", dist.HalfNormal(1.0))
    sigma_y = pyro.sample("sigma_y", dist.HalfNormal(1.0))
    mu_alpha = pyro.sample("mu_alpha", dist.Normal(0.0, 10.0))
    beta = pyro.sample("beta", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
    return sigma_alpha, sigma_y, mu_alpha, beta


def radon_noncentered(num_counties, **homes):
    sigma_alpha, sigma_y, mu_alpha, beta = radon_priors()
    with pyro.plate("county", num_counties):
        raw = pyro.sample("alpha_raw", dist.Normal(0.0, 1.0))
        alpha = pyro.deterministic("alpha", mu_alpha + sigma_alpha * raw)
    radon_likelihood(alpha, beta, sigma_y, **homes)


def radon_centered(num_counties, **homes):
    sigma_alpha, sigma_y, mu_alpha, beta = radon_priors()
    with pyro.plate("county", num_counties):
        alpha = pyro.sample("alpha", dist.Normal(mu_alpha, sigma_alpha))
    radon_likelihood(alpha, beta, sigma_y, **homes)


def eight_schools_noncentered(y, sigma):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(y)):
        theta_trans = pyro.sample("theta_trans", dist.Normal(0.0, 1.0))
        theta = pyro.deterministic("theta", mu + tau * theta_trans)
        pyro.sample("y", dist.Normal(theta, sigma), obs=y)


def eight_schools_centered(y, sigma):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(y)):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("y", dist.Normal(theta, sigma), obs=y)


def gp_pois(x, k):
    rho = pyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = pyro.sample("alpha", dist.HalfNormal(2.0))
    f_tilde = pyro.sample("f_tilde", dist.Normal(0.0, 1.0).expand([len(x)]).to_event(1))
    kernel = alpha**2 * torch.exp(-0.5 * ((x[:, None] - x) / rho) ** 2)
    # cholesky_ex returns NaN where the matrix is not positive definite; cholesky would raise for
    # the whole batch.
    factor, _ = torch.linalg.cholesky_ex(kernel + 1e-10 * torch.eye(len(x)))
    f = pyro.deterministic("f", factor @ f_tilde, event_dim=1)
    pyro.sample("k", dist.Poisson(f.exp()).to_event(1), obs=k)


def one_comp(dose, volume, grid, observed, C_hat):
    k_a = pyro.sample("k_a", dist.HalfCauchy(1.0))
    K_m = pyro.sample("K_m", dist.HalfCauchy(1.0))
    V_m = pyro.sample("V_m", dist.HalfCauchy(1.0))
    sigma = pyro.sample("sigma", dist.HalfCauchy(1.0))

    def supply(time):
        return dose * k_a / volume * torch.exp(-k_a * time)

    def elimination(level):
        return V_m / volume * level / (K_m + level)

    start, end = grid[:-1], grid[1:]
    steps = zip(
        (end - start).tolist(),
        supply(start).unbind(),
        supply((start + end) / 2).unbind(),
        supply(end).unbind(),
        strict=True,
    )
    level, levels = torch.zeros_like(k_a), []
    for h, before, between, after in steps:
        slope1 = before - elimination(level)
        slope2 = between - elimination(level + h / 2 * slope1)
        slope3 = between - elimination(level + h / 2 * slope2)
        slope4 = after - elimination(level + h * slope3)
        level = level + h / 6 * (slope1 + 2 * slope2 + 2 * slope3 + slope4)
        levels.append(level)
    concentration = torch.stack(levels)[observed - 1].clamp(min=1e-12)
    pyro.sample("C_hat", dist.LogNormal(concentration.log(), sigma).to_event(1), obs=C_hat)


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


def to_tensor(array):
    # Copied because JSON arrays may be shared; floats follow the default precision of torch.
    tensor = torch.tensor(array)
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


PROBLEMS = ports(MODELS, to_tensor)
