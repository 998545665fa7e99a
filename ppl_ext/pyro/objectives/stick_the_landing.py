"""The stick-the-landing gradient of the evidence lower bound."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.util import is_validation_enabled, torch_item
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from pyro.util import check_model_guide_match

from ppl_ext.pyro.objectives.mismatch import warn_once

__all__ = ["StickTheLanding"]


class StickTheLanding(Trace_ELBO):
    r"""Evidence lower bound whose gradient leaves out the score of the guide.

    .. math:: \nabla_\phi \, [\log p(z_\phi) - \log q_{\bar\phi}(z_\phi)],
        \quad z_\phi = T_\phi(\epsilon), \ \bar\phi \text{ held fixed}

    The value is that of ``Trace_ELBO`` draw by draw, and so is the expectation of the gradient;
    but the gradient of every single draw goes to zero as the guide reaches the posterior, where
    that of ``Trace_ELBO`` keeps its noise. Not for guides with sites that cannot be
    reparameterised, and of little use where the guide is far from the posterior's family. The
    guide runs twice for each draw.

    Args:
        num_particles: Draws of each estimate.
        vectorize_particles: Whether the draws run together in an outermost plate, as in the
            host, for models whose every statement broadcasts, or in turn.

    Raises:
        ValueError: At the first step, a guide site has no reparameterised sampler, a transform
            has no inverse, or the guide is a host ``AutoMessenger``.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model():
        ...     pyro.sample("x", dist.Normal(1.0, 2.0))
        >>> def guide():
        ...     m = pyro.param("m", torch.tensor(1.0))
        ...     pyro.sample("x", dist.Normal(m, pyro.param("s", torch.tensor(2.0))))
        >>> with pyro.get_param_store().scope():
        ...     loss = StickTheLanding().differentiable_loss(model, guide)
        ...     parameters = [p.unconstrained() for p in pyro.get_param_store().values()]
        ...     [g.abs().item() for g in torch.autograd.grad(loss, parameters)]
        [0.0, 0.0]

    References:
        Roeder, Wu, Duvenaud (2017), Sticking the Landing, NeurIPS, arXiv:1703.09194.
    """

    def __init__(self, num_particles: int = 1, vectorize_particles: bool = False) -> None:
        super().__init__(num_particles=num_particles, vectorize_particles=vectorize_particles)
        self._warned: set[str] = set()

    def _get_trace(
        self, model: Callable, guide: Callable, args: tuple, kwargs: dict
    ) -> tuple[Trace, Trace]:
        """A trace of the model, and one of the guide whose parameters are held fixed."""
        if isinstance(poutine.unwrap(guide), Messenger):
            raise ValueError(
                f"StickTheLanding: the guide is a {type(poutine.unwrap(guide)).__name__}, which "
                "runs as an effect handler of the model; a guide that is a program of its own is "
                "expected. Use the host's pyro.infer.Trace_ELBO() for this guide."
            )
        drawn = poutine.trace(guide).get_trace(*args, **kwargs)
        _check_reparameterised(drawn)
        # The host's optimiser finds the parameters in the first run only.
        with poutine.block(), _held_fixed(drawn):
            fixed = poutine.trace(_Repeat(drawn)(guide)).get_trace(*args, **kwargs)
            _compute_log_q(fixed)
        model_trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*args, **kwargs)
        warn_once("StickTheLanding", self._warned, drawn, model_trace)
        if is_validation_enabled():
            check_model_guide_match(model_trace, drawn, self.max_plate_nesting)
        model_trace = prune_subsample_sites(model_trace)
        model_trace.compute_log_prob()
        for name in drawn.param_nodes:  # the host looks here for something to train
            fixed.nodes[name] = drawn.nodes[name]
        return model_trace, prune_subsample_sites(fixed)

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[float, torch.Tensor]:
        surrogate = guide_trace.log_prob_sum() - model_trace.log_prob_sum()
        value = surrogate.detach() if torch.is_tensor(surrogate) else surrogate
        return torch_item(value), surrogate


class _Repeat(Messenger):
    """Gives every site of a guide the value it drew before, as a new tensor.

    A new tensor, because transforms remember the pair they last mapped: they would hand out the
    noise they started from, and with it the gradient of the value would be lost.
    """

    def __init__(self, drawn: Trace) -> None:
        super().__init__()
        self.drawn = drawn

    def _pyro_sample(self, msg: dict) -> None:
        if not msg["is_observed"]:
            value = self.drawn.nodes[msg["name"]]["value"]
            msg["value"] = value if site_is_subsample(msg) else value.view_as(value)
            msg["done"] = True


@contextmanager
def _held_fixed(drawn: Trace) -> Iterator[None]:
    """Detaches the parameters that a run of the guide has read, within modules too."""
    leaves = [drawn.nodes[name]["value"].unconstrained() for name in drawn.param_nodes]
    leaves = [leaf for leaf in leaves if leaf.is_leaf and leaf.requires_grad]
    try:
        for leaf in leaves:
            leaf.requires_grad_(False)
        with warnings.catch_warnings():
            # pyro.module remarks that the parameters are fixed, which is what we want.
            warnings.filterwarnings("ignore", ".*was not registered in the param store")
            yield
    finally:
        for leaf in leaves:
            leaf.requires_grad_(True)


def _check_reparameterised(trace: Trace) -> None:
    for name, site in trace.iter_stochastic_nodes():
        if not site_is_subsample(site) and not site["fn"].has_rsample:
            raise ValueError(
                f"StickTheLanding: guide site {name!r} ({type(site['fn']).__name__}) has no "
                "reparameterised sampler; expected one at every latent site of the guide. For "
                "discrete sites use px.DiscreteELBO(px.estimators.LeaveOneOut(4)), in fit as "
                "optimizer=px.Stochastic(elbo=...); else the host's pyro.infer.TraceGraph_ELBO()."
            )


def _compute_log_q(trace: Trace) -> None:
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            try:
                trace.compute_log_prob(lambda other, _, name=name: other == name)
            except (NotImplementedError, KeyError) as error:
                raise ValueError(
                    f"StickTheLanding: guide site {name!r} ({type(site['fn']).__name__}) has a "
                    "transform without an inverse; expected one that can be inverted. Use the "
                    "host's pyro.infer.Trace_ELBO() for this guide."
                ) from error
