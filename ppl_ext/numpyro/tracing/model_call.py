"""A call of a model, split into what a compiled program is made for and what it is fed.

Arrays and floats change from data set to data set and are arguments of the compiled programs;
everything else (integers, strings, flags, what the model reads from its closure and its module)
shapes the program itself and is part of the key under which it is kept.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.numpyro.tracing.centering import Centering
from ppl_ext.numpyro.tracing.data.data_kinds import ReadsData, array_from, is_foreign
from ppl_ext.numpyro.tracing.data.imputation import Imputes
from ppl_ext.numpyro.tracing.data.snapshot import take_snapshot
from ppl_ext.numpyro.tracing.enumeration.marks import KeepsMarks
from ppl_ext.numpyro.tracing.find_sites import WholePlates, trace_sites
from ppl_ext.numpyro.tracing.fingerprint import take_fingerprint
from ppl_ext.numpyro.tracing.held_parameters import (
    HoldParameters,
    ParameterLayout,
    trace_parameters,
)
from ppl_ext.numpyro.tracing.hidden_draws import RefusesGivenValues
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["Arrays", "Given", "ModelCall", "split_call", "take_off_wrappers"]

Arrays = tuple[jax.Array, ...]
Given = tuple[tuple[Any, ...], dict[str, Any]]
_Around = tuple[Given, dict[str, PartialCentering]]


@dataclass(frozen=True)
class ModelCall:
    """A model and the fixed half of its arguments; hashable, equal for equal programs.

    Args:
        model: The model, partials and `Centering` taken off, with what it read when it was bound.
        treedef: Structure of the arguments, those of the partial apart from those given.
        fixed: One entry for each leaf: its fingerprint, or None where it is an array argument.
        avals: ``(shape, dtype)`` of the array arguments, in order.
        surroundings: Fingerprint of what the model reads from its closure and its module.
        x64: Whether the programs run in float64.
        whole: Whether model and guide see every row of their plates.
        held: Whether the last of the arrays is that of the model's parameters, so that it has
            none left.
        summed: Whether discrete sites that are marked for it are summed out.
    """

    model: Callable[..., Any] = field(compare=False)
    treedef: Any
    fixed: tuple[Any, ...]
    avals: tuple[tuple[tuple[int, ...], str], ...]
    surroundings: Any
    x64: bool
    whole: bool = False
    held: bool = False
    summed: bool = True

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of the programs."""
        return np.dtype(np.float64 if self.x64 else np.float32)

    def run(self, arrays: Arrays) -> Any:
        """The model as a function of its array arguments."""
        if self.held:
            return self.run_held(arrays)[0]
        ((first, keywords), centering), (args, kwargs) = self._unflatten(arrays)
        layers = (self._plates(), Centering(sites=centering), Imputes(), ReadsData(), KeepsMarks())
        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(layer)
            return self.model(*first, *args, **{**keywords, **kwargs})

    def run_held(self, arrays: Arrays) -> tuple[Any, dict[str, Any]]:
        """The same with its parameters held at the last of the arrays, and their values."""
        free = replace(self, avals=self.avals[:-1], held=False)
        held = HoldParameters(free.parameters, arrays[-1])
        with held:
            return free.run(arrays[:-1]), held.values

    def hold(self, size: int) -> "ModelCall":
        """The call that takes its parameters, so many numbers, as one more array."""
        return replace(self, avals=(*self.avals, ((size,), self.dtype)), held=True)

    def run_guide(self, guide: Callable[..., Any], arrays: Arrays) -> Any:
        """A guide on the same arguments, without those that a partial gives to the model."""
        args, kwargs = self.given(arrays)
        with self._plates():
            return guide(*args, **kwargs)

    def given(self, arrays: Arrays) -> Given:
        """``(args, kwargs)`` as they were given, with the array arguments put in."""
        return self._unflatten(arrays)[1]

    @property
    def sites(self) -> Sites:
        """What the model is made of.

        Raises:
            ValueError: It draws minibatches and cannot see all rows.
        """
        return _look(self)[0]

    @property
    def parameters(self) -> ParameterLayout | None:
        """Its parameters; None where there are none, or such as cannot be held."""
        return _look_at_parameters(self)

    def observe(self, arrays: Arrays) -> dict[str, tuple[jax.Array, jax.Array | None]]:
        """The observed values, by site, and which of their entries count, None for all."""
        return _look(self)[1](arrays)

    def _plates(self) -> contextlib.AbstractContextManager:
        return WholePlates() if self.whole else contextlib.nullcontext()

    def _unflatten(self, arrays: Arrays) -> tuple[_Around, Given]:
        rest = iter(arrays)
        leaves = [next(rest) if leaf is None else leaf.value for leaf in self.fixed]
        return jax.tree.unflatten(self.treedef, leaves)


