"""A guide of independent Gaussians, one for every latent coordinate."""

from contextlib import ExitStack
from operator import attrgetter

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.infer.autoguide.utils import deep_setattr
from pyro.nn import PyroModule, PyroParam

from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.run_at_point import is_real

__all__ = ["AutoMeanField"]


class AutoMeanField(AbstractGaussianGuide):
    r"""Independent normal distributions on unconstrained space.

    .. math:: q(z) = \prod_j \mathrm{Normal}(z_j; \mu_j, \sigma_j)

    Not for posteriors whose correlations or standard deviations matter: on a Gaussian with
    precision :math:`\Lambda` the fitted :math:`\sigma_j^2` is :math:`1 / \Lambda_{jj}`, never
    more than the variance. Use ``AutoFullRank``, or ``fit(...).linear_response()``.

    A site on the real line is sampled from a bare Normal, so that the host's
    ``TraceMeanField_ELBO`` finds its analytic Kullback-Leibler divergence. Local sites in
    subsampled plates have parameters for every row, also where the model gives the rows itself
    (``plate(subsample=rows)``).

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
            or one that is discrete or whose support is unknown.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model():
        ...     pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        >>> guide = AutoMeanField(model).setup()
        >>> guide.set_gaussian([0.5], [0.25])
        >>> loc, scale = guide.gaussian()
        >>> loc.tolist(), scale.round(6).tolist()
        ([0.5], [0.25])
        >>> round(float(guide.median()["scale"]), 4)
        1.6487

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic differentiation variational
        inference, arXiv:1603.00788.
    """

    def _start_parameters(self, parts: dict[str, torch.Tensor]) -> None:
        self.locs, self.scales = PyroModule(), PyroModule()
        for name, part in parts.items():
            self._add_site(name, part, torch.full_like(part, self._init_scale))

    def _add_site(self, name: str, loc: torch.Tensor, scale: torch.Tensor) -> None:
        deep_setattr(self.locs, name, PyroParam(loc.clone(), constraints.real))
        deep_setattr(self.scales, name, PyroParam(scale, constraints.softplus_positive))

    def _make_room(self, state: dict[str, torch.Tensor]) -> bool:
        self.locs, self.scales = PyroModule(), PyroModule()
        ending = "_unconstrained"
        for key, value in state.items():
            if key.startswith("locs.") and key.endswith(ending):
                name = key.removeprefix("locs.").removesuffix(ending)
                self._add_site(name, torch.zeros_like(value), torch.ones_like(value))
        return any(True for _ in self.parameters())

    def _check_restored(self) -> None:
        found = {
            key.removesuffix("_unconstrained"): tuple(value.shape)
            for key, value in self.locs.named_parameters()
        }
        expected = {name: tuple(shape) for name, shape in self._shapes.items()}
        if found != expected:
            raise ValueError(
                f"AutoMeanField: the loaded state has sites {found}, where the model has "
                f"{expected}. Load it into the guide of the model and data it was saved with."
            )

    def _site_parameters(self, name: str) -> list[torch.Tensor]:
        return [attrgetter(name)(self.locs), attrgetter(name)(self.scales)]

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
        result = {}
        for name in self._shapes:
            support = self._support_of(name, result, (args, kwargs))
            with ExitStack() as stack:
                loc, scale = self._enter_plates(stack, name, self._site_parameters(name))
                normal = dist.Normal(loc, scale).to_event(self._event_dims[name])
                if is_real(support):
                    result[name] = pyro.sample(name, normal)
                else:
                    auxiliary = {"is_auxiliary": True}
                    unconstrained = pyro.sample(f"{name}_unconstrained", normal, infer=auxiliary)
                    result[name] = self._sample_transformed(name, unconstrained, support)
        return result

    def get_posterior(self, *args: object, **kwargs: object) -> dist.TorchDistribution:  # noqa: D102
        self._require_setup(args, kwargs)
        return dist.Normal(*self._flat(), validate_args=False).to_event(1)

    def _flat(self) -> tuple[torch.Tensor, torch.Tensor]:
        sites = [self._site_parameters(name) for name in self._shapes]
        return (
            torch.cat([loc.reshape(-1) for loc, _ in sites]),
            torch.cat([scale.reshape(-1) for _, scale in sites]),
        )

    def _set_flat(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        for name, value in self._split(loc).items():
            deep_setattr(self.locs, name, value)
        for name, value in self._split(scale).items():
            deep_setattr(self.scales, name, value)
