"""The score function, and the baselines that quieten it."""

from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import check_count, refuse
from ppl_ext.pyro.estimators.estimator import AbstractScoreEstimator
from ppl_ext.pyro.estimators.one_hot_draws import score

__all__ = ["ScoreFunction"]


@dataclass(frozen=True)
class ScoreFunction(AbstractScoreEstimator):
    r"""Score function with a baseline: REINFORCE.

    .. math:: (f(z) - b) \, \nabla \log q(z)

    Unbiased whatever the baseline, and the noisiest of all: where ``f`` can be evaluated a few
    times, ``LeaveOneOut`` is better and has nothing to tune.

    Args:
        baseline: What is subtracted from ``f``: nothing, a number such as the mean so far, or an
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

    baseline: float | torch.Tensor | None = None
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
        baseline = self._read_baseline(values)
        return (values + score(values - baseline, log_probs)).mean(0)

    def _read_baseline(self, values):
        shape = values.shape[1:]
        if self.baseline is None:
            return 0.0
        baseline = torch.as_tensor(self.baseline, device=values.device)
        try:
            return baseline.broadcast_to(shape)
        except RuntimeError as error:
            raise refuse(
                "ScoreFunction",
                f"baseline has the shape {tuple(baseline.shape)}",
                f"one number, or one for each member of the batch, {tuple(shape)}",
                "Predict one value for each member of the batch: baseline.reshape(batch_shape).",
            ) from error
