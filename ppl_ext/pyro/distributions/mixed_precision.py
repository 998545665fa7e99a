"""Parameters in half precision, arithmetic in float32 or wider: the base of all distributions."""

import copy
import inspect
from functools import wraps

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import register_kl

from ppl_ext.pyro.distributions.remembered_scores import hand_on, recall
from ppl_ext.pyro.gumbel.logits import HALF, widen

OF_THE_HOST = {"support", "expand", "enumerate_support"}
OF_A_VALUE = {"log_prob", "log_prob_unordered", "cdf", "log_cdf", "sf", "log_sf"}


class AbstractMixedPrecision(TorchDistribution):
    """A distribution whose methods see no half precision, whatever its parameters have.

    Each public method and property that a subclass defines runs on wide parameters and values;
    what it returns has the parameters' precision again. Values are validated as they came, if
    they are no draws whose scores are remembered.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if name.startswith("_") or name in OF_THE_HOST:
                continue
            if isinstance(member, property):
                setattr(cls, name, property(_widened(member.fget)))
            elif inspect.isfunction(member):
                setattr(cls, name, _widened(member, checked=name in OF_A_VALUE))

    def expand(self, batch_shape, _instance=None):
        """Return the same distribution over a larger batch."""
        batch_shape, new = torch.Size(batch_shape), copy.copy(self)
        for name, constraint in self.arg_constraints.items():
            parameter = getattr(self, name)
            event = parameter.shape[parameter.dim() - constraint.event_dim :]
            setattr(new, name, parameter.expand(batch_shape + event))
        new._batch_shape = batch_shape
        return new

    @property
    def _precision(self):
        """The type of the parameters; the narrow one where they differ."""
        types = [getattr(self, name).dtype for name in self.arg_constraints]
        return next((each for each in types if each in HALF), types[-1])

    @property
    def _wide(self):
        """The same distribution without half precision."""
        if self._precision not in HALF:
            return self
        wide = copy.copy(self)
        for name in self.arg_constraints:
            setattr(wide, name, widen(getattr(self, name)))
        return wide


def register_divergence(*families):
    """Register the divergence of two of a family, computed on wide parameters."""

    def register(divergence):
        @wraps(divergence)
        def narrowed(p, q):
            return _cast(divergence(p._wide, q._wide), p._precision)

        for family in families:
            register_kl(family, family)(narrowed)
        return divergence

    return register


def _widened(method, checked=False):
    @wraps(method)
    def run(self, *args, **kwargs):
        if checked and self._validate_args:
            value = kwargs["value"] if "value" in kwargs else args[0]
            if not isinstance(value, torch.Tensor) or recall(value) is None:
                self._validate_sample(value)
        args = [_widen(each) for each in args]
        kwargs = {name: _widen(each) for name, each in kwargs.items()}
        return _cast(method(self._wide, *args, **kwargs), self._precision)

    return run


def _widen(given):
    return hand_on(given, widen(given)) if isinstance(given, torch.Tensor) else given


def _cast(result, dtype):
    if isinstance(result, tuple):
        return tuple(_cast(each, dtype) for each in result)
    return hand_on(result, result.to(dtype)) if result.is_floating_point() else result
