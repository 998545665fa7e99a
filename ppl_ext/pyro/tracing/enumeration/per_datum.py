"""The log likelihood of single data, the enumerated sites of each summed out."""

import functools
import operator

import torch
from pyro.ops import packed

from ppl_ext.pyro.tracing.enumeration.factors import Factors
from ppl_ext.pyro.tracing.enumeration.log_sums import sum_exponentials

__all__ = ["find_local_factors", "score_data"]


def find_local_factors(factors: Factors, name: str) -> frozenset[str] | None:
    """Names of the enumerated sites that belong to single data of an observed site.

    Data that share an assignment, or whose assignments hang on each other as those of a hidden
    Markov model, or on other data, have no likelihood one by one.

    Args:
        factors: The factors of a run.
        name: The observed site.

    Returns:
        The sites, none where the data hang on no assignment; None where they cannot be told apart.
    """
    over = factors.touched(name)
    if not over:
        return frozenset()
    while True:
        sites = frozenset(each for each in factors.packed if factors.touched(each) & over)
        reached = frozenset().union(*(factors.touched(each) for each in sites))
        if reached == over:
            break
        over = reached
    local = sites - {name}
    if not local <= factors.own.keys():
        return None
    same_plates = all(factors.plates[each] == factors.plates[name] for each in local)
    return local if same_plates else None


def score_data(factors: Factors, name: str, local: frozenset[str]) -> torch.Tensor:
    """Log likelihood of the data of one site.

    Args:
        factors: The factors of a run.
        name: The observed site.
        local: What `find_local_factors` has found for it, at least one site.

    Returns:
        One number for each datum, along the dimensions of its plates.
    """
    parts = [factors.packed[each] for each in (name, *sorted(local))]
    over = sorted(set().union(*(part._pyro_dims for part in parts)) & factors.symbols)
    kept = sorted(set().union(*(part._pyro_dims for part in parts)) - factors.symbols)
    total = functools.reduce(operator.add, packed.broadcast_all(*parts, dims="".join(kept + over)))
    scored = sum_exponentials(total, len(over))
    scored._pyro_dims = "".join(kept)
    return packed.unpack(scored, factors.dims)
