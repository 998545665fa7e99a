"""The evidence lower bound of guides with discrete sites, its gradient by an estimator."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.infer.util import is_validation_enabled, torch_item
from pyro.ops.provenance import detach_provenance
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape, warn_if_nan

from ppl_ext.estimators.arguments import check_count
from ppl_ext.estimators.matching import match_estimators, refuse_misfits
from ppl_ext.pyro.estimators import VIMCO, AbstractEstimator
from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.pyro.estimators.one_hot_draws import draw_one_hot
from ppl_ext.pyro.objectives.discrete.as_categorical import read_choice
from ppl_ext.pyro.objectives.discrete.dependence import find_dependence
from ppl_ext.pyro.objectives.discrete.estimator_needs import discrete_sites, needs_of
from ppl_ext.pyro.objectives.discrete.guide_and_model import Pair, Run
from ppl_ext.pyro.objectives.discrete.joint import JointDraws
from ppl_ext.pyro.objectives.mismatch import warn_once

__all__ = ["DiscreteELBO"]


class DiscreteELBO(ELBO):
    r"""Evidence lower bound of a guide with discrete sites, differentiated by an estimator.

    .. math:: \nabla_\phi\, E_{q_\phi(z)} [\log p(x, z) - \log q_\phi(z)], \quad z \text{ discrete}

    The value is the bound, the gradient what the estimator makes of it: with a score estimator
    unbiased and each element of a plate by itself, whatever the guide, autoregressive ones too;
    with one whose gradient passes through the draw cheap and a little biased. Where guide and
    prior of a site are both categorical, their divergence is taken in closed form. Continuous
    sites are reparameterised. Not for few classes that the host can enumerate: its
    ``TraceEnum_ELBO`` has no noise at all.

    Args:
        estimator: An estimator of ``px.estimators``, such as ``LeaveOneOut(4)`` or, with one
            run of the model, ``ReinMax(1.1)``; or ``{site: estimator}``. One that looks at other
            values than the draw (``LocalExpectation``, ``REBAR``) serves sites that do not hang
            on other discrete sites. ``VIMCO`` has the tighter bound of several draws for its
            value, and ``GumbelSoftmax`` that of relaxed draws.
        num_particles: Independent estimates that are averaged.

    Raises:
        ValueError: An estimator is missing or not known, or cannot serve its site; at the first
            step.

    Warns:
        RelaxedDensityWarning: A relaxed density stands against a discrete prior.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> import ppl_ext.pyro as px
        >>> def model():
        ...     z = pyro.sample("z", dist.Bernoulli(0.5))
        ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
        >>> def guide():
        ...     pyro.sample("z", dist.Bernoulli(logits=pyro.param("logit", torch.tensor(0.0))))
        >>> pyro.set_rng_seed(0)
        >>> elbo = DiscreteELBO(px.estimators.LeaveOneOut(4))
        >>> with pyro.get_param_store().scope():
        ...     svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), elbo)
        ...     losses = [svi.step() for _ in range(300)]
        ...     found = pyro.param("logit").item()
        >>> abs(found - 1.5) < 0.3  # log N(2 | 1, 1) - log N(2 | 0, 1)
        True

    References:
        Kool, van Hoof, Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!,
        ICLR workshop on Deep Reinforcement Learning Meets Structured Prediction.
    """

    def __init__(
        self,
        estimator: AbstractEstimator | Mapping[str, AbstractEstimator],
        num_particles: int = 1,
    ) -> None:
        match_estimators(estimator, (), AbstractEstimator)
        cure = "DiscreteELBO(estimator, num_particles=1)."
        check_count("DiscreteELBO", "num_particles", num_particles, 1, cure)
        self.estimator = estimator
        self._warned: set[str] = set()
        super().__init__(num_particles=num_particles)

    def loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> float:
        """The negative bound as a number; called by the host's ``SVI``.

        Args:
            model: Pyro model.
            guide: Pyro guide.
            *args: Positional arguments of both.
            **kwargs: Keyword arguments of both.
        """
        with torch.no_grad():
            return torch_item(self.differentiable_loss(model, guide, *args, **kwargs))

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """The negative bound, with the gradient of the estimators.

        Args:
            model: Pyro model.
            guide: Pyro guide.
            *args: Positional arguments of both.
            **kwargs: Keyword arguments of both.
        """
        pair = Pair(model, guide, args, kwargs, self._sample)
        loss = -sum(self._estimate(pair) for _ in range(self.num_particles)) / self.num_particles
        warn_if_nan(loss, "loss")
        return loss

    def loss_and_grads(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> float:
        """The negative bound as a number, its gradient added to the parameters.

        Args:
            model: Pyro model.
            guide: Pyro guide.
            *args: Positional arguments of both.
            **kwargs: Keyword arguments of both.
        """
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return torch_item(loss)

    def _get_trace(self, model, guide, args, kwargs):
        """A trace of the model and one of the guide, as the host's tools ask for them."""
        run = Pair(model, guide, args, kwargs, self._sample).run()
        return run.model, run.guide

    def _sample(self, name, fn):
        estimator, choice = self._match((name,))[name], read_choice(fn)
        if choice is None or not choice.one_hot:
            return fn.sample()
        logits = detach_provenance(choice.logits)
        if isinstance(estimator, AbstractPathEstimator):
            return estimator.sample(logits)
        # Not the site's own draw: a straight-through one brings a gradient nobody wants here.
        return draw_one_hot(logits.detach())

    def _match(self, sites):
        return match_estimators(self.estimator, sites, AbstractEstimator)

    def _estimate(self, pair: Pair) -> torch.Tensor:
        first = pair.run(tracked=True)
        self._check(first)
        discrete = discrete_sites(first)
        estimators = self._match(discrete)
        bounding = any(isinstance(each, VIMCO) for each in estimators.values())
        dependence = find_dependence(discrete, first, analytic=not bounding)
        num_draws = refuse_misfits(
            {name: needs_of(each) for name, each in estimators.items()},
            {name: dependence.facts(name) for name in discrete},
            dependence.with_plates(term for term in first.terms if term[0] == "guide"),
        )
        draws = JointDraws(pair, dependence, estimators, num_draws)
        return draws.bound() if bounding else draws.expectation()

    def _check(self, run: Run) -> None:
        warn_once("DiscreteELBO", self._warned, run.guide, run.model)
        if is_validation_enabled():
            pruned = prune_subsample_sites(run.guide), prune_subsample_sites(run.model)
            for side, name in run.terms:
                site = run.site((side, name))
                site["log_prob"] = run.contribution((side, name), analytic=False)
                check_site_shape(site, self.max_plate_nesting)
            check_model_guide_match(pruned[1], pruned[0], self.max_plate_nesting)
