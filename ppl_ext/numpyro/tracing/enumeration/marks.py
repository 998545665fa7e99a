"""Which discrete sites a model marks to be summed out, and what keeps one from it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.contrib.control_flow.scan import scan_wrapper
from numpyro.ops.provenance import eval_provenance
from numpyro.primitives import Messenger

from ppl_ext.numpyro.tracing.sites import Enumerated, Plate

__all__ = [
    "KeepsMarks",
    "describe_enumerated",
    "find_dependents",
    "find_loose_dims",
    "is_enumerated",
]


# What the host writes into the marks of a site.
_HOSTS = ("_scan_current_index", "dim_to_name", "name_to_dim")


class KeepsMarks(Messenger):
    """Gives every site a dictionary of marks of its own.

    The host writes into that of the model, where several sites may share it, and the dimensions
    of one would be taken for those of another.
    """

    def process_message(self, msg: dict[str, Any]) -> None:
        """Copy the marks of a site, and those of the sites inside of a scan."""
        if msg["type"] == "sample":
            # A site without a value is new here, and what it bears of the host's is left over.
            left_over = _HOSTS if msg["value"] is None else ()
            msg["infer"] = {k: v for k, v in msg["infer"].items() if k not in left_over}
        elif msg["type"] == "control_flow" and msg["fn"] is scan_wrapper:
            step, *rest = msg["args"]
            msg["args"] = (KeepsMarks(step), *rest)


def is_enumerated(site: Mapping[str, Any]) -> bool:
    """Whether a site is one to be summed out: discrete, latent and marked."""
    if site["type"] != "sample" or site["is_observed"]:
        return False
    if site["infer"].get("enumerate") != "parallel":
        return False
    try:
        return bool(site["fn"].support.is_discrete)
    except NotImplementedError:  # a support that only its values could tell
        return False


def describe_enumerated(
    name: str, distribution: str, site: Mapping[str, Any], plates: tuple[Plate, ...]
) -> Enumerated:
    """Describe a site that is to be summed out.

    Args:
        name: The name in the ``sample`` statement.
        distribution: Class name of its prior.
        site: The host's record of it.
        plates: The plates around it.
    """
    size, problem = _count_values(site["fn"])
    return Enumerated(
        name=name,
        distribution=distribution,
        shape=jnp.shape(site["value"]),
        plates=plates,
        size=size,
        scanned="_scan_current_index" in site["infer"],
        problem=problem,
    )


def find_dependents(
    model: Callable[[], Any], values: Mapping[str, jax.Array], names: Iterable[str]
) -> set[str]:
    """The sites among some whose values hang on sites that are to be summed out.

    Args:
        model: The model without arguments.
        values: Values of the sites to be summed out.
        names: Names of the sites in question.
    """

    def run(**values):
        with handlers.block():
            trace = handlers.trace(handlers.substitute(model, data=values)).get_trace()
        return {name: trace[name]["value"] for name in names}

    sources = eval_provenance(run, **values)
    return {name for name in names if jax.tree.reduce(frozenset.union, sources[name], frozenset())}


def find_loose_dims(trace: Mapping[str, Any]) -> tuple[tuple[Any, ...], int]:
    """The sites with batch dimensions that no plate holds, as in `Sites`, and the most of any."""
    loose, most = [], 0
    for name, site in trace.items():
        if site["type"] != "sample":
            continue
        fn, shape = site["fn"], jnp.shape(site["value"])
        batch = jnp.broadcast_shapes(fn.batch_shape, shape[: len(shape) - fn.event_dim])
        most = max(most, len(batch))
        held = {frame.dim for frame in site["cond_indep_stack"]}
        # Inside a scan time is one of them, and the host's own.
        if "_scan_current_index" not in site["infer"] and any(
            size > 1 and dim - len(batch) not in held for dim, size in enumerate(batch)
        ):
            loose.append((name, batch, bool(held)))
    return tuple(loose), most


def _count_values(fn) -> tuple[int, str]:
    """How many values a distribution has, and why they cannot be summed over, if they cannot."""
    try:
        # Under a trace the list would be a traced one, though it hangs on no argument.
        with jax.ensure_compile_time_eval():
            support = fn.enumerate_support(expand=False)
    except (NotImplementedError, ValueError, jax.errors.JAXTypeError):
        return 0, "it has no list of values that is known before the model runs"
    # The host puts the numbers 0, 1, ... in the place of the values, whatever they are.
    counted = np.arange(len(support)).reshape(-1, *[1] * (jnp.ndim(support) - 1))
    known = not isinstance(support, jax.core.Tracer)
    if fn.event_dim or not known or not np.array_equal(np.asarray(support), counted):
        return len(support), "its values are not 0, 1, ..., by which NumPyro numbers them"
    return len(support), ""
