"""Functions of the host that ``vmap`` cannot follow, with the same values and gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro.distributions.coalescent
import pyro.distributions.hmm
import pyro.ops.gaussian
import torch
from pyro.ops.tensor_utils import CHOLESKY_RELATIVE_JITTER
from torch.distributions import lowrank_multivariate_normal, multivariate_normal, normal, studentT

__all__ = ["vectorised_noise", "vectorised_operations"]


class _SafeLog(torch.autograd.Function):
    """The logarithm, its gradient at zero cut off; the host's without ``setup_context``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.log()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient / x.clamp(min=torch.finfo(x.dtype).eps)


def _safe_log(x: torch.Tensor) -> torch.Tensor:
    return _SafeLog.apply(x)


def _safe_cholesky(x: torch.Tensor) -> torch.Tensor:
    """The Cholesky factor, a little added to the diagonal; the host adds it in place."""
    jitter = CHOLESKY_RELATIVE_JITTER * torch.finfo(x.dtype).eps
    if x.size(-1) == 1:
        return (x.clamp(min=torch.finfo(x.dtype).tiny) if jitter else x).sqrt()
    largest = x.detach().abs().amax(-1)
    return torch.linalg.cholesky(x + torch.diag_embed(jitter * largest))


def _standard_normal(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, device=device)


@contextmanager
def vectorised_operations() -> Iterator[None]:
    """Lets ``vmap`` follow hidden Markov models and coalescents, which are summed out by the host.

    Their functions change tensors in place or have no rule for ``vmap``.
    """
    with _exchanged(
        (pyro.distributions.hmm, "safe_log", _safe_log),
        (pyro.distributions.coalescent, "safe_log", _safe_log),
        (pyro.distributions.hmm, "safe_cholesky", _safe_cholesky),
        (pyro.ops.gaussian, "safe_cholesky", _safe_cholesky),
    ):
        yield


@contextmanager
def vectorised_noise() -> Iterator[None]:
    """Lets ``vmap`` follow torch's normal distributions where none of their parameters is batched.

    They fill an empty tensor in place, which ``vmap`` refuses, so that the draws of most guides
    would have to be made one by one; ``torch.randn`` draws the same numbers.
    """
    modules = (normal, multivariate_normal, lowrank_multivariate_normal, studentT)
    with _exchanged(*((module, "_standard_normal", _standard_normal) for module in modules)):
        yield


@contextmanager
def _exchanged(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Puts functions in place of those of modules for the length of a block."""
    found = [getattr(module, name) for module, name, _ in changes]
    for module, name, function in changes:
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name, _), function in zip(changes, found, strict=True):
            setattr(module, name, function)
