"""The invertible Gaussian relaxation of a choice."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints, register_kl

from ppl_ext.pyro.distributions.remembered_scores import recall, remember
from ppl_ext.pyro.gumbel.arguments import check_axis, read_floats, read_temperature, widen
from ppl_ext.pyro.gumbel.simplex import rounded_simplex, softmax

__all__ = ["InvertibleGaussian"]


class InvertibleGaussian(TorchDistribution):
    r"""Gaussians pushed onto the simplex: a relaxed choice with a divergence in closed form.

    .. math:: x = \mathrm{softmax}(y_1 / \tau, \dots, y_{K-1} / \tau, 0), \quad
        y \sim \mathrm{Normal}(\mu, \sigma), \quad
        \log q(x) = \sum_{k<K} \log \mathrm{Normal}\left(\tau \log \tfrac{x_k}{x_K};
        \mu_k, \sigma_k\right) + (K - 1) \log \tau - \sum_k \log x_k

    A density of the first ``K - 1`` coordinates. The divergence of two is that of their Gaussians
    at whatever temperatures. The probability of each class to be the largest has no closed form:
    where the logits matter, use ``RelaxedOneHotCategorical``. A
    draw keeps its logarithm for as long as the same tensor lives.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        loc: Means ``(*batch, class - 1)``; zero favours no class over the last.
        scale: Standard deviations, positive. Broadcasts against ``loc``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, a scale that is not
            positive, NaN, integers, no axis of classes.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> relaxed = InvertibleGaussian(0.1, torch.zeros(9), torch.ones(9))
        >>> x = relaxed.rsample((1000,))
        >>> x.shape, bool(relaxed.log_prob(x).isfinite().all())
        (torch.Size([1000, 10]), True)

    References:
        Potapczynski, Loaiza-Ganem, Cunningham (2020), Invertible Gaussian Reparameterization:
        Revisiting the Gumbel-Softmax, NeurIPS, arXiv:1912.09588.
    """

    arg_constraints = {  # noqa: RUF012
        "temperature": constraints.positive,
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    has_rsample = True

    def __init__(
        self,
        temperature: torch.Tensor | float,
        loc: torch.Tensor,
        scale: torch.Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        loc = check_axis(name, "loc", read_floats(name, "loc", loc))
        scale = read_floats(name, "scale", scale, like=loc)
        loc, scale = torch.broadcast_tensors(loc, scale)
        temperature = read_temperature(name, temperature, loc, loc.shape[:-1], validate_args)
        batch_shape = torch.broadcast_shapes(temperature.shape, loc.shape[:-1])
        self.temperature = temperature.expand(batch_shape)
        self.loc = loc.expand(*batch_shape, loc.shape[-1])
        self.scale = scale.expand(*batch_shape, loc.shape[-1])
        event_shape = torch.Size([loc.shape[-1] + 1])
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """Return the same distribution over a larger batch."""
        new = self._get_checked_instance(InvertibleGaussian, _instance)
        batch_shape = torch.Size(batch_shape)
        new.temperature = self.temperature.expand(batch_shape)
        new.loc = self.loc.expand(batch_shape + self.loc.shape[-1:])
        new.scale = self.scale.expand(batch_shape + self.loc.shape[-1:])
        super(InvertibleGaussian, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def support(self):
        """The simplex; in half precision up to its rounding."""
        narrow = self.loc.dtype != widen(self.loc).dtype
        return rounded_simplex if narrow else constraints.simplex

    def rsample(self, sample_shape=()):
        """Draw with gradients to location, scale and temperature."""
        loc, scale = widen(self.loc), widen(self.scale)
        shape = (*sample_shape, *loc.shape)
        noise = torch.randn(shape, dtype=loc.dtype, device=loc.device)
        ratios = (loc + scale * noise) / self.temperature.unsqueeze(-1)
        scores = torch.nn.functional.pad(ratios, (0, 1))
        return remember(softmax(scores).to(self.loc.dtype), scores)

    def log_prob(self, value):
        """Return the log-density at a value on the simplex."""
        if self._validate_args:
            self._validate_sample(value)
        scores = recall(value)
        log_x = widen(value).log() if scores is None else scores.log_softmax(-1)
        inside = (log_x > -torch.inf).all(-1)
        log_x = torch.where(inside.unsqueeze(-1), log_x, 0.0)
        scores = log_x if scores is None else scores
        y = self.temperature.unsqueeze(-1) * (scores[..., :-1] - scores[..., -1:])
        z = (y - widen(self.loc)) / widen(self.scale)
        normal = -0.5 * z.square() - widen(self.scale).log() - 0.5 * math.log(2 * math.pi)
        spread = self.loc.shape[-1] * self.temperature.log()
        density = torch.where(inside, normal.sum(-1) + spread - log_x.sum(-1), -torch.inf)
        return density.to(self.loc.dtype)


@register_kl(InvertibleGaussian, InvertibleGaussian)
def _kl_invertible_gaussian(p, q):
    p_loc, p_scale = (widen(each) / p.temperature.unsqueeze(-1) for each in (p.loc, p.scale))
    q_loc, q_scale = (widen(each) / q.temperature.unsqueeze(-1) for each in (q.loc, q.scale))
    log_ratio = p_scale.log() - q_scale.log()
    shift = ((p_loc - q_loc) / q_scale).square()
    terms = 0.5 * (torch.expm1(2 * log_ratio) + shift) - log_ratio
    return terms.sum(-1).to(p.loc.dtype)
