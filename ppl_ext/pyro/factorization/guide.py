"""The posterior of a matrix factorization as a Pyro guide."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from ppl_ext.factorization import Factors, Ratings
from ppl_ext.factorization.model.side_features import read_designs
from ppl_ext.factorization.result.factors import open_factors
from ppl_ext.factorization.result.parameters import (
    draw_tree,
    guide_parameters,
    model_constants,
    restore_factors,
)
from ppl_ext.pyro.factorization.model import constrain_parameter

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
        >>> from ppl_ext.pyro.factorization import FactorModel
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> model, guide = FactorModel(factors), FactorGuide(factors)
        >>> loss = pyro.infer.Trace_ELBO(num_particles=20)
        >>> with pyro.get_param_store().scope():
        ...     elbo = -loss.loss(model, guide, *model.columns(ratings))
        >>> bool(abs(elbo - factors.elbo[-1]) < 10)
        True
    """

    def __init__(
        self, factors: Factors, *, user_features: Any = None, item_features: Any = None
    ) -> None:
        posterior = open_factors("FactorGuide", factors)
        self._designs = read_designs("FactorGuide", posterior, user_features, item_features)
        self.factors = factors
        self._initial = {
            name: torch.as_tensor(value, dtype=torch.get_default_dtype())
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
        params = self._read_params()
        for name, side in self.factors.posterior.sides:
            if self.factors.posterior.diagonal:
                lower = torch.diag_embed(params[f"{name}_scale"])
            else:
                lower = params[f"{name}_scale_tril"]
            if side.regression is not None:
                drawn = dist.MultivariateNormal(
                    params[f"{name}_regression_loc"],
                    scale_tril=params[f"{name}_regression_scale_tril"],
                )
                pyro.sample(f"{name}_regression", drawn.to_event(1))
            with pyro.plate(name, len(side), dim=-1):
                vector = dist.MultivariateNormal(params[f"{name}_loc"], scale_tril=lower)
                pyro.sample(f"{name}_vector", vector)
                if side.concentration:
                    shape, rate = params[f"{name}_shape"], params[f"{name}_rate"]
                    pyro.sample(f"{name}_weight", dist.Gamma(shape, rate))

    def to_factors(self, ratings: Ratings | None = None) -> Factors:
        """Turn the guide's parameters into factors, with all that factors can do.

        What a `FactorModel` with ``learn=True`` has learned of prior and noise goes with them.

        Args:
            ratings: Ratings to measure the ELBO on, in closed form; it is NaN if None.

        Returns:
            The factors; ``MatrixFactorization.fit(ratings, start=factors)`` goes on from them.
        """
        store = pyro.get_param_store()
        params = dict(self._read_params())
        learned = model_constants(self.factors.posterior)
        params |= {name: store[name] for name in learned if name in store}
        arrays = {name: value.detach().cpu().numpy() for name, value in params.items()}
        return restore_factors(self.factors.posterior, arrays, ratings, self._designs)

    def to_datatree(self, num_draws: int = 100) -> "xarray.DataTree":
        """Draw from the guide and arrange the draws as an ArviZ tree, as factors do theirs.

        Not for large tables: every draw holds all factors.

        Args:
            num_draws: Number of draws.

        Returns:
            A tree with ``user_factors``, ``item_factors`` and, where the model has them,
            ``user_bias`` and ``item_bias``; users and items are labelled. With features also
            ``user_coefficients``, ``user_bias_coefficients`` and the same of items.
        """
        with torch.no_grad():
            traces = [pyro.poutine.trace(self).get_trace() for _ in range(num_draws)]

        def collect(site: str) -> np.ndarray:
            return np.stack([trace.nodes[site]["value"].cpu() for trace in traces])

        vectors = {name: collect(f"{name}_vector") for name in ("user", "item")}
        regressions = {name: collect(f"{name}_regression") for name in self._designs}
        return draw_tree(self.to_factors(), vectors, regressions)

    def _read_params(self) -> dict[str, torch.Tensor]:
        params = {}
        for name, value in self._initial.items():
            found = pyro.param(name, value, constraint=constrain_parameter(name))
            if found.shape != value.shape:
                raise ValueError(
                    f"FactorGuide: the parameter store has {name!r} of shape "
                    f"{tuple(found.shape)}; expected {tuple(value.shape)}, as these factors have. "
                    "It is an earlier guide's: pyro.clear_param_store()."
                )
            params[name] = found
        return params
