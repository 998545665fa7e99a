"""The models and data that cannot be fitted, each refused by name with the way out."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from numpyro import handlers

from ppl_ext.numpyro.tracing.sites import Inspection, Plate

__all__ = [
    "plate_that_raised",
    "refuse_data",
    "refuse_guide",
    "refuse_model",
    "refuse_subsampling",
]


def refuse_model(inspection: Inspection, caller: str, guided: bool = False) -> None:
    """Raise for a model that has no density on unconstrained space.

    Args:
        inspection: The model's sites.
        caller: Name of the public object on whose behalf the errors speak.
        guided: Whether a guide of the user's own may follow discrete sites.
    """
    if not inspection.latents:
        raise ValueError(
            f"{caller}: the model has no latent sites; expected at least one unobserved "
            "numpyro.sample statement. Leave out obs= at the sites to be inferred."
        )
    for site in inspection.latents:
        if site.discrete and guided:
            continue
        if site.discrete:
            raise ValueError(
                f"{caller}: site '{site.name}' is discrete ({site.distribution}). A continuous "
                "density or guide cannot follow it; marginalise it (a mixture distribution, or "
                f"enumeration), or hide it: handlers.block(model, hide=['{site.name}'])."
            )
        if site.unconstrained_shape is None:
            raise ValueError(
                f"{caller}: the support of site '{site.name}' ({site.distribution}) has no "
                "bijection to unconstrained space; expected a support that "
                "numpyro.distributions.biject_to knows. Register one: @biject_to.register(...)."
            )
        if 0 in site.shape:
            raise ValueError(
                f"{caller}: site '{site.name}' has shape {site.shape} and holds no value; "
                "expected at least one. Leave the site out where there is nothing to infer."
            )
    imputed = {f"{s.name.removesuffix('_observed')}_unobserved" for s in inspection.observed}
    for site in inspection.latents:
        if caller in ("fit", "trace_density") and site.name in imputed:
            name = site.name.removesuffix("_unobserved")
            raise ValueError(
                f"{caller}: obs_mask= at site '{name}' makes '{site.name}' latent without a "
                "density where the data are observed; expected a proper density. Mask the data "
                "instead: handlers.mask(mask=...), with any finite value where one is missing."
            )
    for name in inspection.parameters:
        if caller == "trace_density":
            raise ValueError(
                f"{caller}: '{name}' is a param or mutable site; a density needs it fixed. Fix "
                f"it: handlers.substitute(model, data={{'{name}': value}})."
            )


def refuse_subsampling(plates: Iterable[Plate], caller: str, way_out: str) -> None:
    """Raise for plates of which only some rows are seen."""
    for plate in plates:
        if plate.subsample_size != plate.size:
            raise ValueError(
                f"{caller}: plate '{plate.name}' draws {plate.subsample_size} of its "
                f"{plate.size} rows; expected all of them. {way_out}"
            )


def refuse_data(inspection: Inspection, observed: Mapping[str, np.ndarray], caller: str) -> None:
    """Raise for data with which no parameter value has a finite density."""
    for site in inspection.observed:
        if site.problem:
            raise ValueError(
                f"{caller}: observed site '{site.name}' ({site.distribution}) was given integer "
                f"data that it cannot score ({site.problem}); expected floats. Convert them: "
                f"obs=jnp.asarray({site.name}, dtype=float)."
            )
        if 0 in site.shape:
            raise ValueError(
                f"{caller}: observed site '{site.name}' has shape {site.shape} and holds no data; "
                "expected at least one value. Leave the site out, or pass its data."
            )
        value = np.asarray(observed[site.name])
        finite = np.isfinite(value)
        if not finite.all():
            first = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{caller}: observed site '{site.name}' has {int((~finite).sum())} values that "
                f"are not finite, the first ({value[first]}) at index {first}; expected finite "
                "data. Remove the rows, or hide them and put any finite value in their place: "
                "handlers.mask(mask=jnp.isfinite(y)) with obs=jnp.nan_to_num(y)."
            )


def refuse_guide(
    caller: str,
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    inspection: Inspection,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    """Raise for a guide whose sites are not the latent sites of the model."""
    names: set[str] = set()

    def run():
        seeded = handlers.substitute(handlers.seed(guide, 0), data=dict(params))
        with handlers.block():
            trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        names.update(
            name
            for name, site in trace.items()
            if site["type"] == "sample"
            and not site["is_observed"]
            and not site["infer"].get("is_auxiliary")
        )

    jax.eval_shape(run)
    expected = {site.name for site in inspection.latents}
    if names != expected:
        raise ValueError(
            f"{caller}: the guide draws the sites {sorted(names)}, the model has the latent sites "
            f"{sorted(expected)}; expected the same. Give a guide of this model."
        )


def plate_that_raised(error: AssertionError) -> str:
    """Name of the plate whose constructor raised, empty if it was none."""
    traceback = error.__traceback__
    name = ""
    while traceback is not None:
        plate = traceback.tb_frame.f_locals.get("self")
        if type(plate).__name__ == "plate":
            name = getattr(plate, "name", "")
        traceback = traceback.tb_next
    return name
