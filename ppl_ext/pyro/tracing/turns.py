"""One thread at a time: the host keeps its handlers on a stack that all threads share."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_turn"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_locks = [threading.RLock()]


def in_turn(function: _Function) -> _Function:
    """Let a function that runs the host wait until no other thread of this room does."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _locks[0]:
            return function(*args, **kwargs)

    return run


def _start_anew() -> None:
    # The thread that held the lock when the process was forked is not there to give it back.
    _locks[0] = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
