"""Distributions of the host that ``vmap`` cannot follow, with the same densities.

Torch and Pyro write into tensors in place, and look at their values, where these distributions are
made or scored. A model with one of them would have to be called draw by draw.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyro.distributions as dist
import torch
from pyro.distributions.distribution import COERCIONS
from torch.distributions import Chi2

from ppl_ext.pyro.tracing.vectorisation.counts import draw_counts

__all__ = ["vectorised_distributions"]

_NO_SHAPE = torch.Size()


class Multinomial(dist.Multinomial):
    """Pyro's ``Multinomial``; a class of probability zero that is not drawn counts for nothing."""

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        if self._validate_args:
            self._validate_sample(value)
        unseen = (value == 0) & (self.logits == -torch.inf)
        powers = torch.where(unseen, 0.0, self.logits) * value
        orders = torch.lgamma(value.sum(-1) + 1) - torch.lgamma(value + 1).sum(-1)
        return orders + powers.sum(-1)


class DirichletMultinomial(dist.DirichletMultinomial):
    """Pyro's ``DirichletMultinomial``; its sparse way skips terms that are zero anyway."""

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        if self._validate_args:
            self._validate_sample(value)
        alpha = self.concentration
        return _log_beta_of_one(alpha.sum(-1), value.sum(-1)) - _log_beta_of_one(alpha, value).sum(
            -1
        )

    def sample(self, sample_shape: torch.Size = _NO_SHAPE) -> torch.Tensor:
        """Draw counts; the totals may differ from row to row, which the host refuses."""
        with torch.no_grad():
            return draw_counts(self.total_count, self._dirichlet.sample(torch.Size(sample_shape)))


class OrderedLogistic(dist.OrderedLogistic):
    """Pyro's ``OrderedLogistic``, the probabilities of its classes joined instead of filled in."""

    def __init__(
        self,
        predictor: torch.Tensor,
        cutpoints: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        below = torch.sigmoid(cutpoints - predictor.unsqueeze(-1))
        self.predictor = predictor.expand(below.shape[:-1])
        self.cutpoints = cutpoints.expand(below.shape)
        between = below[..., 1:] - below[..., :-1]
        probs = torch.cat([below[..., :1], between, 1 - below[..., -1:]], dim=-1)
        dist.Categorical.__init__(self, probs, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "OrderedLogistic":
        # The host expands a class with a constructor of its own into an instance that it is given.
        return super().expand(batch_shape, _instance or self.__new__(type(self)))


class Wishart(dist.Wishart):
    """Pyro's ``Wishart``, whose degrees of freedom are not looked at when it is made.

    Too few have the density zero, as all arguments out of their bounds; see `refuse_invalid`.
    """

    def __init__(
        self,
        df: torch.Tensor,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = (covariance_matrix, precision_matrix, scale_tril)
        size = next(each for each in given if each is not None).shape[-1]
        enough = torch.full(df.shape, float(size), dtype=df.dtype, device=df.device)
        super().__init__(enough, *given, validate_args=validate_args)
        self.df = df.expand(self.batch_shape)
        steps = torch.arange(size, dtype=df.dtype, device=df.device)
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - steps)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "Wishart":
        # The host expands a class with a constructor of its own into an instance that it is given.
        return super().expand(batch_shape, _instance or self.__new__(type(self)))


_VECTORISED = {
    getattr(dist, each.__name__): each
    for each in (Multinomial, DirichletMultinomial, OrderedLogistic, Wishart)
}


@contextmanager
def vectorised_distributions() -> Iterator[None]:
    """Lets a model that makes one of the host's distributions make the one of this file.

    By the host's own list of functions that are asked before a distribution is made.
    """
    COERCIONS.append(_choose)
    try:
        yield
    finally:
        COERCIONS.remove(_choose)


def _choose(made: Callable, args: tuple, kwargs: dict) -> object:
    """The distribution in place of the host's; None where that may stay."""
    vectorised = _VECTORISED.get(made)
    if vectorised is Wishart:
        df = args[0] if args else kwargs.get("df")
        # A number is the same for all draws, and the host refuses a wrong one.
        vectorised = Wishart if isinstance(df, torch.Tensor) else None
    return None if vectorised is None else vectorised(*args, **kwargs)


def _log_beta_of_one(alpha: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return torch.lgamma(1 + value) + torch.lgamma(alpha) - torch.lgamma(value + alpha)
