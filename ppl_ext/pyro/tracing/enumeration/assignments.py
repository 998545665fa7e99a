"""Draw enumerated sites given everything else: forwards a sum, backwards the draws."""

from collections.abc import Mapping

import torch
from pyro.ops import packed
from pyro.ops.contract import contract_tensor_tree
from pyro.ops.einsum.adjoint import require_backward

from ppl_ext.pyro.tracing.enumeration.drawn_sums import DrawnSums
from ppl_ext.pyro.tracing.enumeration.factors import Factors

__all__ = ["draw_assignments"]


def draw_assignments(
    factors: Factors, sites: Mapping[str, dict], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """Draw the enumerated sites of a run from their joint distribution given the others.

    Args:
        factors: The factors of the run.
        sites: Its messages.
        shapes: Shape of a value of each enumerated site.

    Returns:
        A value for each of them.
    """
    for name in factors.own:
        require_backward(factors.packed[name])
    sizes = {
        dim: size
        for factor in factors.packed.values()
        for dim, size in zip(factor._pyro_dims, factor.shape, strict=True)
    }
    ring = DrawnSums(dim_to_size=sizes)
    tree = contract_tensor_tree(_without_single_rows(factors), set(factors.symbols), ring=ring)
    for terms in tree.values():
        for term in terms:
            if hasattr(term, "_pyro_backward"):
                term._pyro_backward()
    return {name: _pick(factors, name, sites[name], shapes[name]) for name in factors.own}


def _without_single_rows(factors: Factors) -> dict:
    """The tree of factors without plates of one row, whose dimension the host squeezes away."""
    seen = set().union(*(factor._pyro_dims for factor in factors.packed.values()))
    tree = type(factors.by_plates())()
    for plates, terms in factors.by_plates().items():
        tree.setdefault(plates & seen, []).extend(terms)
    return tree


def _pick(factors: Factors, name: str, msg: dict, shape: tuple[int, ...]) -> torch.Tensor:
    """The values that were drawn for one site."""
    event_shape = msg["fn"].event_shape
    support = msg["fn"].enumerate_support(expand=False).reshape((-1, *event_shape))
    drawn = getattr(factors.packed[name], "_pyro_backward_result", None)
    batch = shape[: len(shape) - len(event_shape)]
    if drawn is None or factors.own[name] not in drawn._pyro_sample_dims:  # a single value
        return support[0].expand(shape)
    index = drawn[drawn._pyro_sample_dims.index(factors.own[name])]
    index._pyro_dims = drawn._pyro_dims[1:]
    return support[packed.unpack(index, factors.dims).expand(batch)]
