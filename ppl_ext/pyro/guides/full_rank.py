"""A guide with one Gaussian over all latent coordinates."""

from collections.abc import Mapping
from contextlib import ExitStack

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.nn import PyroParam

from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide

__all__ = ["AutoFullRank"]


class AutoFullRank(AbstractGaussianGuide):
    r"""One multivariate normal distribution on unconstrained space.

    .. math:: q(z) = \mathrm{Normal}(z; \mu, L L^\top)

    Not for more than a few thousand latent coordinates (the factor :math:`L` has dim² entries),
    and not for local sites in subsampled plates, which are refused: the Gaussian would span one
    minibatch, other rows at every step. Use ``AutoMeanField`` there.

    Args:
        model: A Pyro model with continuous latent sites.
        prefix: Beginning of the guide's name in the parameter store; a number is added, so that
            two guides never share parameters.
        init_loc_fn: Host initialisation strategy for the mean, such as ``init_to_median``;
            where its value is not finite, the middle of unconstrained space is taken.
        init_scale: Standard deviation to start from, in unconstrained space.
        create_plates: Host option: a function of the model's arguments that returns the plates.

    Raises:
        ValueError: If ``init_scale`` is not positive; at set-up, if the model has no latent site,
            or one that is discrete, whose support is unknown or that is local to a subsampled
            plate.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model():
        ...     pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        >>> guide = AutoFullRank(model).setup()
        >>> guide.set_gaussian([0.0, 1.0], [[1.0, 0.0], [0.5, 2.0]])
        >>> guide.gaussian()[1].round(6).tolist()
        [[1.0, 0.0], [0.5, 2.0]]
        >>> guide.median()["x"].tolist()
        [0.0, 1.0]

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic differentiation variational
        inference, arXiv:1603.00788.
    """

    def _check_plates(self, latents: Mapping[str, dict]) -> None:
        for name, site in latents.items():
            for frame in site["cond_indep_stack"]:
                size = frame.full_size
                if frame.name in self._given or size not in (None, -1, frame.size):
                    raise ValueError(
                        f"AutoFullRank: latent site {name!r} is local to plate {frame.name!r}, "
                        f"which is subsampled ({frame.size} of {size} rows). A joint Gaussian "
                        "needs all rows at once; use AutoMeanField(model), or AutoGuideList with "
                        f"AutoFullRank(poutine.block(model, hide=[{name!r}])) for the others."
                    )

    def _start_parameters(self, parts: dict[str, torch.Tensor]) -> None:
        loc = torch.cat([part.reshape(-1) for part in parts.values()])
        self._register(loc, torch.full_like(loc, self._init_scale))

    def _register(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        # Rows of the factor relative to their scale: a step then means the same for each.
        tril = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
        self.loc = PyroParam(loc, constraints.real)
        self.scale = PyroParam(scale, constraints.softplus_positive)
        self.scale_tril = PyroParam(tril, constraints.unit_lower_cholesky)

    def _make_room(self, state: dict[str, torch.Tensor]) -> bool:
        loc = state.get("loc_unconstrained")
        if loc is not None:
            self._register(torch.zeros_like(loc), torch.ones_like(loc))
        return loc is not None

    def _check_restored(self) -> None:
        expected = sum(shape.numel() for shape in self._shapes.values())
        if len(self.loc) != expected:
            raise ValueError(
                f"AutoFullRank: the loaded state has {len(self.loc)} coordinates, where the model "
                f"has {expected}. Load it into the guide of the model and data it was saved with."
            )

    def forward(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        """Samples the latent sites of the model.

        Args:
            *args: Arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            The value of each latent site.
        """
        self._require_setup(args, kwargs)
        self._create_plates(*args, **kwargs)
        auxiliary = {"is_auxiliary": True}
        flat = pyro.sample(f"_{self._pyro_name}_latent", self.get_posterior(), infer=auxiliary)
        result, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + shape.numel()
            # Plates outside of the guide, such as vectorised particles, stand to the left.
            outer = flat.shape[:-1] + (1,) * self._event_dims[name]
            part = flat[..., start:stop].reshape(torch.broadcast_shapes(shape, outer))
            support = self._support_of(name, result, (args, kwargs))
            with ExitStack() as stack:
                self._enter_plates(stack, name, [])
                result[name] = self._sample_transformed(name, part, support)
            start = stop
        return result

    def get_posterior(self, *args: object, **kwargs: object) -> dist.TorchDistribution:  # noqa: D102
        self._require_setup(args, kwargs)
        loc, scale_tril = self._flat()
        return dist.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    def _flat(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loc, self.scale[..., None] * self.scale_tril

    def _set_flat(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        diagonal = scale.diagonal()
        self.loc = loc
        self.scale = diagonal
        self.scale_tril = scale / diagonal[:, None]
