"""A guide and its model run together, with the discrete sites of the guide in hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from numpyro import handlers
from numpyro.ops.pytree import PytreeTrace
from numpyro.primitives import Messenger

from ppl_ext.numpyro.objectives.discrete.as_categorical import Choice, read_choice
from ppl_ext.numpyro.objectives.mismatch import is_discrete

__all__ = ["Pair", "Run", "Term", "plates_of", "reduce_to"]

Term = tuple[str, str]  # "guide" or "model", and the name of the site


@dataclass(frozen=True)
class Run:
    """The traces of one run of guide and model.

    Args:
        guide: Sites of the guide.
        model: Sites of the model.
        shown_late: Names of the guide's sites inside ``scan`` and ``cond``.
    """

    guide: Mapping[str, Any]
    model: Mapping[str, Any]
    shown_late: frozenset[str] = frozenset()

    @property
    def terms(self) -> list[Term]:
        """The sites whose log-probabilities make up the bound."""
        return [
            (side, name)
            for side, trace in (("guide", self.guide), ("model", self.model))
            for name, site in trace.items()
            if site["type"] == "sample"
        ]

    def site(self, term: Term) -> dict[str, Any]:
        """The site of a term."""
        return (self.guide if term[0] == "guide" else self.model)[term[1]]

    def choice(self, term: Term) -> Choice | None:
        """The distribution of a term read as a choice."""
        return read_choice(self.site(term)["fn"])

    def contribution(self, term: Term, analytic: bool) -> jax.Array:
        """What a term adds to the bound, scaled, with the shape of its plates.

        Args:
            term: The term.
            analytic: Whether to put its mean over the choice of the guide in its place.
        """
        site, choice = self.site(term), self.choice(term)
        if analytic:
            log_prob = choice.expected_log_prob(self.choice(("guide", term[1])))
        elif choice is not None and choice.one_hot:
            # Not the host's, which refuses values between the corners.
            log_prob = choice.masked_log_prob(site["value"])
        elif site["intermediates"]:
            log_prob = site["fn"].log_prob(site["value"], site["intermediates"])
        else:
            log_prob = site["fn"].log_prob(site["value"])
        log_prob = log_prob if site["scale"] is None else site["scale"] * log_prob
        return -log_prob if term[0] == "guide" else log_prob

    @property
    def plates(self) -> dict[str, Any]:
        """The plates, with the rows that they show."""
        sites = {**self.guide, **self.model}
        return {name: site for name, site in sites.items() if site["type"] == "plate"}

    @property
    def mutables(self) -> dict[str, Any]:
        """Values of the ``mutable`` sites."""
        sites = {**self.guide, **self.model}
        return {name: site["value"] for name, site in sites.items() if site["type"] == "mutable"}


@dataclass(frozen=True)
class Pair:
    """Guide and model with their arguments and parameters.

    Args:
        model: The model.
        guide: The guide.
        args: Their positional arguments.
        kwargs: Their keyword arguments.
        params: Their parameters.
        sample: ``(site name, key, distribution) -> value`` of a discrete site of the guide.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    params: Mapping[str, Any]
    sample: Callable[..., jax.Array]

    def run(
        self,
        rng_key: jax.Array,
        kept: Mapping[str, Any] | None = None,
        fixed: Mapping[str, jax.Array] | None = None,
    ) -> Run:
        """Run the guide and, on its values, the model.

        Args:
            rng_key: Random key.
            kept: Sites and plates of an earlier run to repeat.
            fixed: Values of discrete sites of the guide.
        """
        model_key, guide_key = jax.random.split(rng_key)
        kept = {} if kept is None else kept
        guide = handlers.replay(handlers.seed(self.guide, guide_key), kept)
        guide = handlers.substitute(guide, data=dict(self.params))
        choosing = _Choosing(self.sample, fixed or {})
        with choosing:
            guide_trace = handlers.trace(guide).get_trace(*self.args, **self.kwargs)
        params = {**self.params, **Run(guide_trace, {}).mutables}
        plates = {name: site for name, site in kept.items() if site["type"] == "plate"}
        model = handlers.replay(handlers.seed(self.model, model_key), {**plates, **guide_trace})
        model = handlers.substitute(model, data=params)
        model_trace = handlers.trace(model).get_trace(*self.args, **self.kwargs)
        return Run(guide_trace, model_trace, frozenset(choosing.shown_late))


class _Choosing(Messenger):
    """Draws the discrete sites of a guide, or sets them."""

    def __init__(self, sample, fixed) -> None:
        super().__init__()
        self.sample = sample
        self.fixed = fixed
        self.shown_late: set[str] = set()

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg["is_observed"] or not is_discrete(msg["fn"]):
            return
        if msg["name"] in self.fixed:
            msg["value"] = self.fixed[msg["name"]]
        elif msg["value"] is None:
            msg["value"] = self.sample(msg["name"], msg["kwargs"]["rng_key"], msg["fn"])

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        # Their sites come when all steps are over: too late to set them.
        if msg["type"] == "control_flow":
            for trace in filter(_is_trace, jax.tree.leaves(msg["value"], is_leaf=_is_trace)):
                self.shown_late.update(trace.trace)


def _is_trace(part: Any) -> bool:
    return isinstance(part, PytreeTrace)


def plates_of(site: Mapping[str, Any]) -> dict[int, str]:
    """The plates around a site by their dimension, counted from the right."""
    return {frame.dim: frame.name for frame in site["cond_indep_stack"]}


def reduce_to(plates: Mapping[int, str], array: jax.Array, own: Mapping[int, str]) -> jax.Array:
    """Sum an array over all but some plates.

    Args:
        plates: The plates to keep.
        array: Array over the plates in ``own``.
        own: Its plates.

    Returns:
        The sums, one dimension for each down to the outermost plate, of length 1 where the array
        is not within the plate: it counts for every element.
    """
    ndim = max((-dim for dim in plates), default=0)
    array = array.reshape((1,) * (ndim - array.ndim) + array.shape)
    over = tuple(dim for dim in range(-array.ndim, 0) if plates.get(dim) != own.get(dim, ""))
    sums = array.sum(over, keepdims=True)
    return sums.reshape(sums.shape[sums.ndim - ndim :])
