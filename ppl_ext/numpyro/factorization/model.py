"""The model of a matrix factorization as a NumPyro program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from ppl_ext.factorization import Factors, Ratings
from ppl_ext.factorization.model.side_features import read_designs
from ppl_ext.factorization.result.factors import open_factors
from ppl_ext.factorization.result.parameters import model_constants

__all__ = ["FactorModel", "constrain_parameter"]


class FactorModel:
    r"""The model of ``ppl_ext.factorization.MatrixFactorization`` as a program of the host.

    .. math:: w_i \sim N(\mu_u, \Lambda_u^{-1}),\ a_i \sim \Gamma(\alpha_u, \alpha_u), \quad
              w_j \sim N(\mu_v, \Lambda_v^{-1}),\ g_j \sim \Gamma(\alpha_v, \alpha_v) \\
              r_{ij} \sim N(m + b_i + c_j + u_i \cdot v_j,\ (\tau a_i g_j)^{-1}),
              \quad w_i = (u_i, b_i),\ w_j = (v_j, c_j)

    With features x the mean of w is :math:`\mu + L z x`, where :math:`L L' = \Lambda^{-1}` and
    :math:`z_{kf} \sim N(0, 1 / \lambda_f)`: coefficients :math:`B' = L z`, matrix normal, as in
    `ppl_ext.factorization.Regression`.

    Sites are ``user_vector``, ``item_vector``, ``user_weight`` and ``item_weight`` where the
    model has them, with features ``user_regression`` and ``item_regression``, which are z, and
    ``rating``; deterministic are ``user_factors``, ``item_factors``, ``user_bias``, ``item_bias``,
    ``expected_rating``, and ``user_coefficients``, ``user_bias_coefficients`` and the same of
    items. Plates are ``user``, ``item`` and ``pair``.

    Not for fitting a table that the closed form fits: that is hundreds of times faster. It is for
    all that the host can do around it: other guides, more data, parts of a larger model.

    Args:
        factors: Fitted factors, for labels, prior and noise; their posterior is not used here.
        learn: Whether prior and noise are parameters that ``SVI`` learns (without the penalties
            of the closed form), or constants.
        user_features: Features of all users of the factors, as in the fit; None where it had none.
        item_features: The same of items.

    Raises:
        ValueError: The features are not those of the fit.
        TypeError: These are no factors, or a feature is no number.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> model = FactorModel(factors)
        >>> users, items, values = model.columns(ratings)
        >>> seeded = numpyro.handlers.seed(model, rng_seed=0)
        >>> trace = numpyro.handlers.trace(seeded).get_trace(users, items, values)
        >>> trace["user_factors"]["value"].shape
        (30, 2)
    """

    def __init__(
        self,
        factors: Factors,
        learn: bool = False,
        *,
        user_features: Any = None,
        item_features: Any = None,
    ) -> None:
        posterior = open_factors("FactorModel", factors)
        designs = read_designs("FactorModel", posterior, user_features, item_features)
        self._features = {
            name: design.times(np.eye(len(design.center))) for name, design in designs.items()
        }
        self.factors = factors
        self.learn = learn
        self._constants = model_constants(posterior)

    def columns(self, ratings: Ratings) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Turn ratings into what the model is called with.

        Args:
            ratings: Ratings by users and of items that the factors know.

        Returns:
            Positions of users and items, and values, each ``[pair]``.

        Raises:
            KeyError: A user or an item is unknown.
        """
        users = self.factors.find_users(ratings.user_ids)[ratings.users]
        items = self.factors.find_items(ratings.item_ids)[ratings.items]
        return jnp.asarray(users), jnp.asarray(items), _as_array(ratings.values)

    def __call__(
        self,
        users: jax.Array,
        items: jax.Array,
        ratings: jax.Array | None = None,
        *,
        batch_size: int | None = None,
    ) -> jax.Array:
        """Run the program.

        Args:
            users: ``[pair]``, positions of users.
            items: ``[pair]``, positions of items.
            ratings: ``[pair]``, or None to draw them.
            batch_size: Number of pairs that each run draws, scaled to stand for all; all if None.

        Returns:
            The ratings, ``[pair]``.
        """
        users, items = self._check("user", users), self._check("item", items)
        constants = self._read_constants()
        k = self.factors.num_factors
        vectors, weights = {}, {}
        for name, side in self.factors.posterior.sides:
            mean = constants[f"{name}_prior_loc"]
            lower = constants[f"{name}_prior_scale_tril"]
            if name in self._features:
                mean = mean + self._regress(name, lower, constants[f"{name}_relevance"])
            prior = dist.MultivariateNormal(mean, scale_tril=lower)
            with numpyro.plate(name, len(side), dim=-1):
                vectors[name] = vector = numpyro.sample(f"{name}_vector", prior)
                numpyro.deterministic(f"{name}_factors", vector[..., :k])
                if self.factors.posterior.biases:
                    numpyro.deterministic(f"{name}_bias", vector[..., k])
                if side.concentration:
                    concentration = constants[f"{name}_concentration"]
                    gamma = dist.Gamma(concentration, concentration)
                    weights[name] = numpyro.sample(f"{name}_weight", gamma)
        with numpyro.plate("pair", len(users), subsample_size=batch_size, dim=-1) as index:
            rows = {"user": users[index], "item": items[index]}
            user, item = (vectors[name][..., rows[name], :] for name in ("user", "item"))
            mean = self.factors.center + (user[..., :k] * item[..., :k]).sum(-1)
            if self.factors.posterior.biases:
                mean = mean + user[..., k] + item[..., k]
            mean = numpyro.deterministic("expected_rating", mean)
            precision = constants["noise_precision"]
            for name, weight in weights.items():
                precision = precision * weight[..., rows[name]]
            values = None if ratings is None else _as_array(ratings)[index]
            return numpyro.sample(
                "rating", dist.Normal(mean, jax.lax.rsqrt(precision)), obs=values
            )

    def _regress(self, name: str, lower: jax.Array, relevance: jax.Array) -> jax.Array:
        """What features add to the mean of each row's prior, ``[row, dim]``."""
        k, shape = self.factors.num_factors, (len(lower), len(relevance))
        normal = dist.Normal(jnp.zeros_like(relevance), jax.lax.rsqrt(relevance))
        drawn = numpyro.sample(f"{name}_regression", normal.expand(shape).to_event(2))
        coefficients = jnp.matrix_transpose(lower @ drawn)
        numpyro.deterministic(f"{name}_coefficients", coefficients[..., :k])
        if self.factors.posterior.biases:
            numpyro.deterministic(f"{name}_bias_coefficients", coefficients[..., k])
        if coefficients.ndim > 2:  # in the place where the plates of rows and pairs stand
            coefficients = coefficients.squeeze(-3)
        return _as_array(self._features[name]) @ coefficients

    def _read_constants(self) -> dict[str, jax.Array]:
        constants = {name: _as_array(value) for name, value in self._constants.items()}
        if not self.learn:
            return constants
        return {
            name: numpyro.param(name, value, constraint=constrain_parameter(name))
            for name, value in constants.items()
        }

    def _check(self, name: str, positions: Any) -> jax.Array:
        rows = len(dict(self.factors.posterior.sides)[name])
        found = jnp.asarray(positions)
        if not jnp.issubdtype(found.dtype, jnp.integer) or found.ndim != 1:
            raise ValueError(
                f"FactorModel: {name}s are {found.dtype} of shape {found.shape}; expected "
                f"positions [pair]. Write model(*model.columns(ratings))."
            )
        # What is traced has no values yet; a position that is too large would be clamped.
        if len(found) and not isinstance(positions, jax.core.Tracer):
            low, high = np.min(np.asarray(positions)), np.max(np.asarray(positions))
            if not 0 <= low <= high < rows:
                raise ValueError(
                    f"FactorModel: {name}s lie between {low} and {high}; expected positions from "
                    f"0 to {rows - 1}. Turn labels into positions: model.columns(ratings)."
                )
        return found


def constrain_parameter(name: str) -> constraints.Constraint:
    """Say where a parameter or constant of this name may lie."""
    if name.endswith("loc"):
        return constraints.real
    return constraints.lower_cholesky if name.endswith("tril") else constraints.positive


def _as_array(values: Any) -> jax.Array:
    return jnp.asarray(values, dtype=jnp.result_type(float))
