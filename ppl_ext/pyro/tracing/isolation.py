"""Scopes in which the library works without leaving a trace in the user's global state."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyro
import torch
from pyro.poutine.subsample_messenger import SubsampleMessenger
from torch.distributions import Distribution

from ppl_ext.pyro.tracing.vectorisation.distributions import vectorised_distributions
from ppl_ext.pyro.tracing.vectorisation.operations import vectorised_operations

__all__ = [
    "choose_seed",
    "model_scope",
    "one_row_more",
    "own_param_store",
    "own_random_state",
    "whole_plates",
]


@contextmanager
def model_scope() -> Iterator[None]:
    """Runs models without what ``vmap`` cannot follow, validation above all, and its remarks."""
    torch_default = Distribution._validate_args
    try:
        with (
            pyro.validation_enabled(False),
            vectorised_distributions(),
            vectorised_operations(),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="There is a performance drop")
            warnings.filterwarnings("ignore", message="Encountered (NaN|[+-]?inf)")
            warnings.filterwarnings("ignore", message="Singular sample detected")
            warnings.filterwarnings("ignore", message="An output with one or more elements was re")
            yield
    finally:
        # Pyro restores its own idea of torch's switch, which may differ from torch's.
        Distribution.set_default_validate_args(torch_default)


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Seeds torch for the length of a block and gives the user's random state back after it."""
    # Only devices already in use are touched: asking for others would initialise them.
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield


def choose_seed(seed: int | None) -> int:
    """The seed, or for None one from torch's random state: ``pyro.set_rng_seed`` decides."""
    return int(torch.randint(2**31, ())) if seed is None else seed


@contextmanager
def own_param_store(start: dict | None = None) -> Iterator[dict]:
    """Swaps Pyro's global parameter store for another one, and back.

    Args:
        start: State that an earlier block yielded; an empty store if None.

    Yields:
        The state of the inner store, filled in when the block ends.
    """
    with pyro.get_param_store().scope(start) as state:
        yield state


@contextmanager
def whole_plates() -> Iterator[None]:
    """Lets every plate that would draw a minibatch see all of its rows.

    The host offers no way to do so from outside of the model: a plate refuses rows of another
    number than its own ``subsample_size``.
    """
    with _other_rows(lambda size, subsample_size: None):
        yield


@contextmanager
def one_row_more() -> Iterator[None]:
    """Lets every plate that would draw a minibatch draw one row more than that.

    A model that is handed its minibatches cannot follow; told so by all rows, it would first
    reckon with all of them.
    """
    with _other_rows(lambda size, subsample_size: min(size, subsample_size + 1)):
        yield


@contextmanager
def _other_rows(choose: Callable[[int, int], int | None]) -> Iterator[None]:
    found = vars(SubsampleMessenger)["_subsample"]

    def take_others(name, size=None, subsample_size=None, subsample=None, *others):
        if subsample is None and subsample_size is not None:
            subsample_size = choose(size, subsample_size)
        return found.__func__(name, size, subsample_size, subsample, *others)

    SubsampleMessenger._subsample = staticmethod(take_others)
    try:
        yield
    finally:
        SubsampleMessenger._subsample = found
