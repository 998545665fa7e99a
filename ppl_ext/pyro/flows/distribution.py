"""The distribution that a flow makes of a standard normal one."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints

__all__ = ["FlowDistribution"]


class FlowDistribution(TorchDistribution):
    r"""Distribution of the image of a standard normal vector under a flow.

    .. math:: x = T(e; c), \quad e \sim N(0, I), \qquad
        \log q(x) = \log N(e; 0, I) - \log |\det \partial T / \partial e|

    The last draw of ``rsample`` is kept with its density, so that the ``log_prob`` of that very
    tensor costs nothing. Not for moments or distribution functions, which a flow does not know.

    Args:
        flow: The flow; its parameters are read at every call.
        context: What the flow is conditioned on, shape ``[*batch, context_dim]``; None for a
            flow without a context.
        base: Distribution of ``e``, one without batch over vectors ``[dim]``; the standard normal
            one if None.

    Example:
        >>> from ppl_ext.pyro.flows import CouplingFlow
        >>> normal = FlowDistribution(CouplingFlow(3))  # the identity, before it is trained
        >>> normal.event_shape, round(normal.log_prob(torch.zeros(3)).item(), 4)
        (torch.Size([3]), -2.7568)

    References:
        Papamakarios, Nalisnick, Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for
        probabilistic modeling and inference, JMLR 22(57).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        flow: torch.nn.Module,
        context: torch.Tensor | None = None,
        base: TorchDistribution | None = None,
    ) -> None:
        self.flow = flow
        self.context = context
        self.base = base
        batch_shape = torch.Size() if context is None else context.shape[:-1]
        self._last: tuple[torch.Tensor, int, torch.Tensor] | None = None
        super().__init__(batch_shape, torch.Size([flow.dim]))

    def expand(
        self, batch_shape: torch.Size, _instance: "FlowDistribution | None" = None
    ) -> "FlowDistribution":
        """The same distribution, repeated to another batch shape."""
        new = self._get_checked_instance(FlowDistribution, _instance)
        new.flow, new.context, new.base, new._last = self.flow, self.context, self.base, None
        if self.context is not None:
            new.context = self.context.expand(*batch_shape, -1)
        super(FlowDistribution, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw without a gradient."""
        with torch.no_grad():
            return self.rsample_and_log_prob(sample_shape)[0]

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw with the gradient of the flow; an autoregressive one needs a pass for each dim."""
        x, log_q = self.rsample_and_log_prob(sample_shape)
        self._last = (x, x._version, log_q)
        return x

    def rsample_and_log_prob(
        self,
        sample_shape: torch.Size = torch.Size(),  # noqa: B008
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw, with the log density of every draw from the same pass.

        Args:
            sample_shape: Shape of the draws.

        Returns:
            Draws ``[*sample_shape, *batch, dim]`` and their log densities.
        """
        like = next(self.flow.parameters())
        shape = self._extended_shape(torch.Size(sample_shape))
        if self.base is None:
            e = torch.randn(shape, dtype=like.dtype, device=like.device)
        else:
            e = self.base.rsample(shape[:-1]).to(like)
        x, log_slope = self.flow.push(e, self.context)
        return x, self._log_base(e) - log_slope

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density of values ``[..., *batch, dim]``."""
        if self._last is not None:
            x, version, log_q = self._last
            # A draw made without gradients knows nothing of theirs.
            if x is value and version == x._version and log_q.requires_grad >= _is_wanted(self):
                return log_q
        if self._validate_args:
            self._validate_sample(value)
        return self.log_prob_with_noise(value)[0]

    def log_prob_with_noise(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log density of values ``[..., *batch, dim]``, and the noise ``e`` of each."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
        e, log_slope = self.flow.pull(value.expand(shape), self.context)
        return self._log_base(e) - log_slope, e

    def _log_base(self, e: torch.Tensor) -> torch.Tensor:
        if self.base is not None:
            return self.base.log_prob(e)
        return -0.5 * (e**2).sum(-1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)


def _is_wanted(distribution: FlowDistribution) -> bool:
    """Whether a density computed now would carry a gradient."""
    return torch.is_grad_enabled() and any(
        parameter.requires_grad for parameter in distribution.flow.parameters()
    )
