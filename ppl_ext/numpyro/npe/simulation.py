"""Pairs of latent values and data from a NumPyro model, many in one compiled program."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from ppl_ext.numpyro.calibration.simulation import refuse_factors, refuse_improper
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.rng_keys import seed_from
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["ModelSimulator", "find_exchangeable"]

_BATCH = 1024
_LOOKS = 8  # simulations whose rows are exchanged

Values = dict[str, np.ndarray]


class ModelSimulator:
    """Draws of latent values and data from a model, each row from a key of its own.

    For `ppl_ext.npe.pair_source.PairSource`.

    Args:
        bound: The model with its arguments.
        latent: Sites whose values are wanted.
        observed: Sites whose data are wanted.
        rng_key: Random key of all simulations.

    Raises:
        ValueError: The model has a factor or an improper prior.
    """

    def __init__(
        self, bound: BoundModel, latent: Sequence[str], observed: Sequence[str], rng_key: jax.Array
    ) -> None:
        refuse_improper(bound)
        self.identity = {"key": [int(word) for word in seed_from(rng_key).entropy]}
        self._bound, self._key = bound, rng_key

        def run(row, rng_key, arrays, names):
            model = handlers.seed(bound.call.run, jax.random.fold_in(rng_key, row))
            with handlers.block():
                trace = handlers.trace(handlers.uncondition(model)).get_trace(arrays)
            refuse_factors(bound, trace)
            return {name: trace[name]["value"] for name in names}

        def compile_for(names):
            return jax.jit(jax.vmap(lambda row, key, arrays: run(row, key, arrays, names), _ROWS))

        self._latent = compile_for(tuple(latent))
        self._both = compile_for((*latent, *observed))
        self._names = tuple(latent), tuple(observed)

    def simulate(self, rows: np.ndarray) -> dict[str, Values]:
        """Simulate rows: ``{"latent": {site: array[row, ...]}, "observed": ...}``."""
        drawn = self._run(self._both, rows)
        latent, observed = ({name: drawn[name] for name in names} for names in self._names)
        return {"latent": latent, "observed": observed}

    def draw_latent(self, first_row: int, size: int) -> Values:
        """The latent values of these rows alone."""
        return self._run(self._latent, np.arange(first_row, first_row + size))

    @in_turn
    def _run(self, program: Callable, rows: np.ndarray) -> Values:
        parts = []
        with x64_scope(self._bound.x64):
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                padded = np.pad(some, (0, _BATCH - len(some)))
                drawn = program(padded, self._key, self._bound.arrays)
                parts.append({name: np.asarray(x[: len(some)]) for name, x in drawn.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


_ROWS = (0, None, None)  # axes that are mapped over


@in_turn
def find_exchangeable(bound: BoundModel, latent: Sequence[str], observed: Sequence[str]) -> str:
    """Name the plate whose rows may change places without a change of the model's density.

    Rows are exchanged together with what else stands in the plate, so that nuisances of a row go
    with it. A plate around a site of interest is none: its rows have names.

    Args:
        bound: The model with its arguments.
        latent: Sites of interest.
        observed: Sites that are observed.

    Returns:
        The plate with the most rows; empty where there is none.
    """
    sites = bound.sites
    inside: dict[str, list[tuple[str, int]]] = {}
    for site in (*sites.latents, *sites.enumerated, *sites.observed):
        for plate in site.plates:
            axis = len(site.shape) - getattr(site, "event_dim", 0) + plate.dim
            inside.setdefault(plate.name, []).append((site.name, axis))
    sizes = {plate.name: plate.size for plate in sites.plates if not plate.subsamples}
    for plate in sorted(sizes, key=lambda name: -sizes[name]):
        names = {name for name, _ in inside.get(plate, [])}
        if sizes[plate] < 2 or names & set(latent) or not names & set(observed):
            continue
        with x64_scope(bound.x64):
            before, after = _score_exchanged(bound, dict(inside[plate]), sizes[plate])
        if np.allclose(before, after, rtol=1e-4, atol=1e-3):
            return plate
    return ""


def _score_exchanged(
    bound: BoundModel, axes: Mapping[str, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log densities of some simulations, and of the same with the rows of a plate turned."""

    def score(key):
        model = handlers.uncondition(handlers.seed(bound.call.run, key))
        with handlers.block():
            trace = handlers.trace(model).get_trace(bound.arrays)
            values = {
                name: site["value"] for name, site in trace.items() if site["type"] == "sample"
            }
            # One order in which covariates come again may hide them, eight do not.
            order = jax.random.permutation(key, size)
            turned = {
                name: jnp.take(value, order, axes[name]) if name in axes else value
                for name, value in values.items()
            }
            totals = []
            for data in (values, turned):
                again = handlers.substitute(
                    handlers.uncondition(handlers.seed(bound.call.run, key)), data=data
                )
                scored = score_trace(handlers.trace(again).get_trace(bound.arrays))
                totals.append(sum(jnp.sum(part) for part in scored.values()))
        return jnp.stack(totals)

    totals = np.asarray(jax.jit(jax.vmap(score))(jax.random.split(jax.random.key(0), _LOOKS)))
    return totals[:, 0], totals[:, 1]
