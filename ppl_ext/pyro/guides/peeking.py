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

from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.tracing.run_at_point import PriorVisit, bijection_of, has_moving_support

__all__ = ["GivenSubsamples", "find_moving_supports", "peek_subsamples", "peek_support"]


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

    def centre(fn: torch.distributions.Distribution, name: str) -> torch.Tensor:
        return biject_to(fn.support)(torch.zeros_like(elsewhere[name]))

    return frozenset(
        name
        for name in candidates
        if not torch.equal(
            centre(latents[name]["fn"], name), centre(visit.sites[name]["fn"], name)
        )
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