def split_call(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    surroundings: Any,
    kinds: str = "",
    foreign: bool = True,
) -> tuple[ModelCall, Arrays]:
    """Split a call into its fixed half and its arrays, floats in the precision in force.

    Args:
        model: NumPyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        surroundings: Fingerprint of the model.
        kinds: Kinds of arrays (NumPy's letters, ``"iub"`` for integers and flags) that are fixed
            too, for a model that needs their values while it is traced.
        foreign: Whether the arrays of other libraries, such as a series, become arrays.
    """
    x64 = bool(jax.config.jax_enable_x64)
    model, bound = take_off_wrappers(model)
    leaves, treedef = jax.tree.flatten((bound, (tuple(args), dict(kwargs))))
    fixed: list[_Leaf | None] = []
    arrays = []
    for given in leaves:
        leaf = array_from(given) if foreign and is_foreign(given) else given
        if _is_array_argument(leaf) and jnp.result_type(leaf).kind not in kinds:
            fixed.append(None)
            arrays.append(_as_argument(leaf, x64))
        else:
            fixed.append(_Leaf(take_fingerprint(given), take_snapshot(given)))
    avals = tuple((array.shape, array.dtype) for array in arrays)
    model = take_snapshot(model)
    return ModelCall(model, treedef, tuple(fixed), avals, surroundings, x64), tuple(arrays)


def _is_array_argument(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind in "biufc" and not isinstance(leaf, np.ma.MaskedArray)
    return isinstance(leaf, (jax.Array, float, np.floating))


def _as_argument(leaf: Any, x64: bool) -> jax.Array:
    # A copy, for JAX 0.10 keeps the float32 buffer that it once made of a NumPy array and hands
    # it out where float64 is on.
    array = jnp.asarray(np.array(leaf) if isinstance(leaf, np.ndarray) else leaf)
    # In float64 a data set that was read in float32 would drag the whole program down with it.
    if x64 and array.dtype == jnp.float32:
        array = array.astype(jnp.float64)
    return array


def take_off_wrappers(model: Callable[..., Any]) -> tuple[Callable[..., Any], _Around]:
    """The function inside of partials and `Centering`, and the arrays that they hold.

    Returns:
        The function, the arguments that partials give it, and the coordinates of sites.
    """
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    centering: dict[str, PartialCentering] = {}
    while isinstance(model, (functools.partial, Centering)):
        if isinstance(model, Centering):
            centering, model = {**model.sites, **centering}, model.fn
        else:
            args, kwargs, model = model.args + args, {**model.keywords, **kwargs}, model.func
    return model, ((args, kwargs), centering)


@dataclass(frozen=True)
class _Leaf:
    """A fixed argument, compared by its fingerprint."""

    fingerprint: Any

    # The value stays out of the comparison: two equal arrays make the same program.
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Leaf) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


@functools.lru_cache(maxsize=128)
def _look(call: ModelCall) -> tuple[Sites, Callable]:
    shapes = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in call.avals)
    if not call.whole:
        return trace_sites(RefusesGivenValues(call.run), shapes, summed=call.summed)
    try:
        # Data of a minibatch show only when they are scored that they are not those of all rows.
        found = trace_sites(call.run, shapes, score_data=True, summed=call.summed)
        for site in found[0].observed:
            if not site.fits:
                raise ValueError(f"{site.shape} of '{site.name}' are not {site.expected_shape}")
        return found
    except (TypeError, ValueError) as error:
        seen = replace(call, whole=False).sites
        drawn = [plate.name for plate in seen.plates if plate.subsamples]
        raise ValueError(
            f"draws: the model cannot see all rows of the plates {drawn} ({error}); expected it "
            "to take all data and to pick its rows by the plate: with numpyro.plate(...) as i, "
            "and obs=y[i]."
        ) from error


@functools.lru_cache(maxsize=128)
def _look_at_parameters(call: ModelCall) -> ParameterLayout | None:
    shapes = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in call.avals)
    return trace_parameters(call.run, shapes, call.dtype)
