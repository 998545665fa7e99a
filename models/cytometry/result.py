"""A fitted cytometry model: predictions, fractions, and whether clusters have collapsed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

from models.cytometry.data import UNGATED, CytometryData
from models.cytometry.prediction import Evaluation, HeldOut, Prediction
from models.cytometry.settings import Settings
from models.cytometry.task import Task

__all__ = ["CytometryFit", "Report"]

UNUSED = 1e-3  # a cluster with less of all cells than this is not used
CELLS_AT_A_TIME = 4096
LEAST_SAID = 0.01  # by the graph, whose nodes may be labels, and by the bounds: both are too sure
FEW_LABELS = 1e-3  # of a cluster that has none: it counts a little in the surprise


@dataclass(frozen=True, repr=False)
class Report:
    """What has become of the clusters.

    Attributes:
        bound: Mean bound of a cell at the end of the training, nats, on standardised markers,
            the weighted log-probability of the labels included.
        shares: Mean of ``q(c | x)``, by cluster.
        owners: Name of each cluster's population.
        fractions: By population: mean, and both ends of the central 90 percent.
        doubt: Mean entropy of ``q(c | x)``, nats.
    """

    bound: float
    shares: np.ndarray
    owners: tuple[str, ...]
    fractions: dict[str, tuple[float, float, float]]
    doubt: float = 0.0

    @property
    def used(self) -> int:
        """Number of clusters that are used."""
        return int((self.shares > UNUSED).sum())

    @property
    def effective(self) -> float:
        """Exponential of what cells tell of their cluster: a number of equal and distinct ones.

        Clusters that hold equal shares of every cell are one.
        """
        shares = self.shares[self.shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum() - self.doubt))

    @property
    def lost(self) -> tuple[str, ...]:
        """Populations without a used cluster."""
        kept = {
            name for name, share in zip(self.owners, self.shares, strict=True) if share > UNUSED
        }
        return tuple(sorted(set(self.owners) - kept))

    @property
    def ok(self) -> bool:
        """Whether no population is lost and the clusters are more than two in effect."""
        return not self.lost and self.effective > min(2.0, 0.5 * len(self.shares))

    def __str__(self) -> str:
        count = len(self.shares)
        lines = [
            f"{self.used} of {count} clusters are used, {self.effective:.1f} in effect; "
            f"{self.bound:.2f} nats a cell."
        ]
        if not self.ok:
            lost = f": {', '.join(self.lost)} lost" if self.lost else ""
            lines.append(
                f"The clusters have collapsed{lost}. Give labels of what is lost, a longer "
                "`warm_up`, or fewer `clusters`, and fit again with another seed."
            )
        width = max(len(name) for name in self.fractions)
        lines += [
            f"  {name:<{width}}  {mean:7.2%}  ({low:.2%} to {high:.2%})"
            for name, (mean, low, high) in self.fractions.items()
        ]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class CytometryFit:
    """A trained model.

    Attributes:
        data: What it was trained on.
        settings: How.
        task: What was made of the data for the hosts.
        weights: Of the networks, by name.
        losses: Minus the bound and labels' term, mean of each epoch.
        evaluate: The host's function of weights and standardised cells.
        temperature: By which logits are divided: the one that labels held out have asked for.
        held_out: Those labels, and what was said of their cells.
    """

    data: CytometryData
    settings: Settings
    task: Task
    weights: dict[str, np.ndarray]
    losses: np.ndarray
    evaluate: Callable[[dict[str, np.ndarray], np.ndarray], Evaluation] = field(repr=False)
    temperature: float = 1.0
    held_out: HeldOut | None = None

    def __repr__(self) -> str:
        return (
            f"CytometryFit({len(self.task.owner)} clusters of {len(self.task.populations)} "
            f"populations, {len(self.data.values)} cells, {self.settings.epochs} epochs)"
        )

    def predict(self, data: CytometryData | None = None) -> Prediction:
        """Find the populations of cells, by default of those that it was trained on.

        Args:
            data: Cells with the same markers, in any order.

        Raises:
            ValueError: A marker is missing.
        """
        held_out = self.held_out
        if data is None:
            data = self.data
        elif held_out is not None:
            # The labels are no sample of other cells.
            held_out = replace(held_out, joint=None, sampled=False)
        absent = [name for name in self.data.markers if name not in data.markers]
        if absent:
            raise ValueError(
                f"CytometryFit.predict: the cells have no {', '.join(absent)}; expected the "
                f"markers {', '.join(self.data.markers)}."
            )
        order = [data.markers.index(name) for name in self.data.markers]
        prediction, *_ = self._predict_cells(self.task.scale.apply(data.values[:, order]))
        return replace(prediction, held_out=held_out)

    def _predict_cells(self, x: np.ndarray) -> tuple[Prediction, np.ndarray, float]:
        """Predictions of standardised cells, the mean of ``q(c | x)``, and its mean entropy."""
        weights = self._weigh_clusters()
        parts, totals, doubts = zip(
            *(
                self._predict_part(x[first : first + CELLS_AT_A_TIME], weights)
                for first in range(0, len(x), CELLS_AT_A_TIME)
            ),
            strict=True,
        )
        prediction = Prediction(
            np.concatenate([part.probs for part in parts]),
            self.task.populations,
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("clusters", "z", "surprise")
            ),
            held_out=self.held_out,
        )
        return prediction, sum(totals) / len(x), sum(doubts) / len(x)

    def _weigh_clusters(self) -> np.ndarray:
        """Log weights of the clusters in the surprise: their shares of the labels.

        By their shares of the cells, a cluster of a type that nobody has labelled would count,
        if it has come to a population that has labels.
        """
        task = self.task
        if not len(task.labelled):
            return log_softmax(self.weights["prior_logits"])
        logits = self.evaluate(self.weights, task.values[task.labelled]).logits
        shares = softmax(np.where(task.member, logits, -np.inf), axis=1).sum(0) + FEW_LABELS
        gated = np.array([task.populations[k] != UNGATED for k in task.owner])
        return np.where(gated, np.log(shares / shares[gated].sum()), -np.inf)

    def _predict_part(
        self, x: np.ndarray, weights: np.ndarray
    ) -> tuple[Prediction, np.ndarray, float]:
        found = self.evaluate(self.weights, x)
        populations = self.task.populations
        log_q = log_softmax(found.logits, 1)
        # The temperature is one of populations: how a population splits is not its matter.
        by_population = self._sum_clusters(log_q)
        if self.task.graph is not None:
            # Networks are smooth and the graph is not, and by Bayes' rule cells without a label
            # have their say: all three err on other cells.
            bayes = log_softmax(found.bounds + self.weights["prior_logits"], 1)
            others = [
                np.exp(self._sum_clusters(bayes)),
                self.task.spread[self.task.graph.find_nodes(x)],
            ]
            logs = [np.log(np.maximum(said, LEAST_SAID)) for said in others]
            by_population = np.mean([by_population, *logs], 0)
        q = np.exp(log_q)
        prediction = Prediction(
            probs=softmax(by_population / self.temperature, 1),
            populations=populations,
            clusters=log_q.argmax(1),
            z=(q[..., None] * found.z).sum(1),
            surprise=-logsumexp(found.bounds + weights, axis=1),
        )
        return prediction, q.sum(0), -float((q * log_q).sum())

    def _sum_clusters(self, log_probs: np.ndarray) -> np.ndarray:
        """Log probabilities of populations, ``[cell, population]``, from those of clusters."""
        populations = range(len(self.task.populations))
        return np.stack(
            [logsumexp(log_probs[:, self.task.owner == k], axis=1) for k in populations], 1
        )

    def report(self) -> Report:
        """Report used clusters and fractions."""
        prediction, shares, doubt = self._predict_cells(self.task.values)
        fractions = prediction.draw_fractions()
        ends = np.quantile(fractions, [0.05, 0.95], axis=0)
        return Report(
            bound=-float(self.losses[-1]),
            shares=shares,
            owners=tuple(self.task.populations[k] for k in self.task.owner),
            fractions={
                name: (float(fractions[:, k].mean()), float(ends[0, k]), float(ends[1, k]))
                for k, name in enumerate(self.task.populations)
            },
            doubt=doubt,
        )

    def draw_embedding(self, axes=None):
        """Draw the cells in the latent space; see `picture.draw_embedding`."""
        from models.cytometry.picture import draw_embedding

        return draw_embedding(self.predict(), axes)

    def draw_gates(self, first: str, second: str):
        """Draw labels beside predictions; see `picture.draw_gates`."""
        from models.cytometry.picture import draw_gates

        return draw_gates(self.data, self.predict(), first, second)
