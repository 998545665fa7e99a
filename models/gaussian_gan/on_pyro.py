"""The Gaussian GAN on Pyro: ``python -m models.gaussian_gan.on_pyro``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import torch
from torch.nn.functional import softplus

from models.gaussian_gan.data import DATA_LOC, DATA_SCALE, START_LOC, START_SCALE
from models.gaussian_gan.judging import Judgement, judge
from models.gaussian_gan.picture import draw_picture

BATCH = 512


class Generator(torch.nn.Module):
    """A Gaussian whose location and scale are learned by the pathwise gradient."""

    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(START_LOC))
        self.log_scale = torch.nn.Parameter(torch.tensor(START_SCALE).log())

    def forward(self, count):
        """Draw fakes."""
        return dist.Normal(self.loc, self.log_scale.exp()).rsample((count,))


def make_discriminator(hidden=32):
    """A network from a point to the logit of its being of the data."""
    return torch.nn.Sequential(
        torch.nn.Unflatten(-1, (-1, 1)),
        torch.nn.Linear(1, hidden),
        torch.nn.Tanh(),
        torch.nn.Linear(hidden, hidden),
        torch.nn.Tanh(),
        torch.nn.Linear(hidden, 1),
        torch.nn.Flatten(-2),
    )


def discriminator_loss(discriminator, real, fake):
    """``-E log D(real) - E log(1 - D(fake))``, with D the sigmoid of the network."""
    return softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()


def generator_loss(discriminator, fake):
    """``-E log(D / (1 - D))``: the logit itself, and ``KL(q || p)`` where D is the best."""
    return -discriminator(fake).mean()


def train(discriminator, generator, steps, generator_rate=0.0):
    """Algorithm 1: a step of the discriminator, a step of the generator, and so on.

    Returns:
        Location and scale of the generator after each step, ``[step, 2]``.
    """
    data = dist.Normal(DATA_LOC, DATA_SCALE)
    critic = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    mover = torch.optim.Adam(generator.parameters(), lr=generator_rate)
    # Rates that fall to nothing let the noise of the minibatches average out.
    decays = [torch.optim.lr_scheduler.LinearLR(it, 1.0, 0.0, steps) for it in (critic, mover)]
    way = []
    for _ in range(steps):
        critic.zero_grad()
        fake = generator(BATCH).detach()
        discriminator_loss(discriminator, data.sample((BATCH,)), fake).backward()
        critic.step()
        mover.zero_grad()
        generator_loss(discriminator, generator(BATCH)).backward()
        mover.step()
        for decay in decays:
            decay.step()
        way.append([generator.loc.item(), generator.log_scale.exp().item()])
    return np.array(way)


def judge_generator(discriminator, generator) -> Judgement:
    """Set a discriminator beside the best one, and the generator's loss beside the divergence."""

    @torch.no_grad()
    def evaluate(x):
        return discriminator(torch.as_tensor(x).float()).sigmoid().numpy()

    with torch.no_grad():
        loss = generator_loss(discriminator, generator(200_000)).item()
    return judge(evaluate, loss, generator.loc.item(), generator.log_scale.exp().item())


def run(steps):
    """Fit a discriminator to a generator at rest, judge it, and let both take turns.

    Returns:
        The judgement, and location and scale of the generator on its way, ``[step, 2]``.
    """
    discriminator, generator = make_discriminator(), Generator()
    train(discriminator, generator, steps)
    at_rest = judge_generator(discriminator, generator)
    return at_rest, train(discriminator, generator, steps, generator_rate=1e-2)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit a discriminator to a generator at rest, then train both, and print the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    options = parser.parse_args(argv)

    torch.manual_seed(options.seed)
    at_rest, way = run(100 if options.smoke else 3000)
    if not options.smoke:
        print(
            f"generator at rest: loss {at_rest.loss:.4f}, KL(q || p) {at_rest.divergence:.4f} nats"
        )
    if options.picture:
        draw_picture(at_rest, way, options.picture)
    print(
        f"Gaussian GAN on Pyro: discriminator off by {at_rest.discriminator_error:.3f} at most, "
        f"loss off KL by {at_rest.loss_error:.1%}; fakes end at mean {way[-1, 0]:.3f}, "
        f"sd {way[-1, 1]:.3f} (data {DATA_LOC:.0f}, {DATA_SCALE:.0f})"
    )


if __name__ == "__main__":
    main()
