"""The posterior of a matrix factorization as a NumPyro guide."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_ext.factorization import Factors, Ratings
from ppl_ext.factorization.model.side_features import read_designs
from ppl_ext.factorization.result.factors import open_factors
from ppl_ext.factorization.result.parameters import (
    draw_tree,
    guide_parameters,
    restore_factors,
)
from ppl_ext.numpyro.factorization.model import constrain_parameter

if TYPE_CHECKING:
    import xarray

__all__ = ["FactorGuide"]


class FactorGuide:
    r"""The Gaussians and Gammas of fitted factors as a guide of the host, its parameters free.

    .. math:: q = \prod_i N(w_i; m_i, L_i L_i')\, \Gamma(a_i; s_i, t_i)
              \prod_j N(w_j; m_j, L_j L_j')\, \Gamma(g_j; s_j, t_j)

    With features also :math:`\prod_k N(z_k; m_k, C C')` for each row of z, see `FactorModel`.

    It begins where the factors are: the host's ``Trace_ELBO`` is theirs, and ``SVI`` goes on from
    them. For a fresh start, take those of `ppl_ext.factorization.begin_factors`. Covariances are
    diagonal where those of the factors are. Not for rows by the million: every step draws all of
    them.

    Parameters are ``user_loc``, ``user_scale_tril`` (``user_scale`` if diagonal), ``user_shape``,
    ``user_rate``, with features ``user_regression_loc`` and ``user_regression_scale_tril``, and
    the same of ``item``.

    Args:
        factors: The factors.
        user_features: Features of all users of the factors, as in the fit; None where it had none.
        item_features: The same of items.

    Raises:
        ValueError: The features are not those of the fit.
        TypeError: These are no factors, or a feature is no number.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> from ppl_ext.numpyro.factorization import CAVI
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> guide = FactorGuide(factors)
        >>> drawn = numpyro.handlers.trace(numpyro.handlers.seed(guide, rng_seed=0)).get_trace()
        >>> drawn["user_vector"]["value"].shape
        (30, 3)
        >>> params = CAVI(MatrixFactorization(2)).get_params(factors)  # or those of svi.run
        >>> bool(abs(guide.to_factors(params, ratings).elbo[-1] - factors.elbo[-1]) < 10)
        True
    """

    def __init__(
        self, factors: Factors, *, user_features: Any = None, item_features: Any = None
    ) -> None:
        posterior = open_factors("FactorGuide", factors)
        self._designs = read_designs("FactorGuide", posterior, user_features, item_features)
        self.factors = factors
        self._initial = {
            name: jnp.asarray(value, dtype=jnp.result_type(float))
            for name, value in guide_parameters(posterior).items()
        }

    def __call__(
        self,
        users: Any = None,
        items: Any = None,
        ratings: Any = None,
        *,
        batch_size: int | None = None,
    ) -> None:
        """Draw all latent sites; the arguments are those of the model and have no effect.

        Args:
            users: Not used.
            items: Not used.
            ratings: Not used.
            batch_size: Not used.
        """
        params = {
            name: numpyro.param(name, value, constraint=constrain_parameter(name))
            for name, value in self._initial.items()
        }
        for name, side in self.factors.posterior.sides:
            if self.factors.posterior.diagonal:
                lower = params[f"{name}_scale"][..., None] * jnp.eye(side.dim)
            else:
                lower = params[f"{name}_scale_tril"]
            if side.regression is not None:
                drawn = dist.MultivariateNormal(
                    params[f"{name}_regression_loc"],
                    scale_tril=params[f"{name}_regression_scale_tril"],
                )
                numpyro.sample(f"{name}_regression", drawn.to_event(1))
            with numpyro.plate(name, len(side), dim=-1):
                vector = dist.MultivariateNormal(params[f"{name}_loc"], scale_tril=lower)
                numpyro.sample(f"{name}_vector", vector)
                if side.concentration:
                    shape, rate = params[f"{name}_shape"], params[f"{name}_rate"]
                    numpyro.sample(f"{name}_weight", dist.Gamma(shape, rate))

    def to_factors(
        self, params: Mapping[str, jax.Array], ratings: Ratings | None = None
    ) -> Factors:
        """Turn the guide's parameters into factors, with all that factors can do.

        What a `FactorModel` with ``learn=True`` has learned of prior and noise goes with them.

        Args:
            params: Parameters, as ``svi.get_params`` gives them.
            ratings: Ratings to measure the ELBO on, in closed form; it is NaN if None.

        Returns:
            The factors; ``MatrixFactorization.fit(ratings, start=factors)`` goes on from them.

        Raises:
            ValueError: A parameter is missing, or of another shape.
        """
        self._check_params(params)
        arrays = {name: np.asarray(value) for name, value in params.items()}
        return restore_factors(self.factors.posterior, arrays, ratings, self._designs)

    def to_datatree(
        self, rng_key: jax.Array, params: Mapping[str, jax.Array], num_draws: int = 100
    ) -> "xarray.DataTree":
        """Draw from the guide and arrange the draws as an ArviZ tree, as factors do theirs.

        Not for large tables: every draw holds all factors.

        Args:
            rng_key: Random key.
            params: Parameters, as ``svi.get_params`` gives them.
            num_draws: Number of draws.

        Returns:
            A tree with ``user_factors``, ``item_factors`` and, where the model has them,
            ``user_bias`` and ``item_bias``; users and items are labelled. With features also
            ``user_coefficients``, ``user_bias_coefficients`` and the same of items.

        Raises:
            ValueError: A parameter is missing, or of another shape.
        """
        self._check_params(params)
        drawn = numpyro.infer.Predictive(self, params=dict(params), num_samples=num_draws)(rng_key)
        vectors = {name: np.asarray(drawn[f"{name}_vector"]) for name in ("user", "item")}
        regressions = {name: np.asarray(drawn[f"{name}_regression"]) for name in self._designs}
        return draw_tree(self.to_factors(params), vectors, regressions)

    def _check_params(self, params: Mapping[str, jax.Array]) -> None:
        for name, value in self._initial.items():
            found = np.shape(params[name]) if name in params else None
            if found != value.shape:
                raise ValueError(
                    f"FactorGuide: the parameter {name!r} has the shape {found}; expected "
                    f"{value.shape}, as these factors have. Take those of this guide's own SVI: "
                    "svi.get_params(state)."
                )
