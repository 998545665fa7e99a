"""The sums of `log_sums`, with the way back on which the host draws what was summed over."""

import torch
from pyro.ops import packed
from pyro.ops.einsum.torch_sample import _EinsumBackward
from pyro.ops.einsum.util import Tensordot
from pyro.ops.rings import SampleRing

from ppl_ext.pyro.tracing.enumeration import log_sums
from ppl_ext.pyro.tracing.enumeration.log_sums import transpose

__all__ = ["DrawnSums", "einsum", "tensordot", "transpose"]


class DrawnSums(SampleRing):
    """The host's ring that sums forwards and draws backwards, on the sums of this package."""

    _backend = __name__


def einsum(equation: str, *operands: torch.Tensor) -> torch.Tensor:
    """Sum of products in logs that remembers its factors.

    Args:
        equation: As of ``torch.einsum``.
        *operands: Log factors, packed by the host.
    """
    equation = packed.rename_equation(equation, *operands)
    output = equation.split("->")[1]
    result = log_sums.einsum(equation, *operands)
    result._pyro_dims = output
    if any(hasattr(operand, "_pyro_backward") for operand in operands):
        result._pyro_backward = _EinsumBackward(output, operands)
    return result


tensordot = Tensordot(einsum)
