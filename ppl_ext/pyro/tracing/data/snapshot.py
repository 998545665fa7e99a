"""A model that keeps what it read when it was bound: its report must not read what changed."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from pyro.poutine.messenger import Messenger, _bound_partial
from pyro.poutine.reparam_messenger import ReparamHandler

from ppl_ext.closures.snapshot import Snapshots

__all__ = ["take_snapshot"]


def take_snapshot(value: Any) -> Any:
    """The value with copies of the arrays, frames and numbers that it reads or holds.

    Modules of torch and tensors that are learnt are left as they are.
    """
    return _SNAPSHOTS.take(value)


def _copy_own(value: Any, take: Callable[[Any], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return value if value.requires_grad else value.clone()
    if isinstance(value, _bound_partial):  # what a handler around a function is
        return functools.update_wrapper(_bound_partial(take(value.func)), value)
    return None


_SNAPSHOTS = Snapshots(
    kept=(torch.nn.Module,),
    arrays=(torch.Tensor,),
    handlers=(Messenger, ReparamHandler),
    copy_own=_copy_own,
)
