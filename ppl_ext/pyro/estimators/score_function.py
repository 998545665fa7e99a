"""The score function, and the baselines that quieten it."""

from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import check_count, refuse
from ppl_ext.pyro.estimators.estimator import AbstractScoreEstimator
from ppl_ext.pyro.estimators.one_hot_draws import score

__all__ = ["MovingAverage", "ScoreFunction"]


@dataclass(frozen=True)
class MovingAverage:
    r"""Average of the values seen so far, the recent ones weighing more: a baseline.

    .. math:: \bar f_n = \frac{\sum_i d^{n - i} f_i}{\sum_i d^{n - i}}

    Before the first value it is zero. Not for a function whose size differs between the members
    of a batch: there learn a baseline for each, as ``ScoreFunction`` shows.

    Args:
        decay: Weight ``d`` of the past, from 0 to below 1.
        total: Sum of the weighted values so far.
        weight: Sum of the weights so far.

    Raises:
        ValueError: A decay that is not in [0, 1).

    Example:
        >>> import torch
        >>> average = MovingAverage(decay=0.5)
        >>> for values in ([1.0, 3.0], [5.0, 5.0]):
        ...     average = average.update(torch.tensor(values))
        >>> float(average.mean)  # (0.5 * 2 + 5) / 1.5
        4.0
    """

    decay: float | torch.Tensor = 0.9
    total: float | torch.Tensor = 0.0
    weight: float | torch.Tensor = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.decay, int | float) and not 0 <= self.decay < 1:
            raise refuse(
                "MovingAverage",
                f"decay is {self.decay}",
                "a number from 0 to below 1",
                "MovingAverage(decay=0.9).",
            )

    @property
    def mean(self) -> torch.Tensor:
        """The average: zero before the first value."""
        total, weight = torch.as_tensor(self.total), torch.as_tensor(self.weight)
        return torch.where(weight > 0, total / torch.where(weight > 0, weight, 1.0), 0.0)

    def update(self, values: torch.Tensor) -> "MovingAverage":
        """Take the mean of new values in, and return the average that follows.

        Args:
            values: Values of the function, such as what ``surrogate`` returns, of any shape.

        Returns:
            A new average; the old one stays as it was.
        """
        total = self.decay * self.total + values.detach().mean()
        return MovingAverage(self.decay, total, self.decay * self.weight + 1.0)


@dataclass(frozen=True)
class ScoreFunction(AbstractScoreEstimator):
    r"""Score function with a baseline: REINFORCE.

    .. math:: (f(z) - b) \, \nabla \log q(z)

    Unbiased whatever the baseline, and the noisiest of all: where ``f`` can be evaluated a few
    times, ``LeaveOneOut`` is better and has nothing to tune.

    Args:
        baseline: What is subtracted from ``f``: nothing, a number, a ``MovingAverage``, or an
            array that broadcasts against ``(*batch,)``, such as the output of a network that is
            trained to predict the value. It may not depend on the draw; no gradient flows to it.
        num_draws: Independent draws for one estimate, which are averaged.

    Raises:
        ValueError: A baseline that does not broadcast against the batch, or no draw.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> logits, weights = torch.zeros(5, 1, 2), torch.arange(5.0)
        >>> f = lambda z: weights + z[..., 0, 1]  # its size differs within the batch
        >>> baseline = torch.zeros(5, requires_grad=True)
        >>> optimizer = torch.optim.SGD([baseline], lr=0.1)
        >>> for _ in range(300):  # the value predicts itself
        ...     value = ScoreFunction(baseline).surrogate(f, logits)
        ...     optimizer.zero_grad()
        ...     ((value.detach() - baseline) ** 2).mean().backward()
        ...     optimizer.step()
        >>> [round(each) for each in (baseline - 0.5).tolist()]
        [0, 1, 2, 3, 4]

    References:
        Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist
        Reinforcement Learning, Machine Learning 8, doi:10.1007/BF00992696.
        Mnih, Gregor (2014), Neural Variational Inference and Learning in Belief Networks, ICML,
        arXiv:1402.0030.
    """

    baseline: float | torch.Tensor | MovingAverage | None = None
    num_draws: int = 1

    def __post_init__(self) -> None:
        check_count(
            "ScoreFunction",
            "num_draws",
            self.num_draws,
            1,
            "ScoreFunction(), or for several draws LeaveOneOut(num_draws=4).",
        )

    def combine(self, values: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
        """Return the surrogate of draws that have been made."""
        baseline = self._read_baseline(values.shape[1:])
        return (values + score(values - baseline, log_probs)).mean(0)

    def _read_baseline(self, shape):
        given = self.baseline
        if given is None:
            return 0.0
        baseline = given.mean if isinstance(given, MovingAverage) else torch.as_tensor(given)
        try:
            return baseline.broadcast_to(shape)
        except RuntimeError as error:
            raise refuse(
                "ScoreFunction",
                f"baseline has the shape {tuple(baseline.shape)}",
                f"one number, or one for each member of the batch, {tuple(shape)}",
                "Predict one value for each member of the batch: baseline.reshape(batch_shape).",
            ) from error
