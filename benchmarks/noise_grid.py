"""What the grid of the noise does to the Gumbel-max trick, beside the hosts.

``python benchmarks/noise_grid.py [--draws 1000000]`` counts the largest values that float32 noise
can take, each with its probability, and sums exactly: how often a rare class is drawn against its
probability, and how often the first half of a million equal classes wins. Draws in half precision
are compared with the logits as rounded, in total variation beside what chance alone leaves.
"""

import argparse

import numpy as np
from measuring import measure
from tables import format_table

__all__ = ["first_half_wins", "rare_ratio", "total_variation"]

GAPS = (8, 12, 14, 16, 18)
TARGETS = {"rare": "within 1 % to 1e-8", "half": "below 1e-4", "tv": "below 1e-3"}


def rare_ratio(values: np.ndarray, share: float, gap: float) -> float:
    """Probability, by its own, that a class wins that lies ``gap`` below the only other.

    The values are the largest of the noise, ``share`` the probability of each. What lies below
    them is summed on a fine grid of its own.
    """
    values = np.sort(values.astype(float))
    tail = len(values) * share
    below = (np.arange(1_000_000) + 0.5) / 1_000_000 * (1 - tail)
    body = -np.log(-np.log(below))
    wins = np.exp(-np.exp(-(values - gap))).sum() * share
    wins += np.exp(-np.exp(-(body - gap))).mean() * (1 - tail)
    return float(wins * (1 + np.exp(gap)))


def first_half_wins(values: np.ndarray, share: float, classes: int) -> float:
    """Probability that the first half of equal classes holds the largest, ties to the first."""
    _, counts = np.unique(values.astype(float), return_counts=True)
    above = np.append(np.cumsum(counts[::-1])[::-1][1:], 0) * share
    log_at_most = classes // 2 * np.log1p(-above)
    log_below = classes // 2 * np.log1p(-(above + counts * share))
    return float(((np.exp(log_at_most) - np.exp(log_below)) * np.exp(log_at_most)).sum())


def total_variation(index: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Distance of frequencies from the softmax, and what chance leaves of it."""
    probs = np.exp(logits.astype(float) - logits.max())
    probs /= probs.sum()
    found = np.bincount(index.ravel(), minlength=len(probs)) / index.size
    chance = np.sqrt(2 * probs * (1 - probs) / (np.pi * index.size)).sum() / 2
    return float(np.abs(found - probs).sum() / 2), float(chance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--hosts", nargs="+", default=["pyro", "numpyro"])
    options = parser.parse_args()
    rows = []
    for host in options.hosts:
        found = measure(f"contenders.noise_on_{host}:run", draws=options.draws, gaps=GAPS)
        if "failure" in found:
            raise SystemExit(f"{host}: {found['failure']}")
        for side, got in found.items():
            bias = f"{got['half'] - 0.5:.1e}"
            tv = f"{got['tv'][0]:.4f} ({got['tv'][1]:.4f})"
            rows.append([f"{host} {side}", *(f"{each:.3f}" for each in got["rare"]), bias, tv])
    header = ["noise", *(f"gap {gap}" for gap in GAPS), "bias of a million", "bf16 TV (chance)"]
    targets = ["target", TARGETS["rare"], *[""] * (len(GAPS) - 1), TARGETS["half"], TARGETS["tv"]]
    print(format_table(header, [*rows, targets]))


if __name__ == "__main__":
    main()
