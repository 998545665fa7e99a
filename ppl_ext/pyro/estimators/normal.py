"""The two ways to the gradient of an expectation over normal variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import refuse
from ppl_ext.pyro.estimators.one_hot_draws import score

__all__ = ["AbstractNormalEstimator", "NormalPath", "NormalScoreFunction"]


class AbstractNormalEstimator(ABC):
    """A way to estimate the gradient of an expectation over independent normal variables.

    Example:
        >>> issubclass(NormalPath, AbstractNormalEstimator)
        True
    """

    def surrogate(
        self,
        f: Callable[[torch.Tensor], torch.Tensor],
        mean: torch.Tensor | float,
        sd: torch.Tensor | float,
    ) -> torch.Tensor:
        """Return a number whose value and whose derivative are the two estimates.

        Its value estimates the expectation of ``f``. Its derivative estimates the gradient of
        the expectation, with respect to mean, sd and everything that ``f`` closes over.

        Args:
            f: Function of a draw ``(*batch, variable)`` with values ``(*batch,)``.
            mean: Means ``(*batch, variable)``, or a number for a single variable.
            sd: Positive standard deviations, which broadcast against the means.

        Returns:
            The surrogate, with shape ``(*batch,)``.

        Raises:
            ValueError: Values of ``f`` of another shape.
        """
        mean, sd = torch.broadcast_tensors(torch.as_tensor(mean), torch.as_tensor(sd))
        single = mean.dim() == 0
        mean, sd = (each[None] if single else each for each in (mean, sd))

        def minded(z):
            values, shape = f(z[..., 0] if single else z), z.shape[:-1]
            if values.shape != shape:
                raise refuse(
                    type(self).__name__,
                    f"f returned the shape {tuple(values.shape)} for a draw of the shape "
                    f"{tuple(z.shape)}",
                    f"one value for each member of the batch, {tuple(shape)}",
                    "Sum over the variables: f(z).sum(-1).",
                )
            return values

        return self._surrogate(minded, mean, sd, torch.randn_like(mean))

    @abstractmethod
    def _surrogate(self, f, mean, sd, noise):
        """Do it for arrays of one shape, and an ``f`` that minds its shape."""


@dataclass(frozen=True)
class NormalScoreFunction(AbstractNormalEstimator):
    r"""Score function of normal variables: from the values of ``f`` alone.

    .. math:: (f(z) - b) \, \nabla \log N(z; \mu, \sigma^2), \quad z \sim N(\mu, \sigma^2)

    For functions without a derivative. Where there is one, ``NormalPath`` is many times quieter:
    for ``f(z) = z^2``, ``sd = 1`` and ``mean = a theta + b`` the variance of the gradient in
    ``theta`` is ``a^2 (mean^4 + 14 mean^2 + 15)`` against ``4 a^2``.

    Args:
        baseline: A number that is subtracted from ``f``, or a tensor ``(*batch,)``; it may not
            depend on the draw.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> mean = torch.ones(200_000, 1, requires_grad=True)
        >>> value = NormalScoreFunction().surrogate(lambda z: z[..., 0] ** 2, mean, 1.0)
        >>> value.sum().backward()
        >>> round(float(mean.grad.mean()), 1), round(float(mean.grad.var()), -1)  # 2 and 30
        (2.0, 30.0)

    References:
        Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist
        Reinforcement Learning, Machine Learning 8, doi:10.1007/BF00992696.
    """

    baseline: float | torch.Tensor = 0.0

    def _surrogate(self, f, mean, sd, noise):
        z = (mean + sd * noise).detach()
        values = f(z)
        log_prob = (-0.5 * ((z - mean) / sd) ** 2 - sd.log()).sum(-1)
        return values + score(values - self.baseline, log_prob)


@dataclass(frozen=True)
class NormalPath(AbstractNormalEstimator):
    r"""Gradient along the path of the draw: reparameterization.

    .. math:: \nabla f(\mu + \sigma \epsilon), \quad \epsilon \sim N(0, 1)

    Not for functions with jumps, whose derivative misses them: there the gradient is biased, and
    ``NormalScoreFunction`` is not.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> mean = torch.ones(200_000, 1, requires_grad=True)
        >>> value = NormalPath().surrogate(lambda z: z[..., 0] ** 2, mean, 1.0)
        >>> value.sum().backward()
        >>> round(float(mean.grad.mean()), 1), round(float(mean.grad.var()), 1)  # 2 and 4
        (2.0, 4.0)

    References:
        Kingma, Welling (2014), Auto-Encoding Variational Bayes, ICLR, arXiv:1312.6114.
    """

    def _surrogate(self, f, mean, sd, noise):
        return f(mean + sd * noise)
