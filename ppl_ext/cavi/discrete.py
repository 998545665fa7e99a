"""Terms of classes: their probabilities, and Gaussians that they choose between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.cavi.classes import Categorical, Dirichlet
from ppl_ext.cavi.families import LOG_2PI, AbstractFamily, Arrays
from ppl_ext.cavi.joint import NormalWishart
from ppl_ext.cavi.terms import AbstractTerm, Factors

__all__ = ["CategoryTerm", "MixtureTerm"]


@dataclass(frozen=True, eq=False)
class CategoryTerm(AbstractTerm):
    """Classes of probabilities that are learned: ``class ~ Categorical(probabilities)``.

    Args:
        classes: A Categorical factor of batch ``[row]``.
        probabilities: A Dirichlet factor.

    Example:
        >>> factors = {"z": Categorical(np.zeros((4, 2))), "p": Dirichlet(np.ones(2))}
        >>> CategoryTerm("z", "p").send("p", factors)[0].tolist()
        [2.0, 2.0]
    """

    classes: str
    probabilities: str

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Both."""
        return {self.classes: Categorical, self.probabilities: Dirichlet}

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell classes how probable they are, probabilities how many there are."""
        if name == self.classes:
            return factors[self.probabilities].expect()
        return (factors[self.classes].expect()[0].sum(axis=0),)

    def expect(self, factors: Factors) -> float:
        """Expected log probability of the classes."""
        chosen = factors[self.classes].expect()[0]
        return float(np.sum(chosen * factors[self.probabilities].expect()[0]))


@dataclass(frozen=True, eq=False)
class MixtureTerm(AbstractTerm):
    """Rows from the Gaussians that their classes choose.

    Args:
        data: ``[row, dim]``.
        classes: A Categorical factor of batch ``[row]``.
        components: A NormalWishart factor of batch ``[class]``.

    Example:
        >>> q = NormalWishart(np.zeros((1, 2)), np.ones(1), np.full(1, 5.0), np.eye(2)[None])
        >>> factors = {"z": Categorical(np.zeros((3, 1))), "c": q}
        >>> MixtureTerm(np.ones((3, 2)), "z", "c").send("c", factors)[2].tolist()
        [[3.0, 3.0]]
    """

    data: np.ndarray
    classes: str
    components: str

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Both."""
        return {self.classes: Categorical, self.components: NormalWishart}

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell classes the log densities, components their weighted sums."""
        if name == self.classes:
            return (self._log_densities(factors),)
        chosen = factors[self.classes].expect()[0]
        count = chosen.sum(axis=0)
        second = np.einsum("nk,ni,nj->kij", chosen, self.data, self.data, optimize=True)
        return 0.5 * count, -0.5 * second, chosen.T @ self.data, -0.5 * count

    def expect(self, factors: Factors) -> float:
        """Expected log density of the rows, given their classes."""
        return float(np.sum(factors[self.classes].expect()[0] * self._log_densities(factors)))

    def _log_densities(self, factors: Factors) -> np.ndarray:
        log_det, precision, pulled, square = factors[self.components].expect()
        fit = np.einsum("ni,kij,nj->nk", self.data, precision, self.data, optimize=True)
        fit += square - 2 * self.data @ pulled.T
        return np.asarray(0.5 * (log_det - self.data.shape[1] * LOG_2PI - fit))
