"""Files of a cytometer that was never there: FCS and gates, with the truth beside them."""

import csv
from pathlib import Path

import flowio
import numpy as np

from models.cytometry.data import UNGATED

__all__ = ["POPULATIONS", "write_samples"]

POPULATIONS = ("B", "CD4 T", "CD8 T", "NK", "NKT", UNGATED)
MARKERS = ("CD3", "CD19", "CD4", "CD8", "NK1.1", "CD45")
DETECTORS = ("B530-A", "B585-A", "R660-A", "R780-A", "V450-A", "V525-A")
COFACTOR = 150.0
# On the arcsinh scale. An NKT cell is of one of two types: its population is no single cloud.
TYPES = {
    "B": [[0.2, 4.0, 0.1, 0.1, 0.2, 3.4]],
    "CD4 T": [[3.4, 0.1, 4.0, 0.1, 0.3, 3.8]],
    "CD8 T": [[3.3, 0.1, 0.1, 4.4, 0.5, 4.0]],
    "NK": [[0.2, 0.2, 0.1, 0.4, 3.8, 3.9]],
    "NKT": [[2.8, 0.1, 3.4, 0.1, 3.0, 3.9], [2.8, 0.1, 0.2, 0.3, 3.2, 3.9]],
}
SHARES = np.array([[0.24, 0.34, 0.16, 0.06, 0.03, 0.17], [0.20, 0.22, 0.18, 0.16, 0.03, 0.21]])
SPILLOVER = 0.06  # of a dye in the next detector; half of it in the one before


def write_samples(
    folder: Path, cells: int, *, share_labelled: float = 0.02, seed: int = 0
) -> tuple[list[Path], Path, np.ndarray]:
    """Write FCS files of two donors and a table of gates for some of their cells.

    Each detector sees some of the next dye. Ungated are debris and doublets, which are two cells
    at once.

    Args:
        folder: Where to.
        cells: Number of each file.
        share_labelled: Share of the cells that somebody has gated, drawn from all.
        seed: Of the draws.

    Returns:
        The files, the table, and the true population of each cell, ``[cell]``, as places in
        `POPULATIONS`.
    """
    generator = np.random.default_rng(seed)
    width = len(MARKERS)
    mixed = SPILLOVER * (np.eye(width, k=1) + 0.5 * np.eye(width, k=-1))
    spillover = np.eye(width) + mixed
    keyword = ",".join(map(str, [width, *DETECTORS, *spillover.ravel()]))
    names = [*DETECTORS, "FSC-A", "SSC-A", "Time"]
    stains = [*MARKERS, "", "", ""]
    paths, truths, rows = [], [], []
    for donor, shares in zip("ab", SHARES, strict=True):
        truth = generator.choice(len(POPULATIONS), cells, p=shares)
        light, size = _draw_light(truth, generator)
        seen = light @ spillover + generator.normal(0, 15, light.shape)
        scatter = 5e4 * size[:, None] * generator.lognormal(0, 0.1, (cells, 2))
        events = np.column_stack([seen, scatter, np.arange(cells)])
        path = folder / f"donor_{donor}.fcs"
        with path.open("wb") as file:
            flowio.create_fcs(file, events.ravel(), names, stains, {"spill": keyword})
        for cell in np.flatnonzero(generator.uniform(size=cells) < share_labelled):
            rows.append((path.name, cell, POPULATIONS[truth[cell]]))
        paths.append(path)
        truths.append(truth)
    gates = folder / "gates.csv"
    with gates.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "cell", "population"), *rows])
    return paths, gates, np.concatenate(truths)


def _draw_light(truth: np.ndarray, generator: np.random.Generator):
    """Light of each dye ``[cell, marker]`` and size ``[cell]``."""
    cells, gated = len(truth), len(POPULATIONS) - 1

    def draw_cells(kinds: np.ndarray) -> np.ndarray:
        means = np.array([TYPES[POPULATIONS[k]][-(n % 2)] for n, k in enumerate(kinds)])
        common = generator.normal(0, 0.25, (cells, 1))
        return COFACTOR * np.sinh(means + common + generator.normal(0, 0.35, means.shape))

    debris = generator.uniform(size=cells) < 0.6
    ungated = truth == gated
    light = draw_cells(np.where(ungated, generator.integers(gated, size=cells), truth))
    second = draw_cells(generator.integers(gated, size=cells))
    light[ungated & ~debris] += second[ungated & ~debris]
    light[ungated & debris] *= generator.uniform(0, 0.06, (int((ungated & debris).sum()), 1))
    size = np.where(ungated, np.where(debris, 0.4, 1.8), 1.0)
    return light, size
