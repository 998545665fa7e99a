"""Training of networks side by side, many steps in one compiled program."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ppl_ext.npe.settings import Training
from ppl_ext.numpyro.flows.distribution import FlowDistribution
from ppl_ext.numpyro.npe.network import Network, flatten_weights

__all__ = ["NetworkLearner"]

_LONGEST = 5.0  # norm of a gradient
_WARM_UP = 200  # steps until the step size is reached
_HELD_OUT_ROWS = 4096  # of one batch

_ADAM = optax.flatten(optax.chain(optax.clip_by_global_norm(_LONGEST), optax.scale_by_adam()))


class _State(NamedTuple):
    weights: Any
    adam: Any
    average: Any
    step: Any


@jax.jit
def _begin(weights: Any) -> _State:
    steps = jnp.zeros(len(jax.tree.leaves(weights)[0]), jnp.int32)
    return _State(weights, jax.vmap(_ADAM.init)(weights), weights, steps)


class NetworkLearner:
    """Members of an ensemble on their way (see `ppl_ext.npe.learning.Learner`).

    Args:
        network: What is trained.
        settings: How.
        weights: Where to start, ``[member, ...]``.
    """

    def __init__(self, network: Network, settings: Training, weights: Any) -> None:
        self._program = _compile_steps(network, settings)
        self._look = _compile_look(network)
        self._state = self._best = _begin(weights)

    @property
    def weights(self) -> Any:
        """Averaged weights of all members."""
        return self._state.average

    def advance(self, u: np.ndarray, f: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Make a step for each batch: mean losses ``[member]``."""
        state, losses = self._program(self._state, u, f, rates.astype(np.float32))
        losses = np.asarray(losses, float)
        self._state = state
        return losses

    def look(self, u: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Log densities of pairs, and squared lengths of their noise, ``[member, pair]``."""
        parts = []
        for start in range(0, len(u), _HELD_OUT_ROWS):
            rows = slice(start, start + _HELD_OUT_ROWS)
            parts.append(self._look(self._state.average, u[rows], f[rows]))
        return jax.tree.map(lambda *each: np.concatenate(each, 1).astype(float), *parts)

    def keep(self, members: np.ndarray) -> None:
        """Remember the averaged weights of some members as their best."""
        self._best = _choose(members, self._state, self._best)

    def restore(self, members: np.ndarray) -> None:
        """Put their best weights back, with the optimiser as it was then."""
        best = self._best._replace(weights=self._best.average)
        self._state = _choose(members, best, self._state)

    def state(self) -> dict[str, np.ndarray]:
        """All that the training has reached, for a checkpoint."""
        both = {"best": self._best, "now": self._state}
        return {name: np.asarray(leaf) for name, leaf in flatten_weights(both).items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        both = {"best": self._best, "now": self._state}
        leaves = [jnp.asarray(state[name]) for name in flatten_weights(both)]
        both = jax.tree.unflatten(jax.tree.structure(both), leaves)
        self._best, self._state = both["best"], both["now"]


def _choose(members: np.ndarray, one: _State, other: _State) -> _State:
    if members.all():
        return one
    return _compile_choice()(members, one, other) if members.any() else other


@functools.cache
def _compile_choice():
    @jax.jit
    def choose(members, one, other):
        def pick(a, b):
            return jnp.where(members.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        return jax.tree.map(pick, one, other)

    return choose


@functools.lru_cache(maxsize=32)
def _compile_steps(network: Network, settings: Training):
    def step(state: _State, batch, rate):
        u, f = batch
        loss, gradient = jax.value_and_grad(
            lambda weights: -network.given(weights, f).log_prob(u).mean()
        )(state.weights)
        direction, adam = _ADAM.update(gradient, state.adam)
        made = state.step + 1
        rate = settings.step_size * rate * jnp.minimum(1.0, made / _WARM_UP)
        weights = jax.tree.map(
            lambda w, d: w - rate * (d + settings.weight_decay * w), state.weights, direction
        )
        # A young average forgets sooner.
        past = jnp.minimum(settings.average, (1.0 + made) / (10.0 + made))
        average = jax.tree.map(lambda a, w: past * a + (1 - past) * w, state.average, weights)
        return _State(weights, adam, average, made), loss

    def advance(state, rate, u, f):
        state, losses = jax.lax.scan(lambda s, batch: step(s, batch, rate), state, (u, f))
        return state, losses.mean()

    @jax.jit
    def all_members(states, u, f, rates):
        return jax.vmap(advance, (0, 0, None, None))(states, rates, u, f)

    return all_members


@functools.lru_cache(maxsize=32)
def _compile_look(network: Network):
    def look(weights, u, f):
        q = network.given(weights, f)
        if not isinstance(q, FlowDistribution):
            return q.log_prob(u), None
        log_q, e = q.log_prob_with_noise(u)
        return log_q, (e**2).sum(-1)

    return jax.jit(jax.vmap(look, (0, None, None)))
