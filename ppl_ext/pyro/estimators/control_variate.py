"""Score-function estimators with a relaxed control variate: REBAR and RELAX."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import refuse
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.estimators.integrand import check_temperature
from ppl_ext.pyro.estimators.one_hot_draws import draw_one_hot, log_prob_of
from ppl_ext.pyro.gumbel.logits import widen
from ppl_ext.pyro.gumbel.tricks import posterior_gumbels

__all__ = ["REBAR", "RELAX", "AbstractControlVariate"]


class AbstractControlVariate(AbstractEstimator):
    """What the two estimators share: a function of the perturbed logits to compare with.

    Example:
        >>> issubclass(REBAR, AbstractControlVariate)
        True
    """

    def __post_init__(self) -> None:
        check_temperature(type(self).__name__, self.temperature)

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: draw and two relaxed."""
        return 3

    def _surrogate(self, f, logits):
        wide = widen(logits)
        possible = wide > -torch.inf
        z = draw_one_hot(logits)
        given = posterior_gumbels(wide, z.argmax(-1))
        given = torch.where(possible, given, 0.0)
        # The same value once more, moving with the logits as if nothing were known of the draw:
        # what is common to the two paths cancels.
        free = given.detach() + torch.where(possible, wide - wide.detach(), 0.0)
        known, unknown = (
            self._control(f, _relax(each, possible, self.temperature, logits.dtype))
            for each in (given, free)
        )
        values, log_prob = f(z), log_prob_of(z, logits)
        # The weight is not stopped: its derivative in the logits is multiplied by zero, but the
        # second moment needs the one in the parameters of the control variate.
        return values + (values - known) * (log_prob - log_prob.detach()) + (unknown - known)

    @abstractmethod
    def _control(self, f, x):
        """Evaluate the control variate at relaxed draws."""


@dataclass(frozen=True)
class REBAR(AbstractControlVariate):
    r"""Score function with the function at relaxed draws as its control variate.

    .. math:: \left(f(b) - \eta f(\tilde x)\right) \nabla \log q(b)
        + \eta \nabla f(x) - \eta \nabla f(\tilde x)

    Here ``x`` is relaxed from perturbed logits, and ``x~`` from perturbed logits that are known to
    give the draw ``b``. Unbiased for every temperature and scale; the best ones are learned from
    ``second_moment``. Not for functions that are undefined between one-hot vectors; and
    ``LeaveOneOut`` of four draws is often as good for one evaluation more.

    Args:
        temperature: Positive temperature of the relaxed draws.
        scale: Multiplier of the control variate; zero leaves the score function.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import second_moment
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: 7.0 + 3.0 * z[..., 0, 1]
        >>> log_temperature, scale = torch.zeros((), requires_grad=True), torch.zeros(())
        >>> parameters = [log_temperature, scale.requires_grad_()]
        >>> optimizer, moments = torch.optim.SGD(parameters, lr=0.003), []
        >>> for _ in range(60):  # start with the score function
        ...     rebar = REBAR(log_temperature.exp(), scale)
        ...     moment = second_moment(f, torch.zeros(1, 2), rebar, num_draws=100)
        ...     optimizer.zero_grad()
        ...     moment.backward()
        ...     optimizer.step()
        ...     moments.append(moment.item())
        >>> moments[-1] < 0.1 * moments[0]
        True

    References:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein (2017), REBAR: Low-Variance, Unbiased
        Gradient Estimates for Discrete Latent Variable Models, NeurIPS, arXiv:1703.07370.
    """

    temperature: float | torch.Tensor = 0.5
    scale: float | torch.Tensor = 1.0

    def _control(self, f, x):
        return self.scale * f(x)


@dataclass(frozen=True)
class RELAX(AbstractControlVariate):
    r"""Score function with a learned function of relaxed draws as its control variate.

    .. math:: \left(f(b) - c(\tilde x)\right) \nabla \log q(b) + \nabla c(x) - \nabla c(\tilde x),
        \quad c = r + \eta f

    Unbiased for every ``r``, which is learned from ``second_moment``. Not before ``REBAR`` has
    been tried, which has two parameters to learn instead of a network.

    Args:
        control: The function ``r`` of relaxed draws ``(*batch, variable, class)``, such as a
            network, with values ``(*batch,)``.
        temperature: Positive temperature of the relaxed draws.
        scale: Multiplier of ``f`` in the control variate. By default ``f`` is left to ``r`` and
            evaluated only at the draw.

    Raises:
        ValueError: A temperature that is not positive, or values of ``r`` of another shape.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import second_moment
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: z[..., 0, 1] * 3.0 + 7.0  # a black box, and a plane to follow it
        >>> weights, moments = torch.zeros(2, requires_grad=True), []
        >>> optimizer = torch.optim.SGD([weights], lr=0.3)
        >>> for _ in range(60):
        ...     relax = RELAX(lambda x: x[..., 0, :] @ weights)
        ...     moment = second_moment(f, torch.zeros(1, 2), relax, num_draws=100)
        ...     optimizer.zero_grad()
        ...     moment.backward()
        ...     optimizer.step()
        ...     moments.append(moment.item())
        >>> moments[-1] < 0.1 * moments[0]
        True

    References:
        Grathwohl, Choi, Wu, Roeder, Duvenaud (2018), Backpropagation through the Void:
        Optimizing Control Variates for Black-Box Gradient Estimation, ICLR, arXiv:1711.00123.
    """

    control: Callable[[torch.Tensor], torch.Tensor]
    temperature: float | torch.Tensor = 0.5
    scale: float | torch.Tensor | None = None

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs, the control's apart."""
        return 1 if self.scale is None else 3

    def _control(self, f, x):
        values = self.control(x)
        if values.shape != x.shape[:-2]:
            raise refuse(
                "RELAX",
                f"control returned the shape {tuple(values.shape)} for relaxed draws of the shape "
                f"{tuple(x.shape)}",
                f"one value for each member of the batch, {tuple(x.shape[:-2])}",
                "Sum over what belongs to one member: control(x).sum((-2, -1)).",
            )
        return values if self.scale is None else values + self.scale * f(x)


def _relax(perturbed, possible, temperature, dtype):
    scores = torch.where(possible, perturbed / temperature, -torch.inf)
    return scores.softmax(-1).to(dtype)
