"""Guides on the unconstrained space of a model: set-up, starting points and plates."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpyro
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer import init_to_uniform
from numpyro.infer.autoguide import AutoGuide
from numpyro.primitives import _PYRO_STACK, CondIndepStackFrame

from ppl_ext.fitting.calls import check_init_scale
from ppl_ext.numpyro.guides.coordinates import GuideSite, lay_out, spread_start
from ppl_ext.numpyro.guides.init_points import draw_start
from ppl_ext.numpyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.numpyro.tracing.density import explain_at
from ppl_ext.numpyro.tracing.refusals import refuse_latents
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["AbstractUnconstrainedGuide"]


class AbstractUnconstrainedGuide(AutoGuide):
    """A guide on unconstrained space that follows the host's protocol for automatic guides.

    The coordinates of a guide are those of `ppl_ext.numpyro.trace_density`: the model's sites in
    the model's order, each raveled.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        create_plates: Callable | None = None,
    ) -> None:
        check_init_scale(type(self).__name__, init_scale)
        super().__init__(
            model, prefix=prefix, init_loc_fn=init_loc_fn, create_plates=create_plates
        )
        self.init_scale = init_scale
        self.sites: tuple[GuideSite, ...] = ()
        self._bound: BoundModel | None = None

    @in_turn
    def setup(self, rng_key: jax.Array, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Look at the model now instead of at the first call, and draw starting parameters.

        After it, parameters that were trained in another process can be used.

        Args:
            rng_key: Random key of the starting point.
            *args: Positional arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            Starting parameters: another key, another point.

        Raises:
            ValueError: The model cannot be followed by this guide, or no starting point has a
                finite log density; the message names the site.
        """
        line = "guide.setup(jax.random.key(0), *args)"
        check_rng_key(f"{type(self).__name__}.setup", rng_key, line)
        self._setup_prototype(*args, **kwargs)
        with handlers.block():
            trace = handlers.trace(handlers.seed(self, rng_key)).get_trace(*args, **kwargs)
        return {name: site["value"] for name, site in trace.items() if site["type"] == "param"}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        self._set_up(bind_model(type(self).__name__, self.model, args, kwargs))

    def _set_up(self, bound: BoundModel) -> None:
        """Look at a model that has its arguments bound.

        Args:
            bound: The model of this guide.

        Raises:
            ValueError: This guide cannot follow it.
        """
        # The host draws the starting point here, once and for all, from whichever key came first.
        # Only what is fixed about the model is kept here, so nothing of a trace can leak either.
        refuse_latents(bound)
        self._refuse(bound)
        self.sites = lay_out(bound.sites.latents)
        self._dynamic = any(site.latent.transform is None for site in self.sites)
        self._deterministic = bool(bound.sites.deterministics)
        plates = [plate for site in self.sites for plate in site.latent.plates]
        self._subsamples = any(plate.subsamples for plate in plates)
        self._prototype_frames = {
            plate.name: CondIndepStackFrame(plate.name, plate.dim, plate.subsample_size)
            for plate in plates
        }
        self._prototype_frame_full_sizes = {plate.name: plate.size for plate in plates}
        if not bound.traced:
            self._bound = bound
        # The host's AutoGuideList reads this to refuse parts that expose deterministic sites.
        self.prototype_trace = {
            **{site.name: {"type": "sample", "is_observed": False} for site in self.sites},
            **{site.name: {"type": "deterministic"} for site in bound.sites.deterministics},
        }

    def _refuse(self, bound: BoundModel) -> None:
        """Raise for a model that this guide cannot follow."""

    def _program_key(self, model: Callable[..., Any]) -> tuple[Any, ...]:
        """What tells the programs of this guide from those of others on the same model.

        Args:
            model: The model that is fitted; it is left out where it is the guide's own.
        """
        other = None if self.model is model else self.model
        strategy, hook = self.init_loc_fn, self.create_plates
        return (type(self), other, self.prefix, strategy, self.init_scale, hook)

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self._ready()[-1].stop

    def _ready(self) -> tuple[GuideSite, ...]:
        if not self.sites:
            raise RuntimeError(
                f"{type(self).__name__}: the guide has not seen the model yet; expected a set-up "
                "before its parameters are used. Write guide.setup(rng_key, *args, **kwargs)."
            )
        return self.sites

    def _starter(self, args: tuple, kwargs: Mapping) -> Callable[[jax.Array | None], dict]:
        """A function of a key that draws one joint start; all parameters of a run share it."""
        drawn: dict[str, jax.Array] = {}

        def start(rng_key: jax.Array | None) -> dict[str, jax.Array]:
            if not drawn:
                rng_key = jax.random.key(0) if rng_key is None else rng_key
                drawn.update(self._draw_start(rng_key, args, kwargs))
            return drawn

        return start

    def _draw_start(self, rng_key: jax.Array, args: tuple, kwargs: Mapping) -> dict:
        bound = bind_model(type(self).__name__, self.model, args, kwargs)
        z, finite = draw_start(bound, self.init_loc_fn, rng_key)
        if not isinstance(finite, jax.core.Tracer) and not finite:
            raise ValueError(
                f"{bound.caller}: none of the starting points has a finite log density and "
                f"gradient: {explain_at(bound, z) or 'its gradient is not finite'}. Expected one "
                "in a hundred. Check the data and the supports, or start elsewhere: "
                "init_loc_fn=numpyro.infer.init_to_value(values={...})."
            )
        return spread_start(self.sites, z)

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, numpyro.plate]:
        # Inside the host's AutoGuideList every part would draw rows of its own, and the model
        # would see those of the last: take the rows that this run has drawn already.
        drawn = {}
        for handler in _PYRO_STACK:
            if isinstance(handler, handlers.trace):
                for name in self._prototype_frames:
                    if handler.trace.get(name, {}).get("type") == "plate":
                        drawn[name] = handler.trace[name]["value"]
        with handlers.substitute(data=drawn):
            return super()._create_plates(*args, **kwargs)

    def _transform(self, site: GuideSite, values: Mapping, plates: Mapping, call: tuple) -> Any:
        """The bijection onto the support of a site, which may depend on the values before it."""
        if site.latent.transform is not None:
            return site.latent.transform
        rows = {name: plate._indices for name, plate in plates.items()}
        with handlers.block(), handlers.seed(rng_seed=0):
            model = handlers.substitute(self.model, data={**values, **rows})
            trace = handlers.trace(model).get_trace(*call[0], **call[1])
        return biject_to(trace[site.name]["fn"].support)
