"""Supports that depend on other latent sites, such as ``Uniform(0, top)``."""

from collections.abc import Callable, Mapping
from contextlib import suppress

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch.distributions import biject_to, constraints

from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.messages import has_moving_support
from ppl_ext.pyro.tracing.run_at_point import Visit

__all__ = ["find_moving_supports", "peek_support"]


def find_moving_supports(
    model: Callable, latents: Mapping[str, dict], args: tuple, kwargs: dict
) -> frozenset[str]:
    """Names of the latent sites whose support is another one at another point.

    Args:
        model: The model.
        latents: Messages of its latent sites in a first run.
        args: Positional arguments of the model.
        kwargs: Its keyword arguments.
    """
    candidates = [name for name, site in latents.items() if has_moving_support(site)]
    if not candidates:
        return frozenset()
    elsewhere = {
        name: biject_to(site["fn"].support).inv(site["value"]).detach() + 0.5
        for name, site in latents.items()
    }
    with (
        model_scope(),
        own_random_state(0),
        torch.no_grad(),
        poutine.block(),
        Visit(elsewhere) as visit,
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
