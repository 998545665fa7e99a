"""Parameters of a guide as a file holds them: arrays by name, and the flow that they belong to."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ppl_ext.numpyro.flows import AutoregressiveFlow, CouplingFlow
from ppl_ext.numpyro.guides.flow import AutoFlow

__all__ = ["describe_guide", "flatten_parameters", "nest_parameters", "restore_options"]

# A file names a flow by a word of this table and never by an import path.
_FLOWS = {kind.__name__: kind for kind in (AutoregressiveFlow, CouplingFlow)}


def flatten_parameters(guide: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a guide; those of a flow, a tree of arrays, taken apart.

    Args:
        guide: The guide.
        params: Its parameters.

    Returns:
        ``{name: array}``.
    """
    if not isinstance(guide, AutoFlow):
        return dict(params)
    name = f"{guide.prefix}_flow"
    rest = {other: value for other, value in params.items() if other != name}
    leaves, _ = _leaves({name: params[name]})
    return {**rest, **{_name(path): np.asarray(leaf) for path, leaf in leaves}}


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


def describe_guide(guide: Any) -> dict[str, Any]:
    """What a file has to know of a guide to make it anew, and of its flow where it has one."""
    options: dict[str, Any] = {"prefix": guide.prefix}
    if isinstance(guide, AutoFlow):
        options["flow"] = {"kind": type(guide.flow).__name__, **vars(guide.flow)}
    return options


def restore_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by which a guide is made anew."""
    options: dict[str, Any] = {"prefix": settings["prefix"]}
    if "flow" in settings:
        flow = dict(settings["flow"])
        options["flow"] = _FLOWS[flow.pop("kind")](**flow)
    return options


def _leaves(params: Mapping[str, Any]) -> tuple[list[tuple[Any, Any]], Any]:
    return jax.tree_util.tree_flatten_with_path(params)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
