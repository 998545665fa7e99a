"""A model and a guide on their way through minibatches, many steps in one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec
from numpyro.infer import SVI

from ppl_ext.numpyro.training.optimizers import DEFAULT_OPTIMIZER, put_in_a_row
from ppl_ext.numpyro.training.parts import PARTS, Parts
from ppl_ext.training.minibatches import Batch
from ppl_ext.training.refusals import say_process_is_gone

__all__ = ["MinibatchLearner", "Programs", "compile_programs"]

_SCORING = 0x5C0E  # folded into the key of the noise of scores


class _State(NamedTuple):
    """Parameters as the optimiser sees them, in a row, and what belongs to each of them."""

    parameters: jax.Array
    optimizer: Any
    average: jax.Array
    averaged: jax.Array


@dataclass(frozen=True, eq=False)
class Programs:
    """The compiled functions of a training, and where it starts."""

    start: jax.Array
    optimizer: optax.GradientTransformation
    constrain: Callable[[jax.Array], dict[str, Any]]
    advance: Callable[..., tuple[_State, jax.Array]]
    score: Callable[..., jax.Array]


class MinibatchLearner:
    """A model and a guide on their way (see `ppl_ext.training.learner.Learner`).

    Args:
        programs: What is run.
        rng_key: Key of the noise; that of a step follows from its number.
        parts: How batches are divided.
    """

    def __init__(self, programs: Programs, rng_key: jax.Array, parts: Parts) -> None:
        self._programs, self._key, self._parts = programs, rng_key, parts
        self._longest = 0
        start, averaged = programs.start, jnp.zeros((), jnp.int32)
        optimizer = programs.optimizer.init(start)
        self._state = self._best = _State(start, optimizer, start, averaged)

    @property
    def params(self) -> dict[str, Any]:
        """Averaged parameters, as the host's functions take them."""
        average = jnp.asarray(np.asarray(self._state.average))
        return self._programs.constrain(average)

    def advance(self, step: int, batches: list[Batch], step_size: float) -> np.ndarray:
        """Make a step with each batch: ``losses[step]``."""
        state, losses = self._state, []
        try:
            for _, same in groupby(batches, _shapes):
                block = list(same)
                # One program for blocks of every length: shorter ones are filled up.
                self._longest = max(self._longest, len(block))
                laid = self._parts.lay(block + block[-1:] * (self._longest - len(block)))
                steps, size = np.array([step, len(block)], np.int32), np.float32(step_size)
                state, found = self._programs.advance(state, self._key, steps, size, laid)
                losses.append(np.asarray(found, np.float64)[: len(block)])
                step += len(block)
            self._state = state
            return np.concatenate(losses)
        except jax.errors.JaxRuntimeError as error:
            if jax.process_count() == 1:
                raise
            raise say_process_is_gone(step) from error

    def score(self, batches: Iterable[Batch]) -> np.ndarray:
        """Losses of the averaged parameters, ``[batch]``, with the same noise at every call."""
        key, average = jax.random.fold_in(self._key, _SCORING), np.asarray(self._state.average)
        losses = [
            self._programs.score(average, jax.random.fold_in(key, number), batch)
            for number, batch in enumerate(batches)
        ]
        return np.array([float(loss) for loss in losses])

    def agree(self, numbers: np.ndarray) -> np.ndarray:
        """Those of the first process."""
        if jax.process_count() == 1:
            return numbers
        return np.asarray(multihost_utils.broadcast_one_to_all(numbers))

    def parameters(self) -> np.ndarray:
        """As the optimiser sees them, ``[parameter]``."""
        return np.asarray(self._state.parameters)

    def forget_gradients(self) -> None:
        """Let Adam begin anew from where the parameters are."""
        optimizer = self._programs.optimizer.init(self._state.parameters)
        self._state = self._state._replace(optimizer=optimizer)

    def keep(self) -> None:
        """Remember the averaged parameters as the best."""
        self._best = self._state

    def restore(self) -> None:
        """Put the best parameters back, with the optimiser as it was then."""
        self._state = self._best._replace(parameters=self._best.average)
        self.restart_average()

    def restart_average(self) -> None:
        """Average the parameters from here on."""
        self._state = self._state._replace(averaged=jnp.zeros((), jnp.int32))

    def state(self) -> dict[str, np.ndarray]:
        """All that the training has reached, for a checkpoint."""
        return {name: np.asarray(leaf) for name, leaf in _named(self._best, self._state).items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        leaves = [jnp.asarray(state[name]) for name in _named(self._best, self._state)]
        both = jax.tree.unflatten(jax.tree.structure((self._best, self._state)), leaves)
        self._best, self._state = both


def compile_programs(
    svi: SVI, params: Any, parts: Parts, optim: optax.GradientTransformation | None
) -> Programs:
    """The programs of a training.

    Args:
        svi: The host's object with model, guide and objective.
        params: Parameters as its optimiser sees them.
        parts: How batches are divided.
        optim: Optimiser of these parameters; None for the default one.
    """
    start, unravel = ravel_pytree(params)
    optimizer = DEFAULT_OPTIMIZER if optim is None else put_in_a_row(optim, unravel)

    def constrain(flat: jax.Array) -> dict[str, Any]:
        return svi.constrain_fn(unravel(flat))

    def loss_of(flat: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
        return svi.loss.loss(key, constrain(flat), svi.model, svi.guide, *batch)

    def learn_part(flat: jax.Array, key: jax.Array, number: jax.Array, batch: Any) -> jax.Array:
        """Loss and gradient of a part, in a row."""
        loss, slope = jax.value_and_grad(loss_of)(flat, jax.random.fold_in(key, number), batch)
        return jnp.concatenate([loss[None], slope])

    def learn_batch(flat: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
        """Mean of the parts of this device, and of all devices in one reduction."""
        mine = jax.tree.leaves(batch)[0].shape[0]
        first = jax.lax.axis_index(PARTS) * mine if parts.mesh else 0
        numbers = first + jnp.arange(mine)
        if mine == 1:
            found = learn_part(flat, key, numbers[0], jax.tree.map(lambda x: x[0], batch))
        else:
            one = functools.partial(learn_part, flat, key)
            found = jax.lax.map(lambda each: one(*each), (numbers, batch)).mean(0)
        return jax.lax.pmean(found, PARTS) if parts.mesh else found

    def one_step(state: _State, rng_key: jax.Array, step_size: jax.Array, given: Any):
        number, batch = given
        found = learn_batch(state.parameters, jax.random.fold_in(rng_key, number), batch)
        update, moments = optimizer.update(found[1:], state.optimizer, state.parameters)
        parameters = state.parameters + (step_size * update).astype(update.dtype)
        # Weights that grow with the step: what was at first soon counts for nothing.
        weight = 4.0 / (state.averaged + 4.0)
        mean = state.average + weight * (parameters - state.average)
        # Under a mask a loss can be finite where its gradient is not.
        loss = jnp.where(jnp.isfinite(found).all(), found[0], jnp.nan)
        return _State(parameters, moments, mean, state.averaged + 1), loss

    def advance(state: _State, rng_key: jax.Array, steps: Any, step_size: Any, block: Any):
        first, count = steps

        def one(index: jax.Array, reached: tuple[_State, jax.Array]) -> tuple[_State, jax.Array]:
            given = first + index, jax.tree.map(lambda x: x[index], block)
            state, loss = one_step(reached[0], rng_key, step_size, given)
            return state, reached[1].at[index].set(loss)

        losses = jnp.zeros(jax.tree.leaves(block)[0].shape[0], state.parameters.dtype)
        return jax.lax.fori_loop(0, count, one, (state, losses))

    if parts.mesh is not None:
        everywhere, divided = PartitionSpec(), PartitionSpec(None, PARTS)
        advance = jax.shard_map(
            advance,
            mesh=parts.mesh,
            in_specs=(everywhere, everywhere, everywhere, everywhere, divided),
            out_specs=everywhere,
            check_vma=False,
        )
    return Programs(start, optimizer, jax.jit(constrain), jax.jit(advance), jax.jit(loss_of))


def _shapes(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(array) for array in batch)


def _named(best: _State, now: _State) -> dict[str, jax.Array]:
    leaves, _ = jax.tree.flatten_with_path((best, now))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
