"""A NumPyro model with its arguments bound: made once for a fit and handed to all that need it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.draws.counts import read_counts
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.numpyro.tracing.centering import Centering
from ppl_ext.numpyro.tracing.data.data_kinds import DataError, blame_arguments, is_foreign
from ppl_ext.numpyro.tracing.fingerprint import take_fingerprint
from ppl_ext.numpyro.tracing.model_call import (
    Arrays,
    Given,
    ModelCall,
    split_call,
    take_off_wrappers,
)
from ppl_ext.numpyro.tracing.sites import Sites
from ppl_ext.numpyro.tracing.tracebacks import plate_that_raised, raise_reparam

__all__ = ["BoundModel", "bind_model", "x64_scope"]

# What JAX raises where Python code asks for the value of an array that is an argument.
_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model with its arguments bound.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        model: The model as it was given.
        call: The model and the fixed half of its arguments, the key of compiled programs.
        arrays: Its array arguments: copies, so that a buffer that is filled anew later does not
            change a finished fit.
        sites: What the model is made of.
    """

    caller: str
    model: Callable[..., Any]
    call: ModelCall
    arrays: Arrays
    sites: Sites

    @property
    def x64(self) -> bool:
        """Whether the model runs in float64."""
        return self.call.x64

    @property
    def given(self) -> Given:
        """``(args, kwargs)`` as they were given, arrays as copies."""
        return self.call.given(self.arrays)

    @property
    def traced(self) -> bool:
        """Whether the arguments are those of a program that is being compiled."""
        return any(isinstance(array, jax.core.Tracer) for array in self.arrays)

    @property
    def has_density(self) -> bool:
        """Whether there is one log density on unconstrained space for the model to have."""
        discrete = any(site.discrete for site in self.sites.latents)
        return not (self.sites.subsamples or self.sites.parameters or discrete)

    @functools.cached_property
    def data(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The observed values, by site, and which of their entries are not masked."""
        with x64_scope(self.x64):
            found = self.call.observe(self.arrays)
        data = {}
        # JAX sorts the keys of a dictionary; the model's order is the readable one.
        for site in self.sites.observed:
            value, present = found[site.name]
            present = np.ones(np.shape(value), bool) if present is None else present
            data[site.name] = np.asarray(value), np.asarray(present)
        return data

    @functools.cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """The observed values, by site, NaN where they are masked."""
        data = {
            name: value if present.all() else np.where(present, value, np.nan)
            for name, (value, present) in self.data.items()
        }
        return read_counts((site.name for site in self.sites.observed if site.discrete), data)

    def drop_missing(self, log_likelihood: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The log likelihood of every datum, NaN where the datum is missing.

        Args:
            log_likelihood: ``{site: array[draw, ...]}``.
        """
        kept = dict(log_likelihood)
        for site in self.sites.observed:
            _, present = self.data[site.name]
            if site.name in kept and not present.all():
                events = tuple(range(present.ndim - site.event_dim, present.ndim))
                kept[site.name] = np.where(present.any(events), kept[site.name], np.nan)
        return kept

    @functools.cached_property
    def whole(self) -> "BoundModel":
        """The same model, shown every row of its plates.

        Raises:
            ValueError: It cannot see all rows.
        """
        if not self.sites.subsamples:
            return self
        call = replace(self.call, whole=True)
        with x64_scope(self.x64):
            return replace(self, call=call, sites=call.sites)

    def hold(self, theta: np.ndarray) -> "BoundModel":
        """The same model with its parameters held at theta[parameter]; it has none left."""
        call, last = self.call.hold(len(theta)), jnp.asarray(theta, self.call.dtype)
        return replace(self, call=call, arrays=(*self.arrays, last), sites=call.sites)

    @functools.cached_property
    def unsummed(self) -> "BoundModel":
        """The same model, no discrete site summed out: for a guide that draws them itself."""
        call = replace(self.call, summed=False)
        with x64_scope(self.x64):
            return replace(self, call=call, sites=call.sites)

    def in_force(self) -> "BoundModel":
        """The same model in the precision in force."""
        if self.x64 == bool(jax.config.jax_enable_x64):
            return self
        return _rebind(*self.__reduce__()[1])

    @property
    def centering(self) -> Mapping[str, PartialCentering]:
        """The sites whose coordinates are not those in which they are written."""
        return self.model.sites if isinstance(self.model, Centering) else {}

    def centred(self, sites: Mapping[str, PartialCentering]) -> "BoundModel":
        """The same model with these location-scale sites in other coordinates."""
        args, kwargs = self.given
        with x64_scope(self.x64):
            bound = bind_model(self.caller, Centering(self.model, sites), args, kwargs)
        return bound.hold(self.arrays[-1]) if self.call.held else bound

    def __reduce__(self) -> tuple[Any, ...]:
        # A fingerprint holds code, which cannot be pickled, and another process has its own.
        arrays = tuple(np.asarray(array) for array in self.arrays)
        theta = arrays[-1] if self.call.held else None
        return _rebind, (theta, self.caller, self.model, *self.call.given(arrays))


def bind_model(
    caller: str, model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> BoundModel:
    """Bind arguments to a model and find its sites, with as many arrays as the model allows.

    A model may need values while it is traced (``np.unique(group)``): its integer arrays, or all
    of them, are then fixed, and other values compile anew.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        model: NumPyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        ValueError: A plate is empty.
    """
    surroundings = take_fingerprint(take_off_wrappers(model)[0])
    # Kinds of arrays, by NumPy's letters, that are fixed; a series is an array but to a model
    # that asks it for what only a series has.
    foreign = True
    attempts = ["", "iub", "iubfc"]
    while attempts:
        call, arrays = split_call(model, args, kwargs, surroundings, attempts[0], foreign)
        try:
            return BoundModel(caller, model, call, arrays, call.sites)
        except DataError as error:
            raise ValueError(f"{caller}: {error}.") from error
        except AttributeError:
            if not (foreign and any(map(is_foreign, jax.tree.leaves((args, kwargs))))):
                raise
            foreign = False
        except _NEEDS_VALUES as error:
            attempts.pop(0)
            if not attempts:
                _raise_blame(caller, model, args, kwargs, error)
        except TypeError as error:
            _raise_blame(caller, model, args, kwargs, error)
        except AssertionError as error:
            name = plate_that_raised(error)
            if not name:
                raise_reparam(caller, error)
            raise ValueError(
                f"{caller}: plate '{name}' is empty; expected a size of at least 1. Leave the "
                "plate out where it has no rows, or pass the data."
            ) from error
    raise AssertionError


def _rebind(theta: np.ndarray | None, *how: Any) -> BoundModel:
    bound = bind_model(*how)
    return bound if theta is None else bound.hold(theta)


def _raise_blame(
    caller: str,
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    error: Exception,
) -> NoReturn:
    """Raise for the arguments that are no numbers, or what was raised where they all are."""
    blamed = blame_arguments(model, args, kwargs)
    if blamed:
        raise ValueError(f"{caller}: {blamed}.") from error
    raise error


def x64_scope(x64: bool):
    """Context in which JAX runs in float64 (True) or float32 (False), whatever the flag says."""
    return jax.enable_x64(x64)
