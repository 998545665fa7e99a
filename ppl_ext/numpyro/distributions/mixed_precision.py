"""Parameters in half precision, arithmetic in float32 or wider: the base of all distributions."""

import inspect
from functools import wraps

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, kl_divergence
from numpyro.distributions.util import validate_sample

HALF = (jnp.float16, jnp.bfloat16)
OF_THE_HOST = {"support", "expand", "enumerate_support", "tree_flatten"}


class AbstractMixedPrecision(Distribution):
    """A distribution whose methods see no half precision, whatever its parameters have.

    Each public method and property that a subclass defines runs on wide parameters and values;
    what it returns has the parameters' precision again. Intermediates, a list, stay wide. Values
    are validated as they came.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if name.startswith("_") or name in OF_THE_HOST:
                continue
            if isinstance(member, property):
                setattr(cls, name, property(_widened(member.fget)))
            elif inspect.isfunction(member):
                check = validate_sample if name.startswith("log_prob") else lambda method: method
                setattr(cls, name, check(_widened(member)))

    @property
    def _precision(self):
        """The type of the parameters; the narrow one where they differ."""
        types = [getattr(self, name).dtype for name in self.arg_constraints]
        return next((each for each in types if each in HALF), types[-1])

    @property
    def _wide(self):
        """The same distribution without half precision."""
        return jax.tree.map(_widen, self) if self._precision in HALF else self


def register_divergence(*families):
    """Register the divergence of two of a family, computed on wide parameters."""

    def register(divergence):
        @wraps(divergence)
        def narrowed(p, q):
            return _cast(divergence(p._wide, q._wide), p._precision)

        for family in families:
            kl_divergence.register(family, family)(narrowed)
        return divergence

    return register


def _widened(method):
    @wraps(method)
    def run(self, *args, **kwargs):
        args = [_widen(each) for each in args]
        kwargs = {name: _widen(each) for name, each in kwargs.items()}
        return _cast(method(self._wide, *args, **kwargs), self._precision)

    return run


def _widen(given):
    return given.astype(jnp.float32) if getattr(given, "dtype", None) in HALF else given


def _cast(result, dtype):
    if isinstance(result, tuple):
        return tuple(_cast(each, dtype) for each in result)
    if isinstance(result, list) or not jnp.issubdtype(result.dtype, jnp.floating):
        return result
    return result.astype(dtype)
