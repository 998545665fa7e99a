"""A guide and its model run together, with the discrete sites of the guide in hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.ops.provenance import detach_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample

from ppl_ext.pyro.objectives.discrete.as_categorical import Choice, read_choice
from ppl_ext.pyro.objectives.mismatch import is_discrete

__all__ = ["Pair", "Run", "Term", "plates_of", "reduce_to"]

Term = tuple[str, str]  # "guide" or "model", and the name of the site


@dataclass(frozen=True)
class Run:
    """The traces of one run of guide and model."""

    guide: Trace
    model: Trace
    _known: dict[tuple[Term, bool], torch.Tensor] = field(default_factory=dict)

    @property
    def terms(self) -> list[Term]:
        """The sites whose log-probabilities make up the bound."""
        return [
            (side, name)
            for side, trace in (("guide", self.guide), ("model", self.model))
            for name, site in trace.nodes.items()
            if site["type"] == "sample" and not site_is_subsample(site)
        ]

    def site(self, term: Term) -> dict[str, Any]:
        """The site of a term."""
        return (self.guide if term[0] == "guide" else self.model).nodes[term[1]]

    def choice(self, term: Term) -> Choice | None:
        """The distribution of a term read as a choice."""
        return read_choice(self.site(term)["fn"])

    def contribution(self, term: Term, analytic: bool) -> torch.Tensor:
        """What a term adds to the bound, scaled, with the shape of its plates.

        Args:
            term: The term.
            analytic: Whether to put its mean over the choice of the guide in its place.
        """
        if (term, analytic) not in self._known:
            self._known[term, analytic] = self._contribution(term, analytic)
        return self._known[term, analytic]

    def _contribution(self, term, analytic):
        site, choice = self.site(term), self.choice(term)
        if analytic:
            log_prob = choice.expected_log_prob(self.choice(("guide", term[1])))
        elif choice is not None and choice.one_hot:
            # Not the host's, which refuses values between the corners.
            log_prob = choice.masked_log_prob(site["value"])
        else:
            log_prob = site["fn"].log_prob(site["value"])
        log_prob = scale_and_mask(log_prob, site["scale"], site["mask"])
        return -log_prob if term[0] == "guide" else log_prob

    @property
    def rows(self) -> dict[str, torch.Tensor]:
        """The rows that subsampling plates show."""
        sites = {**self.guide.nodes, **self.model.nodes}
        return {
            name: site["value"]
            for name, site in sites.items()
            if site["type"] == "sample" and site_is_subsample(site)
        }


@dataclass(frozen=True)
class Pair:
    """Guide and model with their arguments.

    Args:
        model: The model.
        guide: The guide.
        args: Their positional arguments.
        kwargs: Their keyword arguments.
        sample: ``(site name, distribution) -> value`` of a discrete site of the guide.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    sample: Callable[..., torch.Tensor]

    def run(self, fixed: Mapping[str, torch.Tensor] | None = None, tracked: bool = False) -> Run:
        """Run the guide and, on its values, the model.

        Args:
            fixed: Values of sites of the guide, and rows of subsampling plates.
            tracked: Whether values say which discrete sites of the guide they depend on.
        """
        fixed = {} if fixed is None else fixed
        guide = _Choosing(self.sample, fixed, tracked)(self.guide)
        guide_trace = poutine.trace(guide).get_trace(*self.args, **self.kwargs)
        model = _Choosing(None, fixed, False)(poutine.replay(self.model, trace=guide_trace))
        model_trace = poutine.trace(model).get_trace(*self.args, **self.kwargs)
        return Run(guide_trace, model_trace)


class _Choosing(Messenger):
    """Draws the discrete sites of a guide, or sets them."""

    def __init__(self, sample, fixed, tracked) -> None:
        super().__init__()
        self.sample = sample
        self.fixed = fixed
        self.tracked = tracked

    def _pyro_sample(self, msg: dict) -> None:
        if msg["done"] or msg["is_observed"]:
            return
        subsample = site_is_subsample(msg)
        if msg["name"] in self.fixed and (subsample or self.sample is not None):
            msg["value"], msg["done"] = self.fixed[msg["name"]], True
        elif self.sample is not None and not subsample and is_discrete(msg):
            value = self.sample(msg["name"], msg["fn"])
            if self.tracked:
                value = track_provenance(detach_provenance(value), frozenset({msg["name"]}))
            msg["value"], msg["done"] = value, True


def plates_of(site: Mapping[str, Any]) -> dict[int, str]:
    """The plates around a site by their dimension, counted from the right."""
    return {frame.dim: frame.name for frame in site["cond_indep_stack"] if frame.vectorized}


def reduce_to(
    plates: Mapping[int, str], tensor: torch.Tensor, own: Mapping[int, str]
) -> torch.Tensor:
    """Sum a tensor over all but some plates.

    Args:
        plates: The plates to keep.
        tensor: Tensor over the plates in ``own``.
        own: Its plates.

    Returns:
        The sums, one dimension for each down to the outermost plate, of length 1 where the tensor
        is not within the plate: it counts for every element.
    """
    ndim = max((-dim for dim in plates), default=0)
    tensor = tensor.reshape((1,) * (ndim - tensor.dim()) + tensor.shape)
    over = [dim for dim in range(-tensor.dim(), 0) if plates.get(dim) != own.get(dim, "")]
    sums = tensor.sum(over, keepdim=True) if over else tensor
    return sums.reshape(sums.shape[sums.dim() - ndim :])
