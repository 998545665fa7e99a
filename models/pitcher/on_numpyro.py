"""The pitcher on NumPyro: ``python -m models.pitcher.on_numpyro``."""

import argparse
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.pitcher.data import GRAVITY, HEIGHT, LANDED, NOISE, REFERENCE


def landing(speed, angle):
    """Where the ball lands, in closed form: gradients flow through the time of flight."""
    rise = speed * jnp.sin(angle)
    flight = (rise + jnp.sqrt(rise**2 + 2 * GRAVITY * HEIGHT)) / GRAVITY
    return speed * jnp.cos(angle) * flight


def stepped_landing(speed, angle, time_step=0.1):
    """Where the ball lands, step by step: the example of what breaks pathwise gradients.

    The number of steps is a whole number, constant but for jumps. Automatic differentiation sees
    the constant and not the jumps, so the gradient is wrong however small the step is.
    """

    def step(_, ball):
        x, height, fall = ball
        fall = fall + GRAVITY * time_step
        flying = height > 0
        x = jnp.where(flying, x + speed * jnp.cos(angle) * time_step, x)
        height = jnp.where(flying, height + (speed * jnp.sin(angle) - fall) * time_step, height)
        return x, height, fall

    longest_flight = 2.5  # seconds; 10 m/s straight up takes 2.2
    steps = math.ceil(longest_flight / time_step)
    start = (jnp.zeros_like(speed), jnp.full_like(speed, HEIGHT), 0.0)
    return jax.lax.fori_loop(0, steps, step, start)[0]


def model(landed=None, throws=1, simulator=landing):
    """Speed and angle of a pitcher, and where the throws were seen to land."""
    speed = numpyro.sample("speed", dist.Uniform(0, 10))
    angle = numpyro.sample("angle", dist.Uniform(0, jnp.pi / 2))
    distance = numpyro.deterministic("distance", simulator(speed, angle))
    with numpyro.plate("throw", throws if landed is None else len(landed)):
        numpyro.sample("landed", dist.Normal(distance, NOISE), obs=landed)


def show_gradients() -> None:
    """Print the landing point and its gradient at 5 m/s and 45 degrees, both ways."""
    for name, simulator in {"closed form": landing, "0.1 s steps": stepped_landing}.items():
        value, slopes = jax.value_and_grad(simulator, argnums=(0, 1))(5.0, jnp.pi / 4)
        print(
            f"{name}: lands at {value:.3f} m, d/dspeed {slopes[0]:.3f}, d/dangle {slopes[1]:.3f}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the throw and print how far the posterior means are from quadrature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    smoke = parser.parse_args(argv).smoke

    if not smoke:
        show_gradients()
    fit = px.fit(
        jax.random.key(0),
        model,
        jnp.asarray(LANDED),
        guide=px.AutoFullRank,
        progress_bar=not smoke,
    )
    report = fit.report()
    if not smoke:
        print(report)
    draws = fit.draws(jax.random.key(1), 10_000)
    print(
        f"pitcher on NumPyro: evidence lower bound {report.elbo:.3f}, worst mean error "
        f"{REFERENCE.worst_mean_error(draws.values):.3f} sd as drawn, "
        f"{REFERENCE.worst_mean_error(draws.resample(seed=2).values):.3f} sd resampled"
    )


if __name__ == "__main__":
    main()
