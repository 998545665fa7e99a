"""What all guides on flat coordinates share: their sites, and the way to and from NumPy."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from torch.distributions import biject_to, constraints

from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.pyro.guides.peeking import peek_support, visit_draws
from ppl_ext.pyro.guides.point import Point
from ppl_ext.pyro.guides.unconstrained import AbstractUnconstrainedGuide
from ppl_ext.pyro.tracing.run_at_point import bijection_of, is_real, support_of
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["AbstractFlatGuide"]

_PAIRS = 1024  # of fixed draws, where quantiles have no closed form


class AbstractFlatGuide(AbstractUnconstrainedGuide):
    """A Gaussian, or what something makes of one, over the flat latent space of a model."""

    def _support_of(
        self, name: str, earlier: dict[str, torch.Tensor], call: tuple
    ) -> constraints.Constraint:
        """The support of a site, which may depend on the values before it.

        Asked outside of the site's plates, for the model enters plates of the same names.
        """
        if name not in self._moving:
            return support_of(self.prototype_trace.nodes[name])
        rows = {plate.name: plate.indices for plate in self.plates.values()}
        return peek_support(self.model, name, earlier | rows, *call)

    def _sample_transformed(
        self, name: str, unconstrained: torch.Tensor, support: constraints.Constraint
    ) -> torch.Tensor:
        """Emits the site of a model as the image of an unconstrained value sampled before."""
        event_dim = self.prototype_trace.nodes[name]["fn"].event_dim
        transform = biject_to(support)
        value = transform(unconstrained)
        if poutine.get_mask() is False or is_real(support):
            log_density = 0.0
        else:
            jacobian = transform.log_abs_det_jacobian(unconstrained, value)
            log_density = -sum_rightmost(jacobian, jacobian.dim() - value.dim() + event_dim)
        return pyro.sample(name, Point(value, log_density=log_density, event_dim=event_dim))

    def _split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Unconstrained values of the sites from flat[..., dim]."""
        sizes = [shape.numel() for shape in self._shapes.values()]
        return {
            name: part.reshape((*flat.shape[:-1], *shape))
            for part, (name, shape) in zip(
                flat.split(sizes, -1), self._shapes.items(), strict=True
            )
        }

    def _constrain(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Values of the sites from flat[..., dim]."""
        if self._moving:
            return self._constrain_in_turn(flat)
        sites = self.prototype_trace.nodes
        return {name: bijection_of(sites[name])(part) for name, part in self._split(flat).items()}

    def _constrain_in_turn(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same where a support depends on other sites: the model is run for every draw."""
        rows = flat.reshape(-1, flat.shape[-1])
        kind, call = type(self).__name__, self._arguments
        drawn = visit_draws(kind, self._given_model, self._split, rows, *call)
        shape = flat.shape[:-1]
        return {name: drawn[name].reshape(shape + drawn[name].shape[1:]) for name in self._shapes}

    @abstractmethod
    def _flat(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean [dim] and scale [dim] or [dim, dim] of the Gaussian."""

    @abstractmethod
    def _set_flat(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        """Writes what ``_flat`` reads."""

    @abstractmethod
    def _flat_quantiles(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Quantiles of every unconstrained coordinate, shape [..., dim]."""

    @abstractmethod
    def _push(self, noise: torch.Tensor) -> torch.Tensor:
        """Draws on unconstrained space from standard normal noise[draw, dim]."""

    @abstractmethod
    def get_posterior(self, *args: object, **kwargs: object) -> dist.TorchDistribution:
        """The Gaussian on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            *args: Arguments of the model; needed before the first use only.
            **kwargs: Keyword arguments of the model.
        """

    def gaussian(self) -> tuple[np.ndarray, np.ndarray]:
        """Read mean and scale on unconstrained space, in the order of `trace_density`.

        In front of a flow they are its frame.

        Returns:
            loc[dim] and scale[dim] (mean field) or scale_tril[dim, dim] (full rank), float64.
        """
        loc, scale = (tensor.detach().double().cpu().numpy() for tensor in self._flat())
        return loc, scale

    def set_gaussian(self, loc: np.ndarray, scale: np.ndarray) -> None:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide.

        Args:
            loc: Mean, shape [dim].
            scale: Scale [dim] (mean field) or lower Cholesky factor [dim, dim] (full rank).

        Raises:
            ValueError: If a shape does not fit, which is what the guide of another model shows.
        """
        with torch.no_grad():
            old = self._flat()
            new = [
                torch.as_tensor(np.asarray(x)).to(y)
                for x, y in zip((loc, scale), old, strict=True)
            ]
            if any(x.shape != y.shape for x, y in zip(new, old, strict=True)):
                raise ValueError(
                    f"{type(self).__name__}.set_gaussian: loc has shape {tuple(new[0].shape)} and "
                    f"scale {tuple(new[1].shape)}, where {tuple(old[0].shape)} and "
                    f"{tuple(old[1].shape)} are expected. Set the guide up with the arguments the "
                    "Gaussian was fitted with: guide.setup(*args, **kwargs)."
                )
            self._set_flat(*new)

    @torch.no_grad()
    @in_turn
    def median(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        """Median of every latent site.

        Args:
            *args: Arguments of the model; needed before the first use only.
            **kwargs: Keyword arguments of the model.
        """
        self._require_setup(args, kwargs)
        half = torch.full_like(self._flat()[0][:1], 0.5)
        medians = self._constrain(self._flat_quantiles(half)[0])
        return medians | {name: value[0] for name, value in self._drawn_quantiles(half).items()}

    @torch.no_grad()
    @in_turn
    def quantiles(
        self, quantiles: object, *args: object, **kwargs: object
    ) -> dict[str, torch.Tensor]:
        """Quantiles of every latent site.

        Of a Gaussian exact where the bijection works entry by entry, and by fixed draws where it
        depends on other sites.

        Args:
            quantiles: Probabilities between 0 and 1, shape [quantile].
            *args: Arguments of the model; needed before the first use only.
            **kwargs: Keyword arguments of the model.

        Returns:
            For each site a tensor of shape [quantile, ...].
        """
        self._require_setup(args, kwargs)
        loc = self._flat()[0]
        probabilities = torch.as_tensor(quantiles, dtype=loc.dtype, device=loc.device)

        def at(probabilities: torch.Tensor) -> dict[str, torch.Tensor]:
            return self._constrain(self._flat_quantiles(probabilities))

        # A bijection onto an interval without a lower end is decreasing and turns them around.
        quarters = at(torch.tensor([0.25, 0.75]).to(probabilities))
        rising, falling = at(probabilities), at(1 - probabilities)
        exact = {
            name: torch.where(low <= high, rising[name], falling[name])
            for name, (low, high) in quarters.items()
        }
        return exact | self._drawn_quantiles(probabilities)

    def _drawn_quantiles(self, probabilities: torch.Tensor) -> dict[str, torch.Tensor]:
        """Quantiles of the sites whose bijection depends on other sites."""
        if not self._moving:
            return {}
        loc = self._flat()[0]
        half = torch.as_tensor(draw_standard_normal(_PAIRS, len(loc), 0)).to(loc)
        values = self._constrain(self._push(torch.cat([half, -half])))
        levels = probabilities.to(loc)
        return {name: torch.quantile(values[name], levels, dim=0) for name in self._moving}

    @torch.no_grad()
    @in_turn
    def sample_posterior(
        self, *args: object, sample_shape: tuple[int, ...] = (), **kwargs: object
    ) -> dict[str, torch.Tensor]:
        """Draw every latent site.

        Those of subsampled plates come at full size.

        Args:
            *args: Arguments of the model; needed before the first use only.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            For each site a tensor of shape ``[*sample_shape, ...]``.
        """
        self._require_setup(args, kwargs)
        return self._constrain(self.get_posterior().sample(torch.Size(sample_shape)))

    @torch.no_grad()
    def log_prob(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Log density of draws of all latent sites, the Jacobians of their supports included.

        Args:
            values: For each site a tensor of shape ``[*sample_shape, ...]``, as
                ``sample_posterior`` returns them.

        Returns:
            log q, shape sample_shape.

        Raises:
            ValueError: If the support of a site depends on another site.
        """
        if self._moving:
            raise ValueError(
                f"{type(self).__name__}.log_prob: the supports of {sorted(self._moving)} depend "
                "on other sites, where fixed ones are expected. Score a run of the guide: "
                "poutine.trace(guide).get_trace(...).log_prob_sum()."
            )
        parts, log_q = [], 0.0
        for name, shape in self._shapes.items():
            site = self.prototype_trace.nodes[name]
            transform = bijection_of(site)
            value = values[name]
            draws = value.shape[: value.dim() - site["value"].dim()]
            unconstrained = transform.inv(value)
            parts.append(unconstrained.reshape((*draws, shape.numel())))
            if not is_real(support_of(site)):
                jacobian = transform.log_abs_det_jacobian(unconstrained, value)
                log_q = log_q - jacobian.reshape((*draws, -1)).sum(-1)
        return self.get_posterior().log_prob(torch.cat(parts, -1)) + log_q
