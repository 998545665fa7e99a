"""How much data narrow each element down, and how far posteriors lie from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.calibration.pit import pair_up
from ppl_ext.diagnostics.moments import label_elements

__all__ = ["Contraction", "measure_contraction"]

_MOST_LINES = 20
_LITTLE = 0.1  # contraction of a posterior whose sd is 95 % of the prior's


@dataclass(frozen=True, eq=False, repr=False)
class Contraction:
    """Posterior z-score and contraction of every element in every simulation.

    A picture, not a test: that is ``Calibration``. It shows what no calibration of sites does, a
    prior in place of its posterior. Contraction near 1 and small z-scores are what one hopes for;
    contraction near 1 and large z-scores are overfitting; contraction near 0 and small z-scores
    are data that say little, or a guide that has not heard them; contraction near 0 and large
    z-scores are a prior against the data.

    Args:
        z_scores: ``{site: array[simulation, ...]}``, posterior mean minus truth in posterior
            standard deviations. Of right posteriors they have mean 0 and mean square 1, whatever
            the shape.
        contraction: ``{site: array[simulation, ...]}``, 1 minus the ratio of the posterior's
            variance to the prior's. Both are NaN where the prior is a constant.

    Example:
        >>> found = Contraction({"mu": np.array([-1.1, 0.9])}, {"mu": np.array([0.4, 0.6])})
        >>> print(found)
        element      contraction    z-score: mean, root mean square
        mu                  0.50            -0.10  1.00
    """

    z_scores: Mapping[str, np.ndarray]
    contraction: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        return f"Contraction({len(self.labels)} elements)"

    @property
    def labels(self) -> list[str]:
        """Names of the elements, such as ``theta[0]``."""
        return label_elements(self.z_scores)

    @property
    def mean_z(self) -> dict[str, np.ndarray]:
        """Mean z-score over the simulations, ``{site: array[...]}``: 0 if right on average."""
        return {site: z.mean(0) for site, z in self.z_scores.items()}

    @property
    def rms_z(self) -> dict[str, np.ndarray]:
        """Root mean square, ``{site: array[...]}``: 1 if right, above it where too narrow."""
        return {site: np.sqrt((z**2).mean(0)) for site, z in self.z_scores.items()}

    @property
    def mean_contraction(self) -> dict[str, np.ndarray]:
        """Mean contraction, ``{site: array[...]}``: 0 where posteriors are as wide as priors."""
        return {site: array.mean(0) for site, array in self.contraction.items()}

    @property
    def unmoved(self) -> list[str]:
        """Elements whose variance the data reduce by less than a tenth."""
        means = _flatten(self.mean_contraction)
        return [label for label, mean in zip(self.labels, means, strict=True) if mean < _LITTLE]

    def find_element(self, element: str) -> tuple[np.ndarray, np.ndarray]:
        """Look up one element.

        Args:
            element: Its name, such as ``theta[0]``.

        Returns:
            Its z-scores and its contraction, each ``[simulation]``.

        Raises:
            ValueError: There is no such element.
        """
        if element not in self.labels:
            raise ValueError(
                f"Contraction.find_element: element = {element!r}; expected one of "
                f"{self.labels[:8]}{' ...' * (len(self.labels) > 8)}, such as "
                f"find_element({self.labels[0]!r})."
            )
        index = self.labels.index(element)
        return _flatten(self.z_scores, 1)[:, index], _flatten(self.contraction, 1)[:, index]

    def __str__(self) -> str:
        lines = [f"{'element':<12} contraction    z-score: mean, root mean square"]
        columns = (_flatten(each) for each in (self.mean_contraction, self.mean_z, self.rms_z))
        for label, shrunk, mean, size in list(zip(self.labels, *columns, strict=True))[
            :_MOST_LINES
        ]:
            lines.append(f"{label:<12} {shrunk:>10.2f} {mean:>16.2f} {size:>5.2f}")
        if len(self.labels) > _MOST_LINES:
            lines.append(f"and {len(self.labels) - _MOST_LINES} more")
        return "\n".join(lines)


def measure_contraction(
    truths: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    *,
    prior_sd: Mapping[str, np.ndarray] | None = None,
) -> Contraction:
    r"""Measure z-scores and contraction of posteriors of simulated data.

    .. math:: z = \frac{E_q\theta - \theta^*}{\mathrm{sd}_q\theta}, \qquad
        c = 1 - \frac{\mathrm{var}_q\theta}{\mathrm{var}_p\theta}

    Not for what has no variance, such as a Cauchy prior: give quantities that have one.

    Args:
        truths: ``{site: array[simulation, ...]}``, from the prior.
        draws: ``{site: array[simulation, draw, ...]}``, from the posteriors of data simulated from
            the truths; sites that only one of both has are left out.
        prior_sd: ``{site: array[...]}``; the standard deviation of the truths where not given.

    Returns:
        Both for every element and simulation.

    Raises:
        ValueError: Names or shapes do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> mu = rng.normal(size=(500, 1))
        >>> y = rng.normal(mu)
        >>> exact = y / 2 + np.sqrt(0.5) * rng.normal(size=(500, 400))
        >>> found = measure_contraction({"mu": mu[:, 0]}, {"mu": exact}, prior_sd={"mu": 1.0})
        >>> found.mean_contraction["mu"].round(2).item(), found.rms_z["mu"].round(1).item()
        (0.5, 1.0)

    References:
        Schad, Betancourt, Vasishth (2021), Toward a principled Bayesian workflow in cognitive
        science, Psychological Methods 26(1).
    """
    pairs = pair_up("measure_contraction", truths, draws)
    z_scores, contraction = {}, {}
    for site, (true, drawn) in pairs.items():
        if min(len(true), drawn.shape[1]) < 2:
            raise ValueError(
                f"measure_contraction: '{site}' has {len(true)} simulations and "
                f"{drawn.shape[1]} draws of each; a standard deviation needs two. Draw more."
            )
        wide = np.asarray((prior_sd or {}).get(site, true.std(0, ddof=1)), dtype=np.float64)
        mean, sd = drawn.mean(1), drawn.std(1, ddof=1)
        # A discrete site may be certain: no error is 0 standard deviations, and any other endless.
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(mean == true, 0.0, (mean - true) / sd)
            shrunk = 1 - (sd / wide) ** 2
        z_scores[site] = np.where(wide > 0, z, np.nan)
        contraction[site] = np.where(wide > 0, shrunk, np.nan)
    return Contraction(z_scores, contraction)


def _flatten(arrays: Mapping[str, np.ndarray], keep: int = 0) -> np.ndarray:
    """All elements side by side, behind the axes to keep."""
    return np.concatenate(
        [array.reshape(*array.shape[:keep], -1) for array in arrays.values()], axis=-1
    )
