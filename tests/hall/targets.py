"""Log densities whose moments or best Gaussians are known in closed form."""

import numpy as np

from ppl_ext.density import Density, Site


def make_density(dim, log_density, dtype=np.float64, constrain=None):
    return Density(
        dim=dim,
        sites=(Site("z", (dim,), 0, dim),),
        log_density=log_density,
        log_p=lambda z: log_density(z)[0],
        constrain=constrain or (lambda z: {"z": z}),
        explain=lambda z: "site 'z' has no finite log density there.",
        dtype=np.dtype(dtype),
    )


def gaussian(mean, precision):
    """Normalised Gaussian: the log evidence is zero."""
    mean, precision = np.asarray(mean, float), np.asarray(precision, float)
    constant = 0.5 * (np.linalg.slogdet(precision)[1] - len(mean) * np.log(2 * np.pi))

    def log_density(z):
        score = -(z - mean) @ precision
        return 0.5 * ((z - mean) * score).sum(-1) + constant, score

    return make_density(len(mean), log_density)


def rotated_log_gamma(shape, rotation):
    """``z = rotation y`` with independent ``exp(y_j) ~ Gamma(shape, 1)``.

    E_q[exp(y)] is known for a Gaussian q, so its best Gaussian is too: variance ``1 / shape`` and
    mean ``log(shape) - 1 / (2 shape)`` in each y.
    """
    inverse = np.linalg.inv(rotation)

    def log_density(z):
        y = z @ inverse.T
        with np.errstate(all="ignore"):
            return (shape * y - np.exp(y)).sum(-1), (shape - np.exp(y)) @ inverse

    return make_density(len(rotation), log_density)


def mixture(means, weights):
    """Unit Gaussians at ``means[component, dim]``."""
    means, log_weights = np.asarray(means, float), np.log(weights)
    dim = means.shape[1]

    def log_density(z):
        offsets = means - z[:, None]
        parts = log_weights - 0.5 * (offsets**2).sum(-1) - 0.5 * dim * np.log(2 * np.pi)
        log_p = np.logaddexp.reduce(parts, axis=1)
        responsibility = np.exp(parts - log_p[:, None])
        return log_p, (responsibility[..., None] * offsets).sum(1)

    return make_density(dim, log_density)
