"""A fit's own copy of its guide and parameters, which later fits of the guide leave alone."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pyro
import torch

from ppl_ext.pyro.guides.unconstrained import AbstractUnconstrainedGuide
from ppl_ext.pyro.tracing.held_parameters import HeldStore

__all__ = ["copy_fitted", "read_params"]


def copy_fitted(guide: Callable[..., Any], state: dict) -> tuple[Callable[..., Any], HeldStore]:
    """Copies a guide and takes down the parameters with which it was fitted.

    Args:
        guide: The guide.
        state: State of the parameter store.

    Returns:
        The copy, and its parameters and those of the model. A guide of this package keeps its
        parameters itself and has none in there.
    """
    copies: dict[int, torch.Tensor] = {}
    if isinstance(guide, AbstractUnconstrainedGuide):
        # Its copy has a name of its own: two guides never share parameters.
        own = f"{guide._pyro_name}."
        state = {
            what: {name: value for name, value in named.items() if not name.startswith(own)}
            for what, named in state.items()
        }
        guide = copy.deepcopy(guide)
    elif isinstance(guide, torch.nn.Module):
        twins: dict[int, torch.nn.Module] = {}
        guide = _copy_module(guide, copies, twins)
        for twin in twins.values():
            # The parts of a list of guides know the list by a weak reference.
            master = vars(twin).get("master")
            if isinstance(master, weakref.ref) and id(master()) in twins:
                vars(twin)["master"] = weakref.ref(twins[id(master())])
    params = {name: copies.get(id(value), value) for name, value in state["params"].items()}
    shared = [value for value in state["params"].values() if id(value) not in copies]
    values = tuple((value, value.detach().clone()) for value in shared)
    return guide, HeldStore({**state, "params": params}, values)


def read_params(guide: Callable[..., Any], store: HeldStore | None) -> dict[str, torch.Tensor]:
    """The parameters of guide and model by their names in the parameter store.

    Args:
        guide: The guide; one of this package keeps its parameters itself.
        store: The others, None if there are none.
    """
    named: dict[str, torch.Tensor] = {}
    if isinstance(guide, AbstractUnconstrainedGuide):
        named |= {f"{guide._pyro_name}.{name}": p for name, p in guide.named_pyro_params()}
    if store is not None:
        with store.in_force():
            named |= dict(pyro.get_param_store().items())
    return {name: value.detach().clone() for name, value in named.items()}


def _copy_module(
    module: torch.nn.Module, copies: dict[int, torch.Tensor], twins: dict[int, torch.nn.Module]
) -> torch.nn.Module:
    """Copies a module and its tensors but not what else it refers to, such as the model.

    ``copy.deepcopy`` would copy that too, fails on tensors that carry a graph, and makes the
    host's guides forget their model.
    """
    if id(module) in twins:
        return twins[id(module)]
    twin = twins[id(module)] = module.__new__(type(module))
    own = {
        name: copy.copy(value) if isinstance(value, (dict, list, set)) else value
        for name, value in vars(module).items()
    }
    for name in ("_parameters", "_buffers"):
        own[name] = {key: _copy_tensor(value, copies) for key, value in own[name].items()}
    own["_modules"] = {
        key: part if part is None else _copy_module(part, copies, twins)
        for key, part in own["_modules"].items()
    }
    vars(twin).update(own)
    return twin


def _copy_tensor(
    tensor: torch.Tensor | None, copies: dict[int, torch.Tensor]
) -> torch.Tensor | None:
    if tensor is None:
        return None
    if id(tensor) not in copies:
        twin = tensor.detach().clone()
        if isinstance(tensor, torch.nn.Parameter):
            twin = torch.nn.Parameter(twin, tensor.requires_grad)
        copies[id(tensor)] = twin
    return copies[id(tensor)]
