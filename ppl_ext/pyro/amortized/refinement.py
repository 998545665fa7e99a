"""Posteriors of rows that are fitted to each row, from the encoder's answers on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyro.distributions as dist
import torch

from ppl_ext.amortization.gap import AmortizationGap, find_moved, measure_gap
from ppl_ext.pyro.amortized.framed_flows import RowFlow
from ppl_ext.pyro.amortized.gaussians import Gaussian
from ppl_ext.pyro.amortized.posterior import RowPosterior
from ppl_ext.pyro.amortized.row_terms import RowTerms

__all__ = ["RefinedRows", "refine_rows"]

_BATCH_FLOATS = 1_000_000  # of the coordinates of a batch of draws
_STILL = 0.01  # nats for a standard deviation, below which a slope moves little


@dataclass(frozen=True, eq=False, repr=False)
class RefinedRows:
    """Posteriors of rows that were fitted to each row, as ``AutoAmortized.refine`` gives them.

    Args:
        posterior: Of the rows, and of what they share, which is the guide's.
        gap: What the encoder's answers lost against it.
    """

    posterior: RowPosterior
    gap: AmortizationGap

    def __repr__(self) -> str:
        return f"RefinedRows({self.gap!r})"

    def local_posterior(self) -> dist.TorchDistribution:
        """That of the rows on unconstrained space, as the guide's ``local_posterior``."""
        return self.posterior.distribution

    @torch.no_grad()
    def sample_posterior(self, sample_shape: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
        """Draw every latent site.

        Args:
            sample_shape: Shape of the draws.

        Returns:
            ``{site: array[*sample_shape, ...]}``.
        """
        return self.posterior.sample(sample_shape)

    def median(self) -> dict[str, torch.Tensor]:
        """Median of every latent site, ``{site: array}``."""
        return self.posterior.find_median()

    def quantiles(self, quantiles: Sequence[float]) -> dict[str, torch.Tensor]:
        """Quantiles of every latent site.

        Args:
            quantiles: Probabilities between 0 and 1.

        Returns:
            ``{site: array[quantile, ...]}``.
        """
        return self.posterior.find_quantiles(quantiles)


def refine_rows(
    posterior: RowPosterior,
    terms: RowTerms,
    *,
    max_steps: int,
    step_size: float,
    num_particles: int,
    num_draws: int,
) -> RefinedRows:
    """Fit the posterior of each row from the encoder's answer on, and say what it gains.

    Args:
        posterior: The encoder's answers.
        terms: The model.
        max_steps: Steps of Adam, whose size falls to a hundredth.
        step_size: The first of them, in standard deviations of the encoder's answer.
        num_particles: Draws of a gradient.
        num_draws: Draws of the bounds.
    """
    base, shared = posterior.local, posterior.shared
    # Not at the mode, where what ties rows together may have no slope.
    somewhere, _ = base.push(_draw_noise(base, 1)[0])
    terms.refuse_ties(_draw_shared(shared, ()), somewhere)
    change = {name: each.requires_grad_() for name, each in base.start_change().items()}
    adam = torch.optim.Adam(change.values(), step_size, betas=(0.8, 0.99), eps=_STILL)
    falling = torch.optim.lr_scheduler.ExponentialLR(adam, 0.01 ** (1 / max_steps))
    for _ in range(max_steps):
        with torch.enable_grad():
            e = _draw_noise(base, num_particles)
            z, _ = base.moved(change).push(e)
            # The density of a draw is that of a held posterior: no noise is left where it is
            # exact.
            held = base.moved({name: each.detach() for name, each in change.items()})
            log_p = terms.evaluate_all(_draw_shared(shared, (num_particles,)), z)
            loss = (held.log_prob(z) - log_p).sum() / num_particles
            # Of these alone: the parameters of the model are not to gather gradients.
            slopes = torch.autograd.grad(loss, list(change.values()))
        for each, slope in zip(change.values(), slopes, strict=True):
            # A row that cannot be scored stands still and leaves the others alone.
            each.grad = torch.where(slope.isfinite(), slope, 0.0)
        adam.step()
        falling.step()
    found = {name: each.detach() for name, each in change.items()}
    refined = base.moved(found)
    changes = [each.cpu().numpy() for each in found.values()]
    moved = find_moved(changes, step_size=step_size, max_steps=max_steps)
    batches = _compare(posterior, refined, terms, num_draws)
    gap = measure_gap(posterior.layout.plate, batches, moved)
    return RefinedRows(replace(posterior, local=refined), gap)


def _compare(
    posterior: RowPosterior, refined: Gaussian | RowFlow, terms: RowTerms, num_draws: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Terms of both bounds, ``[draw, row]``, a batch at a time."""
    base = posterior.local
    size = max(1, _BATCH_FLOATS // max(1, math.prod(base.loc.shape)))
    for start in range(0, num_draws, size):
        count = min(size, num_draws - start)
        e, shared = _draw_noise(base, count), _draw_shared(posterior.shared, (count,))
        found = []
        for local in (base, refined):
            z, log_q = local.push(e)
            found.append((terms.evaluate_all(shared, z) - log_q).cpu().numpy())
        yield found[0], found[1]


def _draw_noise(base: Gaussian | RowFlow, count: int) -> torch.Tensor:
    loc = base.loc
    return torch.randn((count, *loc.shape), dtype=loc.dtype, device=loc.device)


def _draw_shared(shared: Gaussian | None, shape: tuple[int, ...]) -> torch.Tensor | None:
    return None if shared is None else shared.distribution.sample(torch.Size(shape))
