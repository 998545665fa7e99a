"""What an estimator of a gradient through discrete draws is, and how one is called."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from ppl_ext.pyro.estimators.integrand import read_integrand
from ppl_ext.pyro.estimators.one_hot_draws import draw_one_hot, log_prob_of

__all__ = ["AbstractEstimator", "AbstractPathEstimator", "AbstractScoreEstimator"]

Function = Callable[[torch.Tensor], torch.Tensor]


class AbstractEstimator(ABC):
    """A way to estimate the gradient of an expectation over discrete variables.

    A concrete estimator is a frozen dataclass whose fields are its parameters.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import LeaveOneOut
        >>> _ = torch.manual_seed(0)
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> f = lambda z: z @ torch.tensor([0.0, 1.0, 4.0])
        >>> value = LeaveOneOut(10_000).surrogate(f, logits)
        >>> value.backward()
        >>> abs(value.item() - 5 / 3) < 0.1, abs(float(logits.grad[0]) + 5 / 9) < 0.1
        (True, True)
    """

    @abstractmethod
    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs.

        Args:
            num_variables: Length of the axis of variables.
            num_classes: Length of the axis of classes.

        Returns:
            Evaluations of one member of the batch.
        """

    def surrogate(self, f: Function, logits: torch.Tensor) -> torch.Tensor:
        """Return a number whose value and whose derivative are the two estimates.

        Its value estimates the expectation of ``f``. Its derivative estimates the gradient of
        the expectation, with respect to the logits and to everything that ``f`` closes over, the
        logits among it.

        Args:
            f: Function of one-hot draws ``(*draws, *logits.shape)``, each member of the batch
                by itself, with values ``(*draws, *batch)``.
            logits: Unnormalised log-probabilities ``(*batch, variable, class)``, or ``(class,)``
                for a single variable; ``-inf`` rules a class out.

        Returns:
            The surrogate, with shape ``(*batch,)``.

        Raises:
            ValueError: No floating-point logits, or values of ``f`` of another shape.
        """
        f, logits = read_integrand(type(self).__name__, f, logits)
        return self._surrogate(f, logits)

    @abstractmethod
    def _surrogate(self, f, logits):
        """Do it for logits ``(*batch, variable, class)``, and an ``f`` that minds its shapes."""


class AbstractPathEstimator(AbstractEstimator):
    """An estimator whose gradient passes through the value of the draw.

    Example:
        >>> from ppl_ext.pyro.estimators import AbstractEstimator
        >>> issubclass(AbstractPathEstimator, AbstractEstimator)
        True
    """

    @abstractmethod
    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw values that carry the estimator's gradient.

        Args:
            logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class
                out.
            sample_shape: Draws of each member of the batch, which come first.

        Returns:
            Draws with shape ``(*sample_shape, *batch, class)``.
        """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: one."""
        return 1

    def _surrogate(self, f, logits):
        return f(self.sample(logits))


class AbstractScoreEstimator(AbstractEstimator):
    """An estimator that weighs the scores of true draws by what the function made of them.

    It needs no more than the draws, so that it serves several sites that were drawn together,
    one after the other among them.

    Attributes:
        num_draws: Draws for one estimate.

    Example:
        >>> from ppl_ext.pyro.estimators import LeaveOneOut
        >>> issubclass(LeaveOneOut, AbstractScoreEstimator), LeaveOneOut(8).num_draws
        (True, 8)
    """

    num_draws: int

    @abstractmethod
    def combine(self, values: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
        """Return the surrogate of draws that have been made.

        Args:
            values: Values of the function at the draws ``(draw, *batch)``.
            log_probs: Log-probabilities of the draws ``(draw, *batch)``.

        Returns:
            The surrogate, with shape ``(*batch,)``.
        """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: one a draw."""
        return self.num_draws

    def _surrogate(self, f, logits):
        z = draw_one_hot(logits, (self.num_draws,))
        return self.combine(f(z), log_prob_of(z, logits))
