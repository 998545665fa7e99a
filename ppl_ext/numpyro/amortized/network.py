"""The encoder beside the model whose rows it reads."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from ppl_ext.amortization.layout import RowLayout, lay_out_rows
from ppl_ext.amortization.reading import (
    check_alike,
    check_encoded,
    check_features,
    refuse_features,
    refuse_nothing_to_read,
)
from ppl_ext.amortization.refusals import refuse_local, require_layout
from ppl_ext.numpyro.amortized.encoders import (
    check_encoder,
    join_presence,
    make_encoder,
    measure,
    standardise,
)
from ppl_ext.numpyro.amortized.rows import Shown, Trace, read_rows, run_model
from ppl_ext.numpyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.numpyro.tracing.find_sites import mask_of
from ppl_ext.numpyro.tracing.refusals import refuse_data, refuse_latents

__all__ = ["RowNetwork"]

_CALLER = "AutoAmortized"


class RowNetwork:
    """An encoder, the model, and what the encoder reads of it.

    Args:
        model: NumPyro model.
        plate: Plate whose rows are encoded, or None.
        encoder: Function and weights, or None.
        features: Function of the model's arguments, or None.
        family: Family of the local sites.
        prefix: First part of the names of parameters.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        plate: str | None,
        encoder: tuple[Callable[..., Any], Any] | None,
        features: Callable[..., Any] | None,
        family: str,
        prefix: str,
    ) -> None:
        check_encoder(encoder)
        self.model, self.plate, self.encoder = model, plate, encoder
        self.features, self.family, self.prefix = features, family, prefix
        self._layout: RowLayout | None = None
        self._function: Callable[..., Any] | None = None

    @property
    def layout(self) -> RowLayout:
        """The sites of the model."""
        return require_layout(self._layout, "guide.setup(rng_key, *args, **kwargs)")

    def set_up(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RowLayout:
        """Look at the model, once."""
        if self._layout is None:
            self._layout = self.check_data(args, kwargs)
        return self._layout

    def check_data(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RowLayout:
        """The sites of the model with these arguments.

        Raises:
            ValueError: It has sites that cannot be followed, or data that are not finite.
        """
        trace = run_model(self.model, args, kwargs, {})
        shown = bind_model(_CALLER, self.model, args, kwargs)
        refuse_latents(shown)
        layout = lay_out_rows(shown.sites, self.plate)
        check_alike(self._layout, layout)
        for site in shown.sites.latents:
            fn = trace[site.name]["fn"]
            refuse_local(
                site.name,
                moving=site.transform is None,
                masked=mask_of(fn, fn.shape()) is not None,
                mask="handlers.mask",
            )
        if not shown.traced:
            refuse_data(_show_all(shown))
        if self.features is None:
            refuse_nothing_to_read(layout)
        return layout

    def run_whole(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shown:
        """A run of the model with all rows that it can show."""
        given = bind_model(_CALLER, self.model, args, kwargs)
        bound = _show_all(given)
        trace = run_model(self.model, args, kwargs, {}, whole=bound is not given)
        return Shown(trace, trace[self.layout.plate]["value"], bound)

    def read(
        self,
        trace: Trace,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        rows: jax.Array,
    ) -> tuple[jax.Array, jax.Array | None]:
        """What the encoder reads of rows, ``[row, ...]``, and which values are there."""
        if self.features is None:
            return read_rows(trace, self.layout)
        found = jnp.asarray(self.features(*args, **kwargs))
        size = trace[self.layout.plate]["args"][0]
        check_features(jnp.shape(found), self.layout, size, len(rows))
        if not isinstance(found, jax.core.Tracer):
            refuse_features(int((~np.isfinite(found)).sum()))
        return (found[rows] if len(found) == size else found), None

    def parameters(
        self,
        read: tuple[jax.Array, jax.Array | None],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The weights and the scaling as parameters of the host."""
        _, weights = self._make(read)
        found = {f"{self.prefix}_encoder": numpyro.param(f"{self.prefix}_encoder", weights)}
        if self.encoder is None:
            name = f"{self.prefix}_scaling"
            found[name] = numpyro.param(name, lambda rng_key: self._measure(args, kwargs))
        return found

    def encode(
        self, params: Mapping[str, Any], read: tuple[jax.Array, jax.Array | None]
    ) -> jax.Array:
        """What the encoder gives for rows, ``[row, output]``."""
        features, present = read
        if self.encoder is None:
            features = features.reshape(len(features), -1)
            features = standardise(features, params[f"{self.prefix}_scaling"])
        rows = join_presence(features, present)
        function, _ = self._make(read)
        encoded = function(params[f"{self.prefix}_encoder"], rows)
        check_encoded(jnp.shape(encoded), len(rows), self.layout, self.family)
        return encoded

    def _make(self, read: tuple[jax.Array, jax.Array | None]) -> tuple[Callable[..., Any], Any]:
        features, present = read
        width = features[0].size * (1 if present is None else 2)
        return make_encoder(self.encoder, width, self.layout.num_outputs(self.family))

    def _measure(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, jax.Array]:
        shown = self.run_whole(args, kwargs)
        features, present = self.read(shown.trace, args, kwargs, shown.rows)
        return measure(features.reshape(len(features), -1), present)


def _show_all(bound: BoundModel) -> BoundModel:
    """The model with all rows of its plates; as it is where it is handed minibatches."""
    try:
        return bound.whole
    except ValueError:
        return bound
