"""What the programs of both hosts print and draw."""

from pathlib import Path

import numpy as np

from models.cytometry.judging import calibration_error, population_f1
from models.cytometry.result import CytometryFit

__all__ = ["describe", "draw_pictures"]


def describe(fit: CytometryFit, truth: np.ndarray) -> str:
    """Say how well simulated cells are told apart."""
    found = fit.predict()
    f1 = population_f1(truth, found.labels, len(found.populations))
    known = 0 if fit.data.labels is None else int((fit.data.labels >= 0).sum())
    return (
        f"{known} labels for {len(truth)} cells, mean F1 {f1.mean():.3f}, "
        f"calibration error {calibration_error(found.probs, truth):.3f}, "
        f"{fit.report().used} clusters used"
    )


def draw_pictures(fit: CytometryFit, folder: Path) -> None:
    """Write the latent space, and the gates beside the predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    fit.draw_embedding().figure.savefig(folder / "embedding.png", dpi=120)
    fit.draw_gates(*fit.data.markers[:2]).savefig(folder / "gates.png", dpi=120)
