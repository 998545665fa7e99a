"""A guide that bends: a normalizing flow in the frame of a Gaussian."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.transforms import LowerCholeskyAffine
from pyro.infer.autoguide.initialization import init_to_median

from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.pyro.guides.joint import AbstractJointGuide
from ppl_ext.pyro.tracing.isolation import own_random_state

if TYPE_CHECKING:
    from ppl_ext.pyro.flows.flow import AbstractFlow

__all__ = ["AutoFlow", "restore_flow"]

_PAIRS = 2048  # antithetic draws of medians and quantiles, times two
_WIDEST = 128


class AutoFlow(AbstractJointGuide):
    r"""A normalizing flow on unconstrained space, in the frame of a full-rank Gaussian.

    .. math:: z = \mu + L\, T(e), \qquad e \sim N(0, I)

    For posteriors that no Gaussian follows: funnels, bananas, hard bounds, several modes.
    Before training :math:`T` is the identity and the guide is its frame. ``fit`` trains it in
    stages and stops by itself; by hand, start from a fitted frame (``set_gaussian``) and take
    many draws for a step. Medians and quantiles are those of fixed draws. Not where
    ``AutoFullRank`` is called good, which is a tenth of the work; not for thousands of
    coordinates, and not for local sites in subsampled plates.

    Args:
        model: A Pyro model with continuous latent sites.
        flow: A flow of `ppl_ext.pyro.flows` without a context, as wide as the model has latent
            coordinates; None for a coupling flow of a size that suits their number.
        prefix: Beginning of the guide's name in the parameter store; a number is added, so that
            two guides never share parameters.
        init_loc_fn: Host initialisation strategy for the mean, such as ``init_to_median``;
            where its value is not finite, the middle of unconstrained space is taken.
        init_scale: Standard deviation to start from, in unconstrained space.
        create_plates: Host option: a function of the model's arguments that returns the plates.

    Raises:
        ValueError: If ``init_scale`` is not positive; at set-up, if the flow does not suit the
            model, or the model has no latent site, or one that is discrete, whose support is
            unknown or that is local to a subsampled plate.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model():
        ...     a = pyro.sample("a", dist.Normal(0.0, 1.0))
        ...     pyro.sample("b", dist.Normal(a**2, 0.3))
        >>> guide = AutoFlow(model).setup()
        >>> guide.set_gaussian([0.0, 1.0], [[1.0, 0.0], [0.0, 1.4]])
        >>> {name: round(value.item(), 3) for name, value in guide.median().items()}
        {'a': 0.0, 'b': 1.0}

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, ICML,
        arXiv:1505.05770.
        Agrawal, Domke (2024), Disentangling impact of capacity, objective, batchsize, estimators,
        and step-size on flow VI, arXiv:2412.08824.
    """

    def __init__(
        self,
        model: Callable,
        *,
        flow: "AbstractFlow | None" = None,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_median,
        init_scale: float = 0.1,
        create_plates: Callable | None = None,
    ) -> None:
        super().__init__(
            model,
            prefix=prefix,
            init_loc_fn=init_loc_fn,
            init_scale=init_scale,
            create_plates=create_plates,
        )
        self._chooses = flow is None
        if flow is not None:
            self.flow = flow

    def _start_parameters(self, parts: dict[str, torch.Tensor]) -> None:
        super()._start_parameters(parts)
        self.flow.reset_parameters()

    def _register(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        super()._register(loc, scale)
        dim = len(loc)
        if self._chooses and ("flow" not in self._modules or self.flow.dim != dim):
            self.flow = choose_flow(dim)
        if self.flow.dim != dim or self.flow.context_dim:
            kind = type(self.flow).__name__
            raise ValueError(
                f"AutoFlow: the flow has dim={self.flow.dim} and context_dim="
                f"{self.flow.context_dim}, where the model has {dim} latent coordinates; expected "
                f"a flow as wide, without a context. Write AutoFlow(model, flow={kind}({dim}))."
            )
        self.flow.to(dtype=loc.dtype, device=loc.device)

    def _set_flat(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        super()._set_flat(loc, scale)
        with own_random_state(0):
            self.flow.reset_parameters()

    def get_posterior(self, *args: object, **kwargs: object) -> dist.TorchDistribution:
        """The flow on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            *args: Arguments of the model; needed before the first use only.
            **kwargs: Keyword arguments of the model.
        """
        self._require_setup(args, kwargs)
        # With its cache the density of a draw needs no way back through the flow.
        frame = LowerCholeskyAffine(*self._flat(), cache_size=1)
        return dist.TransformedDistribution(self.flow(), [frame], validate_args=False)

    def _flat_quantiles(self, probabilities: torch.Tensor) -> torch.Tensor:
        # By draws, always the same; in pairs, so that the median of a Gaussian is its mean.
        half = draw_standard_normal(_PAIRS, len(self.loc), seed=0)
        z, _ = self.push_noise(np.concatenate([half, -half]))
        levels = probabilities.double().cpu().numpy()
        return torch.as_tensor(np.quantile(z, levels, axis=0)).to(self.loc)

    def _push(self, noise: torch.Tensor) -> torch.Tensor:
        loc, scale_tril = self._flat()
        return loc + self.flow.push(noise)[0] @ scale_tril.T

    @torch.no_grad()
    def push_noise(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map standard normal draws to draws of the guide.

        Args:
            noise: Shape [draw, dim].

        Returns:
            Points of unconstrained space [draw, dim] and log q [draw], float64.
        """
        loc, scale_tril = self._flat()
        e = torch.as_tensor(noise).to(loc)
        u, log_slope = self.flow.push(e)
        log_q = -0.5 * (e**2).sum(-1) - 0.5 * len(loc) * math.log(2 * math.pi)
        log_q = log_q - log_slope - scale_tril.diagonal().log().sum()
        z = loc + u @ scale_tril.T
        return z.double().cpu().numpy(), log_q.double().cpu().numpy()


def choose_flow(dim: int) -> "AbstractFlow":
    """A coupling flow for a guide of so many coordinates.

    Many affine layers come further in the same time than a few splines; one coordinate alone
    they could only stretch.
    """
    from ppl_ext.pyro.flows import CouplingFlow  # what it stands on is for flows alone

    if dim == 1:
        return CouplingFlow(1, num_layers=2)
    width = min(_WIDEST, max(32, 1 << (dim - 1).bit_length()))
    return CouplingFlow(dim, transform="affine", num_layers=8, hidden=(width, width))


def restore_flow(settings: Mapping[str, Any]) -> "AbstractFlow":
    """A flow like the one whose ``settings`` these are, with parameters of its own."""
    from ppl_ext.pyro import flows

    kinds = {"CouplingFlow": flows.CouplingFlow, "AutoregressiveFlow": flows.AutoregressiveFlow}
    return kinds[settings["kind"]](**{k: v for k, v in settings.items() if k != "kind"})
