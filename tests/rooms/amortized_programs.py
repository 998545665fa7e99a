"""Models with rows whose posteriors are known, encoders of given weights, and guides at work."""

import numpy as np
from scipy import stats

NOISE, ROWS, DIM = 0.5, 20, 2
W = np.array([[1.0, 0.3], [-0.4, 0.8], [0.6, -1.1]])


def draw_linear(rows=ROWS, seed=0):
    """Rows of the linear Gaussian model."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, DIM))
    return z @ W.T + NOISE * rng.normal(size=(rows, 3))


def solve_linear(x):
    """Means and covariance of the local posteriors, and the log evidence."""
    covariance = np.linalg.inv(np.eye(DIM) + W.T @ W / NOISE**2)
    marginal = stats.multivariate_normal(np.zeros(3), W @ W.T + NOISE**2 * np.eye(3))
    return x @ W @ covariance / NOISE**2, covariance, marginal.logpdf(x).sum()


def linear_model(host, size=None):
    ppl, dist, weights = host.ppl, host.dist, host.array(W)

    def model(x):
        with ppl.plate("rows", len(x), subsample_size=size) as rows:
            z = ppl.sample("z", dist.Normal(host.array(np.zeros(DIM)), 1.0).to_event(1))
            mean = z @ weights.T
            ppl.sample("x", dist.Normal(mean, NOISE).to_event(1), obs=x[rows])

    return model


def linear_encoder(host, weight, bias):
    """An encoder without hidden layers, its weights given."""
    weight, bias = host.array(weight), host.array(bias)
    if host.name == "numpyro":
        return (lambda p, rows: rows @ p["weight"] + p["bias"]), {"weight": weight, "bias": bias}
    linear = host.math.nn.Linear(*weight.shape)
    # Not contiguous: the host would train a copy of it, and the module would never learn.
    linear.weight.data, linear.bias.data = weight.T, bias
    return linear


def exact_encoder(host):
    _, covariance, _ = solve_linear(draw_linear())
    tril = np.linalg.cholesky(covariance)
    outputs = 2 * DIM + 1
    weight, bias = np.zeros((3, outputs)), np.zeros(outputs)
    weight[:, :DIM] = W @ covariance / NOISE**2
    bias[DIM : 2 * DIM] = np.log(np.expm1(np.diag(tril)))
    bias[2 * DIM :] = tril[1, 0]
    return linear_encoder(host, weight, bias)


class Fitted:
    """A guide with its parameters, whichever host keeps them."""

    def __init__(self, host, model, guide, params=None):
        self.host, self.model, self.guide = host, model, guide
        self.state = () if params is None else (params,)

    def posterior(self, *args):
        found = self.guide.local_posterior(*self.state, *args)
        loc, covariance = found.mean, getattr(found, "covariance_matrix", None)
        return [None if each is None else to_numpy(each) for each in (loc, covariance)]

    def median(self, *args):
        found = self.guide.median(*self.state, *args)
        return {name: to_numpy(value) for name, value in found.items()}

    def sample(self, shape, *args):
        draw = self.guide.sample_posterior
        found = self.host.random(draw, *self.state, *args, sample_shape=shape)
        return {name: to_numpy(value) for name, value in found.items()}


def to_numpy(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def train(host, model, guide, steps, *args, rate=0.01, particles=1):
    """Run the host's own SVI, its rate falling to a hundredth."""
    loss = host.ppl.infer.Trace_ELBO(num_particles=particles, vectorize_particles=True)
    fall = 0.01 ** (1 / steps)
    if host.name == "numpyro":
        optimizer = host.ppl.optim.Adam(lambda step: rate * fall**step)
        svi = host.ppl.infer.SVI(model, guide, optimizer, loss)
        params = host.random(svi.run, steps, *args, progress_bar=False).params
        return Fitted(host, model, guide, params)
    optimizer = host.ppl.optim.ClippedAdam({"lr": rate, "lrd": fall})
    svi = host.ppl.infer.SVI(model, guide, optimizer, loss)
    host.random(lambda: [svi.step(*args) for _ in range(steps)])
    return Fitted(host, model, guide)


def elbo(host, model, guide, *args, particles=1):
    """The host's estimate, from fresh parameters in NumPyro."""
    loss = host.ppl.infer.Trace_ELBO(num_particles=particles)
    if host.name == "numpyro":
        return -estimate_loss(host, loss, host.random(guide.setup, *args), model, guide, *args)
    return -host.random(loss.loss, model, guide, *args)


def estimate_loss(host, loss, params, model, guide, *args):
    """An estimate of NumPyro, in one program: alone it would compile every operation."""
    program = host.compiled(
        lambda rng_key, params, *args: loss.loss(rng_key, params, model, guide, *args)
    )
    return float(host.random(program, params, *args))
