"""The pitcher on Pyro: ``python -m models.pitcher.on_pyro``."""

import argparse
import functools
import math
from collections.abc import Sequence

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.pitcher.data import (
    FAR,
    GRAVITY,
    HEIGHT,
    HEIGHTS,
    LANDED,
    LOG_EVIDENCES,
    NOISE,
    REFERENCE,
    WIND,
)


def landing(speed, angle, height=HEIGHT, push=0.0):
    """Where the ball lands, in closed form: gradients flow through the time of flight."""
    rise = speed * torch.sin(angle)
    flight = (rise + torch.sqrt(rise**2 + 2 * GRAVITY * height)) / GRAVITY
    return speed * torch.cos(angle) * flight + push * flight**2 / 2


def stepped_landing(speed, angle, time_step=0.1):
    """Where the ball lands, step by step: the example of what breaks pathwise gradients.

    The number of steps is a whole number, constant but for jumps. Automatic differentiation sees
    the constant and not the jumps, so the gradient is wrong however small the step is.
    """
    x, height, fall = torch.zeros_like(speed), torch.full_like(speed, HEIGHT), 0.0
    longest_flight = 2.5  # seconds; 10 m/s straight up takes 2.2
    for _ in range(math.ceil(longest_flight / time_step)):
        fall = fall + GRAVITY * time_step
        flying = height > 0
        x = torch.where(flying, x + speed * torch.cos(angle) * time_step, x)
        height = torch.where(
            flying, height + (speed * torch.sin(angle) - fall) * time_step, height
        )
    return x


def model(landed=None, throws=1, simulator=landing):
    """Speed and angle of a pitcher, and where the throws were seen to land."""
    speed = pyro.sample("speed", dist.Uniform(0.0, 10.0))
    angle = pyro.sample("angle", dist.Uniform(0.0, math.pi / 2))
    distance = pyro.deterministic("distance", simulator(speed, angle))
    with pyro.plate("throw", throws if landed is None else len(landed)):
        pyro.sample("landed", dist.Normal(distance, NOISE), obs=landed)


def unknown_height(landed=None, throws=1):
    """The same where nobody knows from how high the ball was thrown."""
    height = pyro.sample("height", dist.Uniform(*HEIGHTS))
    model(landed, throws, functools.partial(landing, height=height))


def windy(landed=None, throws=1):
    """The same in a wind that pushes the ball along, or back."""
    push = pyro.sample("push", dist.Normal(0.0, WIND))
    model(landed, throws, functools.partial(landing, push=push))


def show_gradients() -> None:
    """Print the landing point and its gradient at 5 m/s and 45 degrees, both ways."""
    for name, simulator in {"closed form": landing, "0.1 s steps": stepped_landing}.items():
        throw = torch.tensor([5.0, math.pi / 4], requires_grad=True)
        value = simulator(*throw)
        slopes = torch.autograd.grad(value, throw)[0]
        print(
            f"{name}: lands at {value:.3f} m, d/dspeed {slopes[0]:.3f}, d/dangle {slopes[1]:.3f}"
        )


def compare_models() -> None:
    """Print the evidence of every model at both landing points: which explains the far one?"""
    for candidate in (model, unknown_height, windy):
        found = []
        for landed, exact in zip((LANDED, FAR), LOG_EVIDENCES[candidate.__name__], strict=True):
            fit = px.fit(candidate, torch.tensor(landed).float(), progress_bar=False)
            report = fit.report()
            found.append(
                f"{report.log_evidence:.2f} at {landed[0]:.1f} m (exact {exact:.2f}, "
                f"{report.verdict})"
            )
        print(f"{candidate.__name__}: log evidence {', '.join(found)}")


def learn_posteriors(num_simulations=10_000, settings=None, **options):
    """Learn the posterior of every landing point at once; the data given show their shape alone.

    Args:
        num_simulations: Throws to learn from.
        settings: How to train.
        **options: Of `NPE`, such as another network.
    """
    npe = px.NPE(model, torch.tensor(LANDED).float(), **options)
    return npe.train(num_simulations, settings=settings, progress_bar=False, seed=0)


def compare_answers() -> None:
    """Print how far a neural posterior is from quadrature, and how far it is when corrected."""
    npe = learn_posteriors()
    posterior = npe.posterior(LANDED)
    drawn = posterior.sample(4000, seed=1)
    answer = posterior.correct(progress_bar=False, seed=2)
    print(
        f"neural posterior: worst mean error {REFERENCE.worst_mean_error(drawn):.3f} sd; "
        f"k-hat {answer.khat:.2f}, corrected "
        f"{REFERENCE.worst_mean_error(answer.draws.values):.3f} sd, log evidence "
        f"{answer.log_evidence[0] - LOG_EVIDENCES['model'][0]:+.3f} from quadrature"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the throw and print how far the posterior means are from quadrature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    smoke = parser.parse_args(argv).smoke

    fit = px.fit(model, torch.tensor(LANDED).float(), progress_bar=not smoke)
    report = fit.report()
    if not smoke:
        show_gradients()
        print(report)
        compare_models()
        compare_answers()
    draws = fit.draws(4000, seed=0)
    speed, angle = draws.values["speed"], draws.values["angle"]
    print(
        f"pitcher on Pyro: log evidence {report.log_evidence - LOG_EVIDENCES['model'][0]:+.3f} "
        f"from quadrature, worst mean error {REFERENCE.worst_mean_error(draws.values):.3f} sd, "
        f"correlation of speed and angle {np.corrcoef(speed, angle)[0, 1]:.2f}"
    )


if __name__ == "__main__":
    main()
