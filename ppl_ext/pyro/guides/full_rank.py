"""A guide with one Gaussian over all latent coordinates."""

import pyro.distributions as dist

from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.guides.joint import AbstractJointGuide

__all__ = ["AutoFullRank"]


class AutoFullRank(AbstractJointGuide, AbstractGaussianGuide):
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

    def get_posterior(self, *args: object, **kwargs: object) -> dist.TorchDistribution:  # noqa: D102
        self._require_setup(args, kwargs)
        loc, scale_tril = self._flat()
        return dist.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)
