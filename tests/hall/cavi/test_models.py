"""Models as lists of terms against quadrature, enumeration, closed forms and scikit-learn."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats
from scipy.special import gammaln
from sklearn.mixture import BayesianGaussianMixture

from ppl_ext.cavi import (
    CategoryTerm,
    Dirichlet,
    Gamma,
    MixtureTerm,
    MultivariateNormal,
    Normal,
    NormalTerm,
    NormalWishart,
    PriorTerm,
    ProductTerm,
    ascend,
    fit_mixture,
    regress_linear,
)
from ppl_ext.factorization import (
    Fixed,
    MatrixFactorization,
    Noise,
    measure_bound,
    simulate_ratings,
)
from tests.hall.cavi.examples import (
    X,
    Y,
    check_rise,
)


def test_normal_of_unknown_mean_and_precision():
    mean_prior, precision_prior = (
        Normal(np.array(0.2), np.array(0.5)),
        Gamma(*np.ones((2, 1))[:, 0]),
    )
    terms = [
        PriorTerm("mean", mean_prior),
        PriorTerm("precision", precision_prior),
        NormalTerm(Y, "mean", "precision"),
    ]
    ascent = ascend(terms, {"mean": mean_prior, "precision": precision_prior})
    check_rise(ascent)
    q_mean, q_tau = ascent.factors["mean"], ascent.factors["precision"]
    mean = stats.norm(q_mean.mean, q_mean.precision**-0.5)
    tau = stats.gamma(q_tau.shape, scale=1 / q_tau.rate)

    def log_joint(m, t):
        log_prior = stats.norm(0.2, 0.5**-0.5).logpdf(m) + stats.gamma(1.0).logpdf(t)
        return log_prior + stats.norm.logpdf(Y[:, None, None], m, t**-0.5).sum(axis=0)

    m, t = np.linspace(-1.5, 4.5, 801)[:, None], np.linspace(1e-4, 14, 1201)[None]
    log_p = log_joint(m, t)
    log_q = mean.logpdf(m) + tau.logpdf(t)

    def integrate_both(values):
        return integrate.simpson(integrate.simpson(values, t[0], axis=1), m[:, 0])

    evidence = np.log(integrate_both(np.exp(log_p)))
    bound = integrate_both(np.exp(log_q) * (log_p - log_q))
    assert_allclose(ascent.elbo[-1], bound, atol=1e-5)
    assert evidence - 0.1 < bound < evidence
    # The theorem itself: each factor is exp of the expected log joint over the other.
    best = np.exp(log_p @ tau.pdf(t[0]) * (t[0, 1] - t[0, 0]))
    best /= integrate.simpson(best, m[:, 0])
    assert_allclose(best, mean.pdf(m[:, 0]), atol=1e-3)


def test_regression_is_exact():
    ascent = regress_linear(X, Y, prior_precision=0.7, shape=1.4, rate=0.8)
    check_rise(ascent)
    shape = np.eye(12) + X @ X.T / 0.7
    truth = stats.multivariate_t(np.zeros(12), 0.8 / 1.4 * shape, df=2.8).logpdf(Y)
    assert_allclose(ascent.elbo[-1], truth, rtol=1e-12)
    q = ascent.factors["coefficients"]
    precision = X.T @ X + 0.7 * np.eye(3)
    mean = np.linalg.solve(precision, X.T @ Y)
    rate = 0.8 + 0.5 * (Y @ Y - mean @ precision @ mean)
    assert_allclose(q.mean, mean, rtol=1e-10)
    assert_allclose(q.covariance, rate / 6.4 * np.linalg.inv(precision), rtol=1e-10)


def test_relevance_against_quadrature():
    design = X[:, :1]
    data = 2 * design[:, 0] + 0.3 * Y
    ascent = regress_linear(design, data, relevance=Gamma(np.array(2.0), np.array(1.5)))
    check_rise(ascent)

    def density(alpha):
        shape = np.eye(12) + design @ design.T / alpha
        return np.exp(stats.multivariate_t(np.zeros(12), shape, df=2.0).logpdf(data))

    prior = stats.gamma(2.0, scale=1 / 1.5)
    evidence = np.log(integrate.quad(lambda a: prior.pdf(a) * density(a), 0, 30)[0])
    assert evidence - 0.2 < ascent.elbo[-1] < evidence


def test_irrelevant_coefficients_shrink():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(200, 6))
    data = design @ np.array([2.0, -1, 0, 0, 0, 0]) + 0.5 * rng.normal(size=200)
    ascent = regress_linear(design, data, relevance=Gamma(np.array(1e-3), np.array(1e-3)))
    check_rise(ascent)
    alpha = ascent.factors["relevance"].expect()[1]
    assert alpha[:2].max() * 30 < alpha[2:].min()


def component_evidence(rows, prior):
    """Log evidence of rows that one component has drawn, one Student-t after the other."""
    total, (m, count, dof, inverse) = 0.0, prior
    for x in rows:
        dim = len(x)
        df = dof - dim + 1
        shape = inverse * (count + 1) / (count * df)
        total += stats.multivariate_t(m, shape, df=df).logpdf(x)
        inverse = inverse + count / (count + 1) * np.outer(x - m, x - m)
        m = (count * m + x) / (count + 1)
        count, dof = count + 1, dof + 1
    return total


def test_mixture_against_enumeration():
    rng = np.random.default_rng(2)
    data = np.concatenate([rng.normal(-3, 1, size=(4, 2)), rng.normal(3, 1, size=(4, 2))])
    prior = np.zeros(2), 0.3, 3.0, 2.0 * np.eye(2)
    given = NormalWishart(prior[0], np.array(0.3), np.array(3.0), np.linalg.inv(prior[3]))
    ascent = fit_mixture(data, 2, concentration=1.5, component_prior=given)
    check_rise(ascent)
    totals = []
    for classes in product((0, 1), repeat=8):
        chosen = np.array(classes)
        counts = np.bincount(chosen, minlength=2)
        log_p = gammaln(3.0) - gammaln(3.0 + 8) + np.sum(gammaln(1.5 + counts) - gammaln(1.5))
        log_p += sum(component_evidence(data[chosen == k], prior) for k in (0, 1))
        totals.append(log_p)
    evidence = np.logaddexp.reduce(totals)
    # Mean field settles in one of the two labellings: log 2, and a little more.
    assert evidence - np.log(2) - 0.3 < ascent.elbo[-1] < evidence - np.log(2) + 0.05
    single = fit_mixture(data, 1, component_prior=given)
    assert_allclose(single.elbo[-1], component_evidence(data, prior), rtol=1e-10)


def test_mixture_empties_what_it_does_not_need():
    rng = np.random.default_rng(3)
    centres = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    data = centres[rng.integers(3, size=300)] + rng.normal(size=(300, 2))
    ascent = fit_mixture(data, 6, concentration=0.01)
    check_rise(ascent)
    counts = ascent.factors["weights"].concentration - 0.01
    assert (counts > 5).sum() == 3
    found = ascent.factors["components"].mean[counts > 5]
    assert_allclose(found[np.argsort(found[:, 0])], centres[[0, 2, 1]], atol=0.3)


@pytest.mark.parametrize(("num_classes", "concentration"), [(3, 0.7), (5, 0.01)])
def test_mixture_is_that_of_scikit_learn(num_classes, concentration):
    rng = np.random.default_rng(5)
    centres = np.array([[-3.0, 0.0, 1.0], [3.0, 0.0, 0.0], [0.0, 4.0, -2.0]])
    data = np.concatenate([
        centre + rng.normal(size=(rows, 3)) @ (np.eye(3) + 0.4 * rng.normal(size=(3, 3)))
        for centre, rows in zip(centres, (60, 90, 150), strict=True)
    ])  # fmt: skip
    mean, spread = np.array([0.5, 1.0, -1.0]), np.diag([2.0, 1.0, 3.0])
    prior = NormalWishart(mean, np.array(0.3), np.array(5.0), np.linalg.inv(spread))
    ascent = fit_mixture(data, num_classes, concentration=concentration, component_prior=prior)
    # To the fixed point itself, which is common to both.
    weights = Dirichlet(np.full(num_classes, concentration))
    ascent = ascend(
        [
            PriorTerm("components", prior),
            PriorTerm("weights", weights),
            CategoryTerm("classes", "weights"),
            MixtureTerm(data, "classes", "components"),
        ],
        ascent.factors,
        tolerance=1e-16,
    )
    peer = BayesianGaussianMixture(
        n_components=num_classes, weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=concentration, mean_precision_prior=0.3, mean_prior=mean,
        degrees_of_freedom_prior=5.0, covariance_prior=spread, reg_covar=0, tol=1e-13,
        max_iter=2000, n_init=4, random_state=0,
    ).fit(data)  # fmt: skip
    ours, counts = ascent.factors["components"], ascent.factors["weights"].concentration
    order, theirs = np.argsort(-counts), np.argsort(-peer.weights_)
    covariances = np.linalg.inv(ours.scale * ours.dof[:, None, None])
    assert_allclose(counts[order] / counts.sum(), peer.weights_[theirs], atol=1e-6)
    assert_allclose(ours.mean[order], peer.means_[theirs], atol=1e-5)
    assert_allclose(covariances[order], peer.covariances_[theirs], atol=1e-5)


def test_factorization_is_the_compiled_one():
    ratings = simulate_ratings(num_users=15, num_items=10, density=0.5, seed=4).ratings
    settings = MatrixFactorization(
        2, biases=False, center=0.0, user_prior=Fixed(0.5), item_prior=Fixed(0.5),
        noise=Noise(0.5, by_user=False, by_item=False), dtype=np.float64, tolerance=1e-10,
        max_sweeps=2000,
    )  # fmt: skip
    factors = settings.fit(ratings, progress_bar=False)
    start = {
        name: MultivariateNormal(side.means(), np.linalg.inv(side.covariances()))
        for name, side in (("rows", factors.users), ("columns", factors.items))
    }
    prior = MultivariateNormal(np.zeros(2), 2 * np.eye(2))
    likelihood = ProductTerm(
        "rows",
        "columns",
        ratings.users,
        ratings.items,
        ratings.values.astype(float),
        np.array(2.0),
    )
    ascent = ascend([PriorTerm("rows", prior), PriorTerm("columns", prior), likelihood], start)
    assert_allclose(ascent.half_steps[0], measure_bound(factors, ratings).total, rtol=1e-7)
    assert_allclose(ascent.factors["columns"].mean, factors.items.means(), atol=1e-2)
    # From anywhere else it rises as well.
    rng = np.random.default_rng(0)
    apart = {
        name: MultivariateNormal(rng.normal(0, 0.1, size=side.mean.shape), side.precision)
        for name, side in start.items()
    }
    terms = [PriorTerm("rows", prior), PriorTerm("columns", prior), likelihood]
    check_rise(ascend(terms, apart))
