"""Draws of a fitted guide with both densities: what a room hands to diagnostics and ArviZ."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.draws.datatree import build_tree
from ppl_ext.draws.psis import smooth_weights
from ppl_ext.draws.resampling import choose_rows
from ppl_ext.draws.seeds import make_generator
from ppl_ext.draws.summary import render_summary
from ppl_ext.fitting.calls import check_count
from ppl_ext.markup import render_fragment, render_heading, render_table

if TYPE_CHECKING:
    import xarray

__all__ = ["Draws"]

_WIDTH = 88  # columns of a printed line
_SHOWN = 20  # elements in a notebook
_LOO = "ppl_ext.draws.estimate_loo"
# What has a value for each draw, beside the two densities.
_GROUPS = ("values", "log_likelihood", "weighted_log_likelihood", "posterior_predictive")


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
        weighted_log_likelihood: The same of the sites whose data a handler scales, as ``log_p``
            counts them: times their weights.
        posterior_predictive: ``{observed site: array[draw, ...]}``.
        chains: Number of independent fits, their draws stored one after the other.
        resampled: True where the draws follow the posterior and not the guide: after `resample`,
            or where a fit climbed beyond its guide.
        khat: Pareto k-hat of the importance weights by which `resample` drew; else None.
        make_generator: What `resample` makes of a seed; a room takes its host's random keys too.

    Raises:
        ValueError: An array has another number of draws than ``log_p``, or the draws cannot be
            divided into ``chains``.

    Example:
        >>> draws = Draws({"mu": np.zeros(4)}, log_p=np.zeros(4), log_q=np.ones(4))
        >>> draws.log_weights.tolist()
        [-1.0, -1.0, -1.0, -1.0]
        >>> draws
        Draws(4 draws of mu)
    """

    values: Mapping[str, np.ndarray]
    log_p: np.ndarray
    log_q: np.ndarray
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    observed: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_likelihood: Mapping[str, np.ndarray] = field(default_factory=dict)
    weighted_log_likelihood: Mapping[str, np.ndarray] = field(default_factory=dict)
    posterior_predictive: Mapping[str, np.ndarray] = field(default_factory=dict)
    chains: int = 1
    resampled: bool = False
    khat: float | None = None
    make_generator: Callable[[Any], np.random.Generator] = make_generator

    def __post_init__(self) -> None:
        for name in ("log_p", "log_q"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        for name in ("observed", *_GROUPS):
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
        for group in _GROUPS:
            for site, array in getattr(self, group).items():
                if array.shape[:1] != (self.num_draws,):
                    raise ValueError(
                        f"Draws: site '{site}' in {group} has shape {array.shape}, but log_p has "
                        f"{self.num_draws} draws. Put the draws on the first axis."
                    )

    def __repr__(self) -> str:
        sites = ", ".join(
            f"{name}{list(array.shape[1:]) or ''}" for name, array in self.values.items()
        )
        text = f"Draws({self._kind} of {sites or 'no site'})"
        return textwrap.shorten(text, _WIDTH, placeholder=" ...)")

    def _repr_html_(self) -> str:
        groups = {
            "observed": self.observed,
            "log likelihood": self.log_likelihood,
            "posterior predictive": self.posterior_predictive,
        }
        along = [(name, ", ".join(group)) for name, group in groups.items() if group]
        table = render_summary(self.values, self.dims, self.coords, _SHOWN)
        heading = render_heading(f"Draws: {self._kind}")
        return render_fragment([heading, *table, render_table(along)])

    @property
    def _kind(self) -> str:
        kind = "draws"
        if self.resampled:
            kind = "posterior draws" if self.khat is None else "resampled draws"
        chains = f" in {self.chains} chains" if self.chains > 1 else ""
        return f"{self.num_draws:,} {kind}{chains}"

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

    def resample(self, seed: Any = None, num_draws: int | None = None) -> Draws:
        r"""Draw again, in proportion to the Pareto-smoothed importance weights.

        Moves the draws from the guide to the posterior as far as the guide reaches: where k-hat
        is above 0.7 it does not, and no resampling mends that. Draws repeat; equal weights keep
        each of them once. Systematic resampling, in random order.

        Args:
            seed: Seed of the resampling, a whole number or a ``numpy.random.Generator``; in the
                NumPyro room a random key too. If None it comes from the draws, so that the same
                draws are resampled alike.
            num_draws: Number of draws wanted; as many as there are if None.

        Returns:
            Draws with ``resampled=True``, k-hat and a single chain.

        Raises:
            ValueError: ``seed`` is none, ``num_draws`` is not positive, the draws are resampled
                already, or their weights are NaN, infinite or all zero.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> x = 2 * rng.normal(size=20_000)
            >>> draws = Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 8)
            >>> round(float(draws.resample().values["x"].std()), 1)
            1.0

        References:
            Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling,
            JMLR 25(72).
        """
        self._refuse_resampled("resample")
        count = self.num_draws if num_draws is None else num_draws
        check_count("Draws.resample", "num_draws", count, "draws.resample(num_draws=4000)")
        rng = self._own_generator() if seed is None else self.make_generator(seed)
        smoothed = smooth_weights(self.log_weights)
        chosen = rng.permutation(choose_rows(smoothed.weights, count, rng))

        def pick(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {site: array[chosen] for site, array in arrays.items()}

        return replace(
            self,
            values=pick(self.values),
            log_p=self.log_p[chosen],
            log_q=self.log_q[chosen],
            log_likelihood=pick(self.log_likelihood),
            weighted_log_likelihood=pick(self.weighted_log_likelihood),
            posterior_predictive=pick(self.posterior_predictive),
            chains=1,
            resampled=True,
            khat=smoothed.khat,
        )

    def to_datatree(self, *, attrs: Mapping[str, Any] | None = None) -> xarray.DataTree:
        """Arrange the draws as an ArviZ tree, for every plot and statistic of ArviZ.

        Groups ``posterior``, ``sample_stats`` (``lp`` and ``log_q``), and, where there is
        something to put in, ``log_likelihood``, ``weighted_log_likelihood`` (where a handler
        scales the data), ``posterior_predictive`` and ``observed_data``.
        Write it with ``tree.to_netcdf(path)``. Not for leave-one-out with ArviZ's ``loo``, which
        takes the draws for the posterior's own: `ppl_ext.draws.estimate_loo`, as the tree's
        attribute ``leave_one_out`` says.

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
        known: dict[str, Any] = {"resampled": int(self.resampled), "leave_one_out": _LOO}
        if self.khat is not None:
            known["khat"] = self.khat
        return build_tree(
            self.values,
            chains=self.chains,
            sample_stats={"lp": self.log_p, "log_q": self.log_q},
            log_likelihood=self.log_likelihood,
            weighted_log_likelihood=self.weighted_log_likelihood,
            posterior_predictive=self.posterior_predictive,
            observed=self.observed,
            dims=self.dims,
            coords=self.coords,
            attrs={**known, **(attrs or {})},
        )

    def _own_generator(self) -> np.random.Generator:
        digest = hashlib.blake2b(self.log_p.tobytes() + self.log_q.tobytes(), digest_size=16)
        return np.random.default_rng(np.frombuffer(digest.digest(), dtype=np.uint32))

    def _refuse_resampled(self, called: str) -> None:
        if self.resampled:
            raise ValueError(
                f"Draws.{called}: these draws follow the posterior already; weighting them again "
                "would count the weights twice. Take them as they are, or a guide's own: "
                "fit(..., climb=False)."
            )
