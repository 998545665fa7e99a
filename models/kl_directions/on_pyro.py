"""Both directions of the divergence on Pyro: ``python -m models.kl_directions.on_pyro``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.kl_directions.data import GAPS, SCALE, WEIGHT, find_moments
from models.kl_directions.picture import Panel, draw_panels


def model(gap):
    """A target with two modes; there are no data."""
    weights = dist.Categorical(probs=torch.tensor([WEIGHT, 1 - WEIGHT]))
    modes = dist.Normal(torch.tensor([-gap / 2, gap / 2]), torch.tensor([1.0, SCALE]))
    pyro.sample("x", dist.MixtureSameFamily(weights, modes))


def compare(gap: float) -> Panel:
    """Fit either direction: a Gaussian by variational inference, and the posterior's moments."""
    reverse = px.fit(model, gap, guide=px.AutoFullRank, progress_bar=False)
    whole = px.fit(model, gap, progress_bar=False)
    x = whole.draws(4000).values["x"]
    return Panel(
        gap,
        forward=(float(x.mean()), float(x.std())),
        reverse=(float(reverse.solution.loc[0]), float(reverse.solution.scale_tril[0, 0])),
        verdicts=(whole.report().verdict, reverse.report().verdict),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Fit all panels and print how far the moments of the posterior are from the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    parser.add_argument("--picture", type=Path, help="where the five panels are drawn")
    options = parser.parse_args(argv)

    panels = [compare(gap) for gap in (GAPS[::2] if options.smoke else GAPS)]
    if not options.smoke:
        print(*panels, sep="\n")
    if options.picture:
        draw_panels(panels).savefig(options.picture, bbox_inches="tight")
    errors = [
        abs(found - true)
        for panel in panels
        for found, true in zip(panel.forward, find_moments(panel.gap), strict=True)
    ]
    print(
        f"directions of the divergence on Pyro: moments of the posterior within "
        f"{max(errors):.2f} of the truth; reverse sds "
        + ", ".join(f"{panel.reverse[1]:.2f}" for panel in panels)
    )


if __name__ == "__main__":
    main()
