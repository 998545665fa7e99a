"""A guide of several parts that share the rows of a minibatch and nothing else."""

from collections.abc import Callable, Sequence

import pyro
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoGuideList

from ppl_ext.pyro.guides.peeking import GivenSubsamples, peek_subsamples
from ppl_ext.pyro.tracing.isolation import own_random_state, whole_plates
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["CompositeGuide"]

_DRAWS = 1000  # of a part that knows no quantiles


class CompositeGuide(AutoGuideList):
    """Guides of parts of a model, drawn independently and in one minibatch, as one guide.

    Takes guides of this package and of the host. The host's ``AutoGuideList`` draws rows of its
    own where the model gives them (``plate(subsample=rows)``), cannot draw a posterior, and has no
    quantiles where one of its parts has none. Not for posteriors whose parts depend on each
    other: one guide of all sites is for them.

    Args:
        model: A Pyro model.
        parts: Guides of ``poutine.block(model, hide=[...])``, no site in two of them; more come
            by ``append``.
        create_plates: Host option: a function of the model's arguments that returns the plates.

    Example:
        >>> import pyro.distributions as dist
        >>> from pyro.poutine import block
        >>> from ppl_ext.pyro import AutoFullRank, AutoMeanField, CompositeGuide
        >>> def model():
        ...     pyro.sample("a", dist.Normal(0.0, 1.0))
        ...     pyro.sample("b", dist.Normal(2.0, 1.0))
        >>> parts = [AutoMeanField(block(model, hide=["b"]))]
        >>> parts += [AutoFullRank(block(model, hide=["a"]))]
        >>> guide = CompositeGuide(model, parts)
        >>> sorted(guide.median())
        ['a', 'b']
        >>> guide.sample_posterior(sample_shape=(5,))["b"].shape
        torch.Size([5])

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
    """

    def __init__(
        self,
        model: Callable,
        parts: Sequence[Callable] = (),
        *,
        create_plates: Callable | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates or self._take_given_rows)
        self._given: frozenset[str] = frozenset()
        for part in parts:
            self.append(part)

    def _setup_prototype(self, *args: object, **kwargs: object) -> None:
        with GivenSubsamples() as given:
            super()._setup_prototype(*args, **kwargs)
        self._given = frozenset(given.indices) & set(self._prototype_frames)

    def _take_given_rows(self, *args: object, **kwargs: object) -> list[pyro.plate]:
        """The plates whose rows the model chooses; the host would draw others."""
        if not self._given:
            return []
        rows = peek_subsamples(self.model, self._given, args, kwargs)
        frames = self._prototype_frames
        return [
            pyro.plate(name, frames[name].full_size, subsample=rows[name], dim=frames[name].dim)
            for name in sorted(self._given)
        ]

    @torch.no_grad()
    @in_turn
    def sample_posterior(
        self, *args: object, sample_shape: tuple[int, ...] = (), **kwargs: object
    ) -> dict[str, torch.Tensor]:
        """Draw every latent site, each part by itself.

        Sites of subsampled plates come at full size.

        Args:
            *args: Arguments of the model.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            For each site a tensor of shape ``[*sample_shape, ...]``.
        """
        self._require_setup(args, kwargs)
        values: dict[str, torch.Tensor] = {}
        for part in self:
            values |= self._draw(part, torch.Size(sample_shape), args, kwargs)
        return values

    def median(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        """Median of every latent site, by draws where a part knows none.

        Args:
            *args: Arguments of the model.
            **kwargs: Keyword arguments of the model.
        """
        half = self._summarise("median", [0.5], (), args, kwargs)
        return {name: value.detach() for name, value in half.items()}

    def quantiles(
        self, quantiles: object, *args: object, **kwargs: object
    ) -> dict[str, torch.Tensor]:
        """Quantiles of every latent site, by draws where a part knows none.

        Args:
            quantiles: Probabilities between 0 and 1, shape [quantile].
            *args: Arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            For each site a tensor of shape [quantile, ...].
        """
        return self._summarise("quantiles", quantiles, (quantiles,), args, kwargs)

    @torch.no_grad()
    @in_turn
    def _summarise(
        self, what: str, levels: object, first: tuple, args: tuple, kwargs: dict
    ) -> dict[str, torch.Tensor]:
        self._require_setup(args, kwargs)
        values: dict[str, torch.Tensor] = {}
        for part in self:
            known: dict[str, torch.Tensor] = {}
            if hasattr(part, what):
                try:
                    known = getattr(part, what)(*first, *args, **kwargs) or {}
                except NotImplementedError:
                    known = {}
            if not known:
                with own_random_state(0):
                    draws = self._draw(part, torch.Size([_DRAWS]), args, kwargs)
                known = {
                    name: torch.quantile(value, torch.as_tensor(levels).to(value), dim=0)
                    for name, value in draws.items()
                }
                known = known if first else {name: value[0] for name, value in known.items()}
            values |= known
        return values

    def _require_setup(self, args: tuple, kwargs: dict) -> None:
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)

    def _draw(
        self, part: Callable, sample_shape: torch.Size, args: tuple, kwargs: dict
    ) -> dict[str, torch.Tensor]:
        if hasattr(part, "sample_posterior"):
            return part.sample_posterior(*args, sample_shape=sample_shape, **kwargs)
        # A guide of the host is run once for every draw, on all rows.
        with whole_plates(), poutine.block():
            self.plates = {
                name: pyro.plate(name, frame.full_size or frame.size, dim=frame.dim)
                for name, frame in self._prototype_frames.items()
            }
            runs = [part(*args, **kwargs) for _ in range(max(1, sample_shape.numel()))]
        return {
            name: torch.stack([run[name] for run in runs]).reshape(
                sample_shape + runs[0][name].shape
            )
            for name in runs[0]
        }
