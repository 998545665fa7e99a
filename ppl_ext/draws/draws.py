"""Draws of a fitted guide with both densities: what a room hands to diagnostics and ArviZ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.draws.datatree import build_tree

if TYPE_CHECKING:
    import xarray

__all__ = ["Draws"]


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Draws from a guide, each with its log density under the model and under the guide.

    ``log_p`` and ``log_q`` are densities on the same space, constrained or not, so that their
    difference is the log importance weight of a draw.

    Args:
        values: ``{site: array[draw, ...]}``, latent and deterministic sites, constrained.
        log_p: ``[draw]``, log density of model and data in nats.
        log_q: ``[draw]``, log density of the guide over all latent sites in nats.
        dims: ``{site: names}`` of the leading (plate) axes of a value; observed sites too.
        coords: ``{dimension: labels}``.
        observed: ``{site: array}``.
        log_likelihood: ``{observed site: array[draw, ...]}``, one entry for each datum.
        posterior_predictive: ``{observed site: array[draw, ...]}``.
        chains: Number of independent fits, their draws stored one after the other.
        resampled: True after `resample`: the draws follow the posterior, not the guide.
        khat: Pareto k-hat of the importance weights where it is known.

    Raises:
        ValueError: An array has another number of draws than ``log_p``, or the draws cannot be
            divided into ``chains``.

    Example:
        >>> draws = Draws({"mu": np.zeros(4)}, log_p=np.zeros(4), log_q=np.ones(4))
        >>> draws.log_weights.tolist()
        [-1.0, -1.0, -1.0, -1.0]
        >>> draws
        Draws(num_draws=4, chains=1, resampled=False, values={'mu': ()})
    """

    values: Mapping[str, np.ndarray]
    log_p: np.ndarray
    log_q: np.ndarray
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    observed: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_likelihood: Mapping[str, np.ndarray] = field(default_factory=dict)
    posterior_predictive: Mapping[str, np.ndarray] = field(default_factory=dict)
    chains: int = 1
    resampled: bool = False
    khat: float | None = None

    def __post_init__(self) -> None:
        for name in ("log_p", "log_q"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        for name in ("values", "observed", "log_likelihood", "posterior_predictive"):
            arrays = {site: np.asarray(array) for site, array in getattr(self, name).items()}
            object.__setattr__(self, name, arrays)
        if self.log_p.ndim != 1 or self.log_p.shape != self.log_q.shape or not self.num_draws:
            raise ValueError(
                f"Draws: log_p has shape {self.log_p.shape} and log_q {self.log_q.shape}; both "
                "must be [draw], one log density for each draw."
            )
        if self.chains < 1 or self.num_draws % self.chains:
            raise ValueError(
                f"Draws: {self.num_draws} draws cannot be divided into chains={self.chains}; "
                "give every chain the same number of draws."
            )
        for group in ("values", "log_likelihood", "posterior_predictive"):
            for site, array in getattr(self, group).items():
                if array.shape[:1] != (self.num_draws,):
                    raise ValueError(
                        f"Draws: site '{site}' in {group} has shape {array.shape}, but log_p has "
                        f"{self.num_draws} draws. Put the draws on the first axis."
                    )

    def __repr__(self) -> str:
        shapes = {site: array.shape[1:] for site, array in self.values.items()}
        return (
            f"Draws(num_draws={self.num_draws}, chains={self.chains}, "
            f"resampled={self.resampled}, values={shapes})"
        )

    @property
    def num_draws(self) -> int:
        """Number of draws over all chains."""
        return len(self.log_p)

    @property
    def log_weights(self) -> np.ndarray:
        """Log importance weights ``log_p - log_q``, ``[draw]``, not normalised."""
        self._refuse_resampled("log_weights")
        log_weights: np.ndarray = self.log_p - self.log_q
        return log_weights

    def resample(self, seed: int | np.random.Generator, n: int | None = None) -> Draws:
        r"""Draw again, in proportion to the Pareto-smoothed importance weights.

        Moves the draws from the guide to the posterior as far as the guide reaches: where k-hat
        is above 0.7 it does not, and no resampling mends that. Draws repeat; equal weights keep
        each of them once. Systematic resampling, in random order.

        Args:
            seed: Seed or generator of the resampling.
            n: Number of draws wanted; as many as there are if None.

        Returns:
            Draws with ``resampled=True``, k-hat and a single chain.

        Raises:
            ValueError: ``n`` is not positive, the draws are resampled already, or their weights
                are NaN, infinite or all zero.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> x = 2 * rng.normal(size=20_000)
            >>> draws = Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 8)
            >>> round(float(draws.resample(seed=0).values["x"].std()), 1)
            1.0

        References:
            Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling,
            JMLR 25(72).
        """
        from ppl_ext.draws.psis import smooth_weights

        self._refuse_resampled("resample")
        count = self.num_draws if n is None else n
        if count < 1:
            raise ValueError(
                f"Draws.resample: n = {n}; expected a positive whole number, or None for as many "
                "as there are: draws.resample(seed, n=4000)."
            )
        smoothed = smooth_weights(self.log_weights)
        rng = np.random.default_rng(seed)
        cumulative = np.cumsum(np.exp(smoothed.log_weights))
        positions = (np.arange(count) + rng.uniform()) / count * cumulative[-1]
        chosen = rng.permutation(np.searchsorted(cumulative, positions, side="right"))

        def pick(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {site: array[chosen] for site, array in arrays.items()}

        return replace(
            self,
            values=pick(self.values),
            log_p=self.log_p[chosen],
            log_q=self.log_q[chosen],
            log_likelihood=pick(self.log_likelihood),
            posterior_predictive=pick(self.posterior_predictive),
            chains=1,
            resampled=True,
            khat=smoothed.khat,
        )

    def to_datatree(self, *, attrs: Mapping[str, Any] | None = None) -> xarray.DataTree:
        """Arrange the draws as an ArviZ tree, for every plot and statistic of ArviZ.

        Groups ``posterior``, ``sample_stats`` (``lp`` and ``log_q``), and, where there is
        something to put in, ``log_likelihood``, ``posterior_predictive`` and ``observed_data``.
        Write it with ``tree.to_netcdf(path)``. Not for leave-one-out with ArviZ's ``loo``, which
        takes the draws for the posterior's own: see `ppl_ext.draws.estimate_loo`.

        Args:
            attrs: Further attributes of the tree and its posterior.

        Returns:
            A tree with dimensions ``(chain, draw, plates..., event...)``.

        Raises:
            ValueError: Names or sizes clash; see `ppl_ext.draws.build_tree`.

        Example:
            >>> draws = Draws({"mu": np.zeros(4)}, log_p=np.zeros(4), log_q=np.ones(4), chains=2)
            >>> tree = draws.to_datatree()
            >>> sorted(tree.children), tree["posterior"]["mu"].shape
            (['posterior', 'sample_stats'], (2, 2))
        """
        known: dict[str, Any] = {"resampled": int(self.resampled)}
        if self.khat is not None:
            known["khat"] = self.khat
        return build_tree(
            self.values,
            chains=self.chains,
            sample_stats={"lp": self.log_p, "log_q": self.log_q},
            log_likelihood=self.log_likelihood,
            posterior_predictive=self.posterior_predictive,
            observed=self.observed,
            dims=self.dims,
            coords=self.coords,
            attrs={**known, **(attrs or {})},
        )

    def _refuse_resampled(self, called: str) -> None:
        if self.resampled:
            raise ValueError(
                f"Draws.{called}: these draws were resampled and follow the posterior already; "
                "weighting them again would count the weights twice. Use the raw draws."
            )
