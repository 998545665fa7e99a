"""Flows of rows: the encoder gives their frame, and the context that bends them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints

from ppl_ext.amortization.layout import CONTEXT_DIM
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.pyro.amortized.gaussians import Change, Gaussian, read_encoded
from ppl_ext.pyro.flows import CouplingFlow
from ppl_ext.pyro.flows.distribution import FlowDistribution

__all__ = ["FramedFlow", "RowFlow", "choose_flow", "read_flows"]

_PAIRS = 1024  # antithetic draws of quantiles, times two
_BATCH_FLOATS = 10_000_000


class FramedFlow(TorchDistribution):
    r"""Distribution of :math:`z = \mu + L x`, where a flow draws :math:`x`.

    Args:
        frame: Location and Cholesky factor.
        base: The flow's distribution.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, frame: Gaussian, base: FlowDistribution) -> None:
        self.frame, self.base = frame, base
        self._last: tuple[torch.Tensor, int, torch.Tensor] | None = None
        super().__init__(base.batch_shape, base.event_shape)

    def expand(
        self, batch_shape: torch.Size, _instance: "FramedFlow | None" = None
    ) -> "FramedFlow":
        """The same distribution, repeated to another batch shape."""
        new = self._get_checked_instance(FramedFlow, _instance)
        new.frame, new.base, new._last = self.frame, self.base.expand(batch_shape), None
        super(FramedFlow, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw without a gradient."""
        with torch.no_grad():
            return self.frame.stretch(self.base.sample(sample_shape))

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw with gradients to frame and flow."""
        x, log_q = self.base.rsample_and_log_prob(sample_shape)
        z = self.frame.stretch(x)
        self._last = (z, z._version, log_q - self.frame.log_volume)
        return z

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density of values ``[..., *batch, dim]``."""
        if self._last is not None:
            z, version, log_q = self._last
            # A draw made without gradients knows nothing of theirs.
            known = log_q.requires_grad >= torch.is_grad_enabled()
            if z is value and version == z._version and known:
                return log_q
        if self._validate_args:
            self._validate_sample(value)
        return self.base.log_prob(self.frame.shrink(value)) - self.frame.log_volume


@dataclass(frozen=True)
class RowFlow:
    """A flow for each row, all of one network, and each of its own frame and context.

    Args:
        frame: Gaussians into whose coordinates the flow is put; they are the whole answer before
            it is trained.
        flow: The flow.
        context: What it is conditioned on, ``[..., width]``.
    """

    frame: Gaussian
    flow: torch.nn.Module
    context: torch.Tensor

    @property
    def loc(self) -> torch.Tensor:
        """Locations of the frames, ``[..., dim]``."""
        return self.frame.loc

    @property
    def distribution(self) -> FramedFlow:
        """As the host writes it, ``dim`` an event dimension."""
        return FramedFlow(self.frame, self.flow(self.context))

    def beside(self, ndim: int) -> "RowFlow":
        """The same with so many dimensions of length 1 between the rows and their values."""
        context = self.context.reshape(*self.context.shape[:-1], *(1,) * ndim, -1)
        return RowFlow(self.frame.beside(ndim), self.flow, context)

    def push(self, e: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws ``[..., dim]`` from standard normal noise, and their log densities."""
        x, log_slope = self.flow.push(e, self.context)
        log_e = -0.5 * e.square().sum(-1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)
        return self.frame.stretch(x), log_e - log_slope - self.frame.log_volume

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Log densities of ``z[..., dim]``."""
        return self.distribution.log_prob(z)

    def find_quantiles(self, probability: torch.Tensor) -> torch.Tensor:
        """Quantiles of the coordinates ``[quantile, row, dim]``, from draws that stay the same.

        Args:
            probability: ``[quantile]``.
        """
        rows, dim = self.loc.shape
        half = draw_standard_normal(_PAIRS, dim, seed=0)
        e = torch.as_tensor(np.concatenate([half, -half])[:, None]).to(self.loc)
        size, parts = max(1, _BATCH_FLOATS // (2 * _PAIRS * dim)), []
        for few in (slice(start, start + size) for start in range(0, rows, size)):
            frame = Gaussian(self.loc[few], self.frame.scale[few])
            z, _ = RowFlow(frame, self.flow, self.context[few]).push(e)
            parts.append(_take_quantiles(z, probability))
        return torch.cat(parts, 1)

    def start_change(self) -> dict[str, torch.Tensor]:
        """The change that leaves everything as it is, for `moved`."""
        return self.frame.start_change() | {"context": torch.zeros_like(self.context)}

    def moved(self, change: Change) -> "RowFlow":
        """Another one, its change told in this one's own frame; the network stays."""
        return RowFlow(self.frame.moved(change), self.flow, self.context + change["context"])


def choose_flow(dim: int) -> CouplingFlow:
    """The flow that is taken by default: splines, for one coordinate cannot bend by another."""
    # Beyond four deviations hardly a draw trains the splines: there they only shift.
    return CouplingFlow(dim, CONTEXT_DIM, num_layers=2 if dim == 1 else 4, bound=4.0)


def read_flows(encoded: torch.Tensor, flow: torch.nn.Module) -> RowFlow:
    """The flows of rows.

    Args:
        encoded: What the encoder gave, ``[row, output]``: the frames, and then the contexts.
        flow: The flow.
    """
    frame = read_encoded(encoded[..., :-CONTEXT_DIM], flow.dim, "full_rank")
    return RowFlow(frame, flow, encoded[..., -CONTEXT_DIM:])


def _take_quantiles(z: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    # torch.quantile takes at most 2^24 numbers at once.
    levels = probability.double().cpu().numpy()
    found = np.quantile(z.detach().cpu().numpy(), levels, axis=0)
    return torch.as_tensor(found).to(z)
