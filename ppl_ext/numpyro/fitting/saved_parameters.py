"""Parameters of a guide as a file holds them: arrays by name, and the flow that they belong to."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ppl_ext.numpyro.flows import AutoregressiveFlow, CouplingFlow
from ppl_ext.numpyro.guides.flow import AutoFlow

__all__ = ["describe_flow", "flatten_parameters", "nest_parameters", "restore_flow"]

# A file names a flow by a word of this table and never by an import path.
_FLOWS = {kind.__name__: kind for kind in (AutoregressiveFlow, CouplingFlow)}


def flatten_parameters(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters, those that are trees of arrays taken apart.

    Args:
        params: Parameters of a guide.

    Returns:
        ``{name: array}``.
    """
    return {_name(path): np.asarray(leaf) for path, leaf in _leaves(dict(params))[0]}


def nest_parameters(guide: Any, flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Undo `flatten_parameters`.

    Args:
        guide: The guide, which has seen its model.
        flat: Its parameters by name.

    Returns:
        The parameters.
    """
    if not isinstance(guide, AutoFlow):
        return dict(flat)
    shapes = jax.eval_shape(guide.flow.init, jax.random.key(0))
    leaves, tree = _leaves({f"{guide.prefix}_flow": shapes})
    names = [_name(path) for path, _ in leaves]
    rest = {name: array for name, array in flat.items() if name not in names}
    return {**rest, **jax.tree.unflatten(tree, [flat[name] for name in names])}


def describe_flow(guide: Any) -> dict[str, Any]:
    """What a file has to know of the flow of a guide; nothing where it has none."""
    if not isinstance(guide, AutoFlow):
        return {}
    return {"flow": {"kind": type(guide.flow).__name__, **vars(guide.flow)}}


def restore_flow(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by which a guide gets its flow back."""
    if "flow" not in settings:
        return {}
    options = dict(settings["flow"])
    return {"flow": _FLOWS[options.pop("kind")](**options)}


def _leaves(params: Mapping[str, Any]) -> tuple[list[tuple[Any, Any]], Any]:
    return jax.tree_util.tree_flatten_with_path(params)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
