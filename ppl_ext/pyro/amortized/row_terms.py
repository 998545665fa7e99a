"""The log density of every row, at given coordinates of its local sites and of shared ones."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from pyro.poutine.util import site_is_subsample

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.amortization.refusals import refuse_ties
from ppl_ext.pyro.amortized import emission
from ppl_ext.pyro.amortized.rows import Shown
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state, whole_plates
from ppl_ext.pyro.tracing.run_at_point import Visit

__all__ = ["RowTerms"]

_CALLER = "AutoAmortized.refine"
_Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class RowTerms:
    """The model as a function of coordinates, its terms told apart by rows.

    Args:
        model: Pyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        layout: The sites.
        shown: A run of the model with the rows that are meant.
    """

    model: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    layout: RowLayout
    shown: Shown

    def evaluate(self, shared: torch.Tensor | None, z: torch.Tensor) -> _Pair:
        """Log density on unconstrained space.

        Args:
            shared: Coordinates of the shared sites, ``[dim]``.
            z: Those of the local ones, ``[row, dim]``.

        Returns:
            Of each row ``[row]``, and of all that lies outside of the plate.
        """
        plate = self.shown.sites[self.layout.plate]
        point = emission.split_sites(self.layout, shared, z)
        visit = _RowVisit(point, {self.layout.plate: plate["value"]})
        with (
            model_scope(),
            own_random_state(0),
            poutine.block(),
            whole_plates() if self.shown.whole else nullcontext(),
            visit,
        ):
            self.model(*self.args, **self.kwargs)
        rows, rest = z.new_zeros(len(z)), z.new_zeros(())
        for name, term in visit.terms.items():
            msg = visit.sites[name]
            if name in visit.jacobians:
                slope = visit.jacobians[name]
                more = slope.dim() - (msg["value"].dim() - msg["fn"].event_dim)
                term = term + sum_rightmost(slope, more)
            if self.layout.plate in {frame.name for frame in msg["cond_indep_stack"]}:
                rows = rows + term.movedim(self.layout.dim, 0).reshape(len(z), -1).sum(-1)
            else:
                rest = rest + term.sum()
        # The plate counts what it shows for all that it has; a row counts for itself.
        return rows * (len(z) / plate["fn"].size), rest

    def evaluate_all(self, shared: torch.Tensor | None, z: torch.Tensor) -> torch.Tensor:
        """The same of many draws, ``[draw, row]``: at once where ``vmap`` can follow the model.

        Args:
            shared: ``[draw, dim]``.
            z: ``[draw, row, dim]``.
        """

        def one(shared: torch.Tensor | None, z: torch.Tensor) -> torch.Tensor:
            return self.evaluate(shared, z)[0]

        try:
            dims = (None if shared is None else 0, 0)
            return torch.func.vmap(one, dims, randomness="same")(shared, z)
        except RuntimeError:
            # A model that asks for the value of a number; another fault is raised again here.
            each = [None] * len(z) if shared is None else shared
            return torch.stack([one(*pair) for pair in zip(each, z, strict=True)])

    def refuse_ties(self, shared: torch.Tensor | None, z: torch.Tensor) -> None:
        """Raise where something outside of the plate hangs on local sites."""
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            rest = self.evaluate(shared, z)[1]
        if rest.requires_grad:
            (slope,) = torch.autograd.grad(rest, z, allow_unused=True)
            refuse_ties(self.layout, slope is not None and bool((slope != 0).any()))


class _RowVisit(Visit):
    """Visits a model whose plate shows given rows."""

    def __init__(self, point: dict[str, torch.Tensor], rows: Mapping[str, torch.Tensor]) -> None:
        super().__init__(point, _CALLER)
        self.rows = rows

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg) and msg["name"] in self.rows:
            msg["value"], msg["done"] = self.rows[msg["name"]], True
        else:
            super()._pyro_sample(msg)
