"""The discrete family in NumPyro, beside JAX's own."""

import jax
import jax.numpy as jnp
from discrete import TEMPERATURES, compare_times, extremes_of, finite_plan

import ppl_ext.numpyro as px
from contenders.discrete_precision import judge_precision
from contenders.gradient_problems import PROBLEMS, evaluate
from ppl_ext.numpyro.gumbel.noise import uniform_to_gumbel

__all__ = ["run"]


def run(rows: int, classes: int, draws: int, estimates: int) -> dict:
    """Measure times, the density of own draws, and estimators of gradients."""
    jax.config.update("jax_enable_x64", False)
    return {
        "times": _times(rows, classes),
        "draws": list(_own_draws(draws)),
        "precision": list(_precision()),
        "estimators": list(_estimators(estimates)),
    }


def _times(rows, classes):
    key = jax.random.key(0)
    logits, weight = jax.random.normal(key, (2, rows, classes), jnp.float32)
    ours = px.distributions

    def plain(key, logits):
        scores = logits + jax.random.gumbel(key, logits.shape, logits.dtype)
        return (weight * jax.nn.softmax(scores / 0.5)).sum()

    def relaxed(key, logits):
        return (weight * ours.RelaxedOneHotCategorical(0.5, logits=logits).sample(key)).sum()

    def hard(key, logits):
        scores = logits + jax.random.gumbel(key, logits.shape, logits.dtype)
        soft = jax.nn.softmax(scores / 0.5)
        one_hot = jax.nn.one_hot(scores.argmax(-1), classes)
        return (weight * (soft - jax.lax.stop_gradient(soft) + one_hot)).sum()

    def straight(key, logits):
        soft = jax.nn.softmax(logits)
        one_hot = jax.nn.one_hot(jax.random.categorical(key, logits), classes)
        return (weight * (soft - jax.lax.stop_gradient(soft) + one_hot)).sum()

    def beside(estimator, peer):
        def estimate(key, logits):
            return (weight * estimator.sample(key, logits)).sum()

        # With the value: of a linear function the gradient alone may need no draw.
        return tuple(
            compiled(jax.value_and_grad(function, argnums=1), key, logits)
            for function in (estimate, peer)
        )

    def compiled(function, *args):
        program = jax.jit(function)
        return lambda: jax.block_until_ready(program(*args))

    shape = (rows, classes)
    return compare_times(
        {
            "Gumbel noise": (
                compiled(lambda key: ours.gumbel_noise(key, shape, dtype=jnp.float32), key),
                compiled(lambda key: jax.random.gumbel(key, shape, jnp.float32), key),
            ),
            "relaxed draw, forward and backward": (
                compiled(jax.grad(relaxed, argnums=1), key, logits),
                compiled(jax.grad(plain, argnums=1), key, logits),
            ),
            "straight-through, forward and backward": beside(
                px.estimators.StraightThrough(), straight
            ),
            "ReinMax, forward and backward": beside(px.estimators.ReinMax(1.1), straight),
            "Gumbel-Rao, 1 draw": beside(px.estimators.GumbelRao(0.5, 1), hard),
            "Gumbel-Rao, 10 draws": beside(px.estimators.GumbelRao(0.5, 10), hard),
            "categorical draw": (
                compiled(ours.sample_categorical, key, logits),
                compiled(jax.random.categorical, key, logits),
            ),
        }
    )


def _estimators(estimates):
    for name, problem in PROBLEMS.items():
        weights = [jnp.asarray(each, jnp.float32) for each in problem.weights]
        report = px.estimators.compare_estimators(
            jax.random.key(0),
            lambda z, problem=problem, weights=weights: evaluate(problem, z, weights, jnp.tanh),
            jnp.asarray(problem.logits, jnp.float32),
            num_draws=estimates,
        )
        yield name, str(report)


def _precision():
    def relaxed(temperature, logits):
        relaxed = px.distributions.ExpRelaxedOneHotCategorical(temperature, logits=logits)
        y = relaxed.sample(jax.random.key(0), (1000,))
        return y, relaxed.log_prob(y)

    def gumbel(dtype):
        return px.distributions.Gumbel(dtype(0), dtype(1))

    jax.config.update("jax_enable_x64", True)
    rows = list(judge_precision(gumbel, uniform_to_gumbel, relaxed, jnp.asarray))
    jax.config.update("jax_enable_x64", False)
    return rows


def _own_draws(draws):
    for name in ("ExpRelaxedOneHotCategorical", "RelaxedOneHotCategorical"):
        for classes, scale, count in finite_plan(draws):
            logits = scale * jax.random.normal(jax.random.key(1), (classes,), jnp.float32)

            def both(key, temperature, logits=logits, name=name, count=count):
                relaxed = getattr(px.distributions, name)(temperature, logits=logits)
                value, between = relaxed.sample_with_intermediates(key, (count,))
                simplex = jnp.exp(value) if name.startswith("Exp") else value
                return simplex, relaxed.log_prob(value, *([between] if between else []))

            program = jax.jit(both)
            for temperature in TEMPERATURES:
                simplex, log_prob = program(jax.random.key(2), jnp.float32(temperature))
                found = extremes_of(jax.device_get(log_prob), jax.device_get(simplex))
                yield name, temperature, classes, scale, count, found
