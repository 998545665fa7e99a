"""Pairs of latent values and data from a Pyro model, many at once where it can be vectorised."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample

from ppl_ext.pyro.calibration.simulation import condition_on, trace_simulation
from ppl_ext.pyro.tracing.batched_density import Arrays, Tensors, batch_size, over_draws
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import (
    model_scope,
    own_param_store,
    own_random_state,
)
from ppl_ext.pyro.tracing.run_at_point import is_deterministic
from ppl_ext.pyro.tracing.turns import in_turn
from ppl_ext.pyro.tracing.vectorisation.operations import vectorised_noise

__all__ = ["ModelSimulator", "find_exchangeable", "look_at_simulations"]

Values = dict[str, np.ndarray]

_LOOKS = 8  # simulations by which a model is known


class ModelSimulator:
    """Draws of latent values and data from a model, the same whatever the rows asked for.

    For `ppl_ext.npe.pair_source.PairSource`. A row at which the model fails is NaN.

    Args:
        bound: The model with its arguments.
        latent: Sites whose values are wanted.
        observed: Sites whose data are wanted.
        seed: Seed of all simulations.

    Raises:
        ValueError: The model has a factor or an improper prior.
    """

    def __init__(
        self, bound: BoundModel, latent: Sequence[str], observed: Sequence[str], seed: int
    ) -> None:
        self.identity = {"seed": seed}
        self._bound, self._seed = bound, seed
        self._names = tuple(latent), tuple(observed)
        known = {site.name: site for site in (*bound.sites.latents, *bound.sites.observed)}
        self._sites = {name: known[name] for name in (*latent, *observed)}
        shapes = {site.name: site.unpadded_shape for site in bound.sites.observed}
        self._shapes = {n: shapes.get(n, site.shape) for n, site in self._sites.items()}
        (look, *_) = look_at_simulations(bound, 1)
        self._dtypes = {
            name: str(look.nodes[name]["value"].dtype).removeprefix("torch.")
            for name in self._sites
        }
        # Simulations of a block share a random state, and so the block is drawn as a whole.
        self._size = _find_size(bound, self._run)

    @in_turn
    def simulate(self, rows: np.ndarray) -> dict[str, Values]:
        """Simulate rows: ``{"latent": {site: array[row, ...]}, "observed": ...}``."""
        blocks, place = np.unique(rows // self._size, return_inverse=True)
        parts = [self._draw(int(block)) for block in blocks]
        at = place * self._size + rows % self._size
        drawn = {}
        for name, dtype in self._dtypes.items():
            array = np.concatenate([part[name] for part in parts])[at]
            # A failed simulation has no whole number in place of its data.
            drawn[name] = array if np.isnan(array).any() else array.astype(dtype)
        latent, observed = ({name: drawn[name] for name in names} for names in self._names)
        return {"latent": latent, "observed": observed}

    def draw_latent(self, first_row: int, size: int) -> Values:
        """The latent values of these rows alone."""
        return self.simulate(np.arange(first_row, first_row + size))["latent"]

    def _draw(self, block: int) -> Arrays:
        mixed = np.random.SeedSequence([self._seed, block]).generate_state(1)[0]
        points = torch.zeros(self._size)
        with own_random_state(int(mixed)), own_param_store(), vectorised_noise():
            return over_draws(self._run, points, self._shapes, self._size, "different")

    def _run(self, _: torch.Tensor) -> Tensors:
        nodes = trace_simulation(self._bound).nodes
        return {
            name: nodes[name]["value"].expand(site.shape).reshape(self._shapes[name])
            for name, site in self._sites.items()
        }


def _find_size(bound: BoundModel, one: Callable[[torch.Tensor], Tensors]) -> int:
    """Simulations that are drawn together; 1 where ``vmap`` cannot follow the model."""
    vectorised = torch.func.vmap(one, randomness="different")
    with model_scope(), own_random_state(0), own_param_store(), vectorised_noise():
        try:
            with torch.no_grad():
                vectorised(torch.zeros(2))
        except RuntimeError:
            # A fault of another kind comes again where the model runs draw by draw.
            return 1
    return batch_size(bound.num_floats)


def look_at_simulations(bound: BoundModel, count: int = _LOOKS) -> list[Trace]:
    """Some simulations as the host records them.

    Args:
        bound: The model with its arguments.
        count: How many.

    Raises:
        ValueError: The model has a factor or an improper prior.
    """
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        return [trace_simulation(bound) for _ in range(count)]


@in_turn
def find_exchangeable(bound: BoundModel, latent: Sequence[str], observed: Sequence[str]) -> str:
    """Name the plate whose rows may change places without a change of the model's density.

    Rows are exchanged together with what else stands in the plate, so that nuisances of a row go
    with it. A plate around a site of interest is none: its rows have names.

    Args:
        bound: The model with its arguments.
        latent: Sites of interest.
        observed: Sites that are observed.

    Returns:
        The plate with the most rows; empty where there is none.
    """
    sites = bound.sites
    inside: dict[str, dict[str, int]] = {}
    for site in (*sites.latents, *sites.enumerated, *sites.observed):
        for plate in site.plates:
            axis = len(site.shape) - site.event_dim + plate.dim
            inside.setdefault(plate.name, {})[site.name] = axis
    sizes = {plate.name: plate.size for plate in sites.plates if not plate.subsamples}
    looks = look_at_simulations(bound)
    for plate in sorted(sizes, key=lambda name: -sizes[name]):
        names = inside.get(plate, {}).keys()
        if sizes[plate] < 2 or names & set(latent) or not names & set(observed):
            continue
        before, after = _score_exchanged(bound, looks, inside[plate], sizes[plate])
        if np.allclose(before, after, rtol=1e-4, atol=1e-3):
            return plate
    return ""


def _score_exchanged(
    bound: BoundModel, looks: Sequence[Trace], axes: Mapping[str, int], size: int
) -> np.ndarray:
    """Log densities of some simulations, and of the same with the rows of a plate turned."""
    conditioned, totals = condition_on(bound.model), []
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        for look in looks:
            values = {
                name: site["value"]
                for name, site in look.nodes.items()
                if site["type"] == "sample"
                and not (site_is_subsample(site) or is_deterministic(site))
            }
            # One order in which covariates come again may hide them, eight do not.
            order = torch.randperm(size)
            turned = {
                name: value.expand(look.nodes[name]["fn"].shape()).index_select(axes[name], order)
                for name, value in values.items()
                if name in axes
            }
            for data in (values, values | turned):
                trace = poutine.trace(conditioned).get_trace(data, *bound.args, **bound.kwargs)
                totals.append(float(trace.log_prob_sum()))
    return np.reshape(totals, (-1, 2)).T
