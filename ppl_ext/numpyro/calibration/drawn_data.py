"""What a NumPyro model draws in place of its data, after a look at whether it draws their like."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from ppl_ext.npe.answers.refusals import refuse_data_reader, refuse_masked, refuse_scaled
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["read_types"]


@in_turn
def read_types(bound: BoundModel, observed: Sequence[str]) -> dict[str, np.dtype]:
    """The types in which a model draws its data, after a look at whether they are like its data.

    Args:
        bound: The model with its arguments.
        observed: Sites that are observed.

    Raises:
        ValueError: A mask hides data, a handler scales a density, or the model reads its data
            elsewhere than in ``obs=``.
    """
    for name in observed:
        refuse_masked(name, bound.data[name][1])
    types = {}

    def score(arrays, others):
        model = handlers.uncondition(handlers.seed(bound.call.run, 0))
        with handlers.block():
            trace = handlers.trace(model).get_trace(arrays)
            sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
            again = handlers.substitute(
                model, data={name: site["value"] for name, site in sites.items()}
            )
            scored = score_trace(handlers.trace(again).get_trace(others))
        for name, site in sites.items():
            if not (site["scale"] is None or _is_one(site["scale"])):
                refuse_scaled(name)
            types[name] = np.dtype(jnp.result_type(site["value"]))
        return {name: jnp.sum(part) for name, part in scored.items()}

    with x64_scope(bound.x64):
        # One program, and so to the last bit the same where nothing hangs on the data; run twice,
        # it is not worth a second of optimisation by the compiler.
        program = jax.jit(score, compiler_options={"xla_backend_optimization_level": 0})
        before = program(bound.arrays, bound.arrays)
        after = program(bound.arrays, _change_data(bound, observed))
    refuse_data_reader(before, after)
    return {name: types[name] for name in observed}


def _is_one(scale: object) -> bool:
    return not isinstance(scale, jax.core.Tracer) and bool(np.all(np.asarray(scale) == 1))


def _change_data(bound: BoundModel, observed: Sequence[str]) -> tuple[jax.Array, ...]:
    """The arguments of a model, other numbers in place of those that come again as data."""
    rng = np.random.default_rng(0)
    changed = tuple(
        # Upwards, for counts and other data that are not negative.
        jnp.asarray(array + rng.uniform(0.5, 1.5, array.shape), array.dtype)
        if jnp.issubdtype(array.dtype, jnp.floating)
        else array
        for array in bound.arrays
    )
    seen = bound.call.observe(changed)
    data = np.concatenate([np.ravel(seen[name][0]) for name in observed])
    return tuple(
        jnp.where(np.isin(new, data), new, old)
        for new, old in zip(changed, bound.arrays, strict=True)
    )
