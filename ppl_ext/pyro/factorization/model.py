"""The model of a matrix factorization as a Pyro program."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints

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
        >>> trace = pyro.poutine.trace(model).get_trace(users, items, values)
        >>> trace.nodes["user_factors"]["value"].shape
        torch.Size([30, 2])
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

    def columns(self, ratings: Ratings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
        return torch.as_tensor(users), torch.as_tensor(items), _as_tensor(ratings.values)

    def __call__(
        self,
        users: torch.Tensor,
        items: torch.Tensor,
        ratings: torch.Tensor | None = None,
        *,
        batch_size: int | None = None,
    ) -> torch.Tensor:
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
            with pyro.plate(name, len(side), dim=-1):
                vectors[name] = vector = pyro.sample(f"{name}_vector", prior)
                pyro.deterministic(f"{name}_factors", vector[..., :k], event_dim=1)
                if self.factors.posterior.biases:
                    pyro.deterministic(f"{name}_bias", vector[..., k], event_dim=0)
                if side.concentration:
                    concentration = constants[f"{name}_concentration"]
                    gamma = dist.Gamma(concentration, concentration)
                    weights[name] = pyro.sample(f"{name}_weight", gamma)
        with pyro.plate("pair", len(users), subsample_size=batch_size, dim=-1) as index:
            rows = {"user": users[index], "item": items[index]}
            user, item = (vectors[name][..., rows[name], :] for name in ("user", "item"))
            mean = self.factors.center + (user[..., :k] * item[..., :k]).sum(-1)
            if self.factors.posterior.biases:
                mean = mean + user[..., k] + item[..., k]
            mean = pyro.deterministic("expected_rating", mean, event_dim=0)
            precision = constants["noise_precision"]
            for name, weight in weights.items():
                precision = precision * weight[..., rows[name]]
            values = None if ratings is None else _as_tensor(ratings)[index]
            return pyro.sample("rating", dist.Normal(mean, precision.rsqrt()), obs=values)

    def _regress(self, name: str, lower: torch.Tensor, relevance: torch.Tensor) -> torch.Tensor:
        """What features add to the mean of each row's prior, ``[row, dim]``."""
        k, shape = self.factors.num_factors, (len(lower), len(relevance))
        normal = dist.Normal(torch.zeros_like(relevance), relevance.rsqrt())
        drawn = pyro.sample(f"{name}_regression", normal.expand(shape).to_event(2))
        coefficients = (lower @ drawn).mT
        pyro.deterministic(f"{name}_coefficients", coefficients[..., :k], event_dim=2)
        if self.factors.posterior.biases:
            pyro.deterministic(f"{name}_bias_coefficients", coefficients[..., k], event_dim=1)
        if coefficients.ndim > 2:  # in the place where the plates of rows and pairs stand
            coefficients = coefficients.squeeze(-3)
        return _as_tensor(self._features[name]) @ coefficients

    def _read_constants(self) -> dict[str, torch.Tensor]:
        constants = {name: _as_tensor(value) for name, value in self._constants.items()}
        if not self.learn:
            return constants
        return {
            name: pyro.param(name, value, constraint=constrain_parameter(name))
            for name, value in constants.items()
        }

    def _check(self, name: str, positions: Any) -> torch.Tensor:
        positions = torch.as_tensor(positions)
        rows = len(dict(self.factors.posterior.sides)[name])
        if positions.dtype.is_floating_point or positions.ndim != 1:
            raise ValueError(
                f"FactorModel: {name}s are {positions.dtype} of shape {tuple(positions.shape)}; "
                f"expected positions [pair]. Write model(*model.columns(ratings))."
            )
        if len(positions) and not 0 <= int(positions.min()) <= int(positions.max()) < rows:
            raise ValueError(
                f"FactorModel: {name}s lie between {int(positions.min())} and "
                f"{int(positions.max())}; expected positions from 0 to {rows - 1}. Turn labels "
                "into positions: model.columns(ratings)."
            )
        return positions


def constrain_parameter(name: str) -> constraints.Constraint:
    """Say where a parameter or constant of this name may lie."""
    if name.endswith("loc"):
        return constraints.real
    return constraints.lower_cholesky if name.endswith("tril") else constraints.positive


def _as_tensor(values: Any) -> torch.Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()
    return torch.as_tensor(values, dtype=torch.get_default_dtype())
