"""One thread at a time: the host keeps its handlers on a stack that all threads share."""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["in_turn"]

_LOCK = threading.RLock()
_processes: list[int] = []
_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_turn(function: _Function) -> _Function:
    """Let a function that runs the host wait until no other thread of this room does.

    Raises:
        RuntimeError: The process was forked from one in which such a function had run: JAX's
            threads are not there, and its programs would wait for them for ever.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        # Before the lock, which another thread of the parent may have held.
        _refuse_fork(function.__qualname__)
        with _LOCK, _on_jax():
            return function(*args, **kwargs)

    return run


@contextmanager
def _on_jax() -> Iterator[None]:
    """Has funsor reckon in JAX: it has one backend for all, and Pyro's may have been the last."""
    funsor = sys.modules.get("funsor")
    before = funsor.get_backend() if funsor else "jax"
    if before == "jax":
        yield
        return
    funsor.set_backend("jax")
    try:
        yield
    finally:
        if before == "torch":  # there is no way back to NumPy
            funsor.set_backend("torch")


def _refuse_fork(caller: str) -> None:
    process = os.getpid()
    if not _processes:
        _processes.append(process)
    elif _processes[0] != process:
        raise RuntimeError(
            f"{caller}: process {process} was forked from process {_processes[0]} after JAX had "
            "run there; expected a process that starts anew, for JAX hangs in a fork. Write "
            "multiprocessing.get_context('spawn')."
        )
