"""The log density of one run whose enumerated sites take all of their values at once."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pyro.ops.contract import contract_to_tensor
from pyro.poutine.trace_struct import Trace

from ppl_ext.pyro.tracing.enumeration.log_sums import LogSums
from ppl_ext.pyro.tracing.enumeration.marks import is_enumerated

__all__ = ["Factors", "best_over_assignments", "pack_factors", "score_enumerated"]


@dataclass(frozen=True)
class Factors:
    """The factors of a joint density, their dimensions by symbols of the host.

    Args:
        packed: Log factor of each site that has one.
        plates: Symbols of the plates around each site.
        own: Symbol of the values of each enumerated site.
        dims: Dimension, counted from the right, of each symbol.
        symbols: Symbols of all enumerated sites.
    """

    packed: Mapping[str, torch.Tensor]
    plates: Mapping[str, frozenset[str]]
    own: Mapping[str, str]
    dims: Mapping[str, int]
    symbols: frozenset[str]

    def by_plates(self) -> "OrderedDict[frozenset[str], list[torch.Tensor]]":
        """The factors as the host's contractions take them."""
        tree: OrderedDict[frozenset[str], list[torch.Tensor]] = OrderedDict()
        for name, factor in self.packed.items():
            tree.setdefault(self.plates[name], []).append(factor)
        return tree

    def sum_out(self) -> torch.Tensor:
        """The log density without the enumerated sites, shape ()."""
        return contract_to_tensor(self.by_plates(), set(self.symbols), ring=LogSums())

    def touched(self, name: str) -> frozenset[str]:
        """Symbols of the enumerated sites that a factor hangs on."""
        return self.symbols & set(self.packed[name]._pyro_dims)


def pack_factors(
    sites: Mapping[str, dict], terms: Mapping[str, torch.Tensor], first_dim: int
) -> Factors:
    """Name the dimensions of the terms of a run.

    Args:
        sites: Messages of a run under the host's ``EnumMessenger``.
        terms: Log density of each site that has one.
        first_dim: The first dimension that belongs to enumerated sites.

    Raises:
        ValueError: A term has a dimension that belongs to no plate and no enumerated site.
    """
    trace = Trace()
    for name, term in terms.items():
        msg = sites[name]
        around = {frame.dim for frame in msg["cond_indep_stack"] if frame.vectorized}
        alone = [dim for dim in range(max(first_dim + 1, -term.dim()), 0) if dim not in around]
        term = term.sum(alone, keepdim=True) if alone else term
        node = dict(msg, log_prob=term, unscaled_log_prob=term, scale=1.0, mask=None)
        trace.add_node(name, **node)
    trace.pack_tensors()
    nodes = trace.nodes
    plates = {
        name: frozenset(
            trace.plate_to_symbol[frame.name]
            for frame in nodes[name]["cond_indep_stack"]
            if frame.vectorized
        )
        for name in terms
    }
    return Factors(
        packed={name: nodes[name]["packed"]["log_prob"] for name in terms},
        plates=plates,
        own={
            name: nodes[name]["infer"]["_enumerate_symbol"]
            for name in terms
            if is_enumerated(nodes[name])
        },
        dims=trace.symbol_to_dim,
        symbols=frozenset(set(trace.symbol_to_dim) - set(trace.plate_to_symbol.values())),
    )


def score_enumerated(
    msg: dict, log_prob: torch.Tensor, mask: torch.Tensor | bool | None
) -> torch.Tensor:
    """Log density of an enumerated site.

    What a mask hides is spread evenly over the values, so that its sum is one: left at zero, each
    hidden row would add the log of the number of values to the evidence.

    Args:
        msg: The message of the site.
        log_prob: Its log density, without the mask.
        mask: What is seen.
    """
    if mask is None:
        return log_prob
    count = msg["fn"].enumerate_support(expand=False).shape[0]
    return torch.where(torch.as_tensor(mask), log_prob, -math.log(count))


def best_over_assignments(term: torch.Tensor, first_dim: int) -> torch.Tensor:
    """The largest log density over the values of enumerated sites: a zero is none if one is not.

    Args:
        term: Log density of a site.
        first_dim: The first dimension that belongs to enumerated sites.
    """
    beyond = tuple(range(-term.dim(), first_dim + 1))
    return term.amax(beyond) if beyond else term
