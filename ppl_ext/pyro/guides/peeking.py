"""What a guide asks of its model in the midst of a run: rows that are given, supports that move.

A model may choose rows itself, ``pyro.plate(name, size, subsample=rows)``, and the support of a
site may depend on other latent sites, such as that of ``Uniform(0, top)``.
"""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch.distributions import biject_to, constraints

from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state, whole_plates
from ppl_ext.pyro.tracing.run_at_point import PriorVisit, bijection_of, has_moving_support

__all__ = [
    "GivenSubsamples",
    "find_moving_supports",
    "peek_subsamples",
    "peek_support",
    "visit_draws",
]

_CHUNK = 256  # draws for which a model is run at once


class GivenSubsamples(Messenger):
    """Records the rows of plates that are given theirs by the model.

    Args:
        wanted: Names of plates; the run of the model ends when all of them were seen.
    """

    def __init__(self, wanted: Set[str] | None = None) -> None:
        super().__init__()
        self.wanted = wanted
        self.indices: dict[str, torch.Tensor] = {}

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg) and msg["value"] is not None:
            self.indices[msg["name"]] = torch.as_tensor(msg["value"])
            if self.wanted is not None and self.wanted <= self.indices.keys():
                raise _SeenError


def peek_subsamples(
    model: Callable, names: Set[str], args: tuple, kwargs: dict
) -> dict[str, torch.Tensor]:
    """Runs a model up to the named plates and returns the rows it gives them."""
    with poutine.block(), torch.no_grad(), GivenSubsamples(names) as seen, suppress(_SeenError):
        model(*args, **kwargs)
    return seen.indices


def find_moving_supports(
    caller: str, model: Callable, latents: Mapping[str, dict], args: tuple, kwargs: dict
) -> frozenset[str]:
    """Names of the latent sites whose support is another one at another point.

    Args:
        caller: Name of the guide, for errors.
        model: The model.
        latents: Messages of its latent sites in a first run.
        args: Positional arguments of the model.
        kwargs: Its keyword arguments.
    """
    candidates = [name for name, site in latents.items() if has_moving_support(site)]
    if not candidates:
        return frozenset()
    elsewhere = {
        name: bijection_of(site).inv(site["value"]).detach() + 0.5
        for name, site in latents.items()
    }
    with (
        model_scope(),
        own_random_state(0),
        torch.no_grad(),
        poutine.block(),
        PriorVisit(elsewhere, caller) as visit,
    ):
        model(*args, **kwargs)

    def image(fn: torch.distributions.Distribution, name: str) -> torch.Tensor:
        # Not of zero: intervals around the same middle differ elsewhere only.
        return biject_to(fn.support)(torch.ones_like(elsewhere[name]))

    return frozenset(
        name
        for name in candidates
        if not torch.equal(image(latents[name]["fn"], name), image(visit.sites[name]["fn"], name))
    )


def peek_support(
    model: Callable, name: str, earlier: Mapping[str, torch.Tensor], args: tuple, kwargs: dict
) -> constraints.Constraint:
    """Runs a model up to a site and returns its support there.

    Args:
        model: The model.
        name: The site.
        earlier: Values of the sites before it, and rows of the plates.
        args: Positional arguments of the model.
        kwargs: Its keyword arguments.
    """
    with poutine.block(), _UpTo(name, earlier) as seen, suppress(_SeenError):
        model(*args, **kwargs)
    return seen.support


def visit_draws(
    caller: str,
    model: Callable,
    split: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    rows: torch.Tensor,
    args: tuple,
    kwargs: dict,
) -> dict[str, torch.Tensor]:
    """Runs a model at every draw of its latent sites and returns their values.

    Args:
        caller: Name of the guide, for errors.
        model: The model.
        split: ``row -> point`` of unconstrained values.
        rows: The draws, shape [draw, dim].
        args: Positional arguments of the model.
        kwargs: Its keyword arguments.

    Returns:
        For each site its values, shape [draw, ...].
    """

    def values(row: torch.Tensor) -> dict[str, torch.Tensor]:
        point = split(row)
        with poutine.block(), PriorVisit(point, caller) as visit:
            model(*args, **kwargs)
        return {name: visit.sites[name]["value"] for name in point}

    with whole_plates(), model_scope():
        try:
            return torch.func.vmap(values, randomness="same", chunk_size=_CHUNK)(rows)
        except RuntimeError:  # a model that vmap cannot follow
            each = [values(row) for row in rows]
            return {name: torch.stack([one[name] for one in each]) for name in each[0]}


class _UpTo(Messenger):
    def __init__(self, name: str, earlier: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.name = name
        self.earlier = earlier
        self.support: constraints.Constraint | None = None

    def _pyro_sample(self, msg: dict) -> None:
        if msg["name"] == self.name:
            self.support = msg["fn"].support
            raise _SeenError
        if msg["name"] in self.earlier:
            msg["value"], msg["done"] = self.earlier[msg["name"]], True


class _SeenError(Exception):
    pass
