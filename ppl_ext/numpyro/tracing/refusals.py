"""The models and data that cannot be fitted, each refused by name with the way out."""

import functools
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.enumeration.conflicts import find_conflict, find_unlisted
from ppl_ext.numpyro.tracing.find_sites import put_unconstrained
from ppl_ext.numpyro.tracing.model_call import ModelCall

__all__ = [
    "read_guide",
    "refuse_data",
    "refuse_enumerated",
    "refuse_guide",
    "refuse_hidden_draws",
    "refuse_latents",
    "refuse_local",
    "refuse_parameters",
    "refuse_subsampling",
]


def refuse_latents(bound: BoundModel, *, may_be_discrete: bool = False) -> None:
    """Raise for a model without latent sites, or with one that has no unconstrained space.

    Args:
        bound: The model.
        may_be_discrete: Whether a guide of the user's own may follow discrete sites.
    """
    caller = bound.caller
    refuse_enumerated(bound)
    if not bound.sites.latents and bound.sites.enumerated:
        raise ValueError(
            f"{caller}: all latent sites are summed out; expected one that is to be fitted. Draw "
            "them with the host: numpyro.contrib.funsor.infer_discrete(model, rng_key=rng_key)."
        )
    if not bound.sites.latents:
        raise ValueError(
            f"{caller}: the model has no latent sites; expected at least one unobserved "
            "numpyro.sample statement. Leave out obs= at the sites to be inferred."
        )
    for site in bound.sites.latents:
        if site.discrete and may_be_discrete:
            continue
        if site.discrete:
            raise ValueError(
                f"{caller}: site '{site.name}' is discrete ({site.distribution}); expected a "
                "continuous one, which a density or a Gaussian guide can follow, or one that is "
                f"marked to be summed out. Mark it: numpyro.sample('{site.name}', ..., "
                "infer={'enumerate': 'parallel'}), or write the sum as a mixture: "
                "numpyro.distributions.MixtureSameFamily(...)."
            )
        if site.assigned:
            raise ValueError(
                f"{caller}: the support of site '{site.name}' ({site.distribution}) hangs on "
                "sites that are summed out; expected the same for all of their values. Move "
                f"values of a fixed support: numpyro.deterministic('{site.name}', ...)."
            )
        if site.determined and not may_be_discrete:
            raise ValueError(
                f"{caller}: site '{site.name}' is a Delta distribution, a point without a "
                "density; expected a distribution with one, or no sample statement. Write "
                f"numpyro.deterministic('{site.name}', value)."
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


def refuse_enumerated(bound: BoundModel) -> None:
    """Raise for sites that are marked to be summed out and cannot be, or not without funsor."""
    enumerated = bound.sites.enumerated
    if not enumerated:
        return
    problem = find_unlisted(enumerated)
    if problem:
        raise ValueError(f"{bound.caller}: {problem}")
    if find_spec("funsor") is None:
        raise ImportError(
            f"{bound.caller}: site '{enumerated[0].name}' is marked to be summed out, for which "
            "NumPyro needs funsor; expected it to be installed. Install it: "
            'pip install "ppl-ext[enumeration]".'
        )
    # Where rows are drawn the host's own objective takes care of scales; draws see all rows.
    if not bound.sites.subsamples:
        with x64_scope(bound.x64):
            conflict = _find_conflict(bound.call)
        if conflict:
            raise ValueError(f"{bound.caller}: {conflict}")


@functools.lru_cache(maxsize=128)
def _find_conflict(call: ModelCall) -> str:
    shapes = {site.name: site.unconstrained_shape for site in call.sites.latents}
    model = put_unconstrained(
        handlers.seed(call.run, 0),
        lambda site, _: jnp.zeros(shapes[site["name"]]) if site["name"] in shapes else None,
    )
    return find_conflict(model, call.avals, call.sites)


def refuse_hidden_draws(bound: BoundModel) -> None:
    """Raise for a model that draws what the fit does not see and would hold fixed."""
    if bound.sites.hidden:
        raise ValueError(
            f"{bound.caller}: the model draws {', '.join(bound.sites.hidden)} beside its sample "
            "statements; expected every draw at a site that the fit sees. Draw it with "
            "numpyro.sample(name, ...) and no handlers.block around it, or pass the numbers in as "
            "an argument of the model."
        )


def refuse_parameters(bound: BoundModel) -> None:
    """Raise for a model with parameters of its own."""
    for name in bound.sites.parameters:
        raise ValueError(
            f"{bound.caller}: '{name}' is a param or mutable site; a density needs it fixed. Fix "
            f"it: handlers.substitute(model, data={{'{name}': value}}); or learn a param, after "
            "which the fit has a density: fit(rng_key, model, ...).density."
        )


def refuse_subsampling(bound: BoundModel, way_out: str) -> None:
    """Raise for a model that sees only some rows of a plate.

    Args:
        bound: The model.
        way_out: A sentence with the line that mends it.
    """
    for plate in bound.sites.plates:
        if plate.subsamples:
            raise ValueError(
                f"{bound.caller}: plate '{plate.name}' draws {plate.subsample_size} of its "
                f"{plate.size} rows; expected all of them. {way_out}"
            )


def refuse_local(bound: BoundModel, guide: str) -> None:
    """Raise for latent sites in plates that show only some of their rows.

    Args:
        bound: The model.
        guide: Class name of the guide that cannot hold them.
    """
    for site in bound.sites.latents:
        for plate in site.plates:
            if plate.subsamples:
                raise ValueError(
                    f"{bound.caller}: site '{site.name}' lies in plate '{plate.name}', which "
                    f"draws {plate.subsample_size} of its {plate.size} rows; {guide} expected all "
                    "of them, for it is one distribution of all sites. Use AutoMeanField(model), "
                    "or leave out subsample_size."
                )


def refuse_data(bound: BoundModel) -> None:
    """Raise for data with which no parameter value has a finite density."""
    caller = bound.caller
    for site in bound.sites.observed:
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
        if not site.fits:
            raise ValueError(f"{caller}: {site.misfit}")
        value, present = bound.data[site.name]
        finite = np.isfinite(value) | ~present
        if not finite.all():
            first = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{caller}: observed site '{site.name}' has {int((~finite).sum())} values that "
                f"are not finite, the first ({value[first]}) at index {first}; expected finite "
                "data. Remove the rows, or hide them: handlers.mask(mask=jnp.isfinite(y)); or "
                "impute them: obs_mask=jnp.isfinite(y)."
            )


def refuse_guide(bound: BoundModel, guide: Callable[..., Any], params: Mapping[str, Any]) -> None:
    """Raise for a guide whose sites are not the latent sites of the model.

    Args:
        bound: The model.
        guide: The guide.
        params: Its parameters.
    """
    shapes = read_guide(bound, guide, params)
    expected = {site.name: site.shape for site in bound.sites.latents}
    if shapes.keys() != expected.keys():
        raise ValueError(
            f"{bound.caller}: the guide draws the sites {sorted(shapes)}, the model has the "
            f"latent sites {sorted(expected)}; expected the same. Give a guide of this model."
        )
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise ValueError(
                f"{bound.caller}: the guide draws site '{name}' with shape {shape}; expected "
                f"{expected[name]}, the shape that it has in the model. Give the guide's "
                f"parameters that shape, and its site the same plates."
            )


def read_guide(
    bound: BoundModel, guide: Callable[..., Any], params: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The latent sites that a guide draws, and their shapes.

    Args:
        bound: The model.
        guide: The guide.
        params: Its parameters; what is missing is initialised.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    args, kwargs = bound.given

    def run(params):
        seeded = handlers.substitute(handlers.seed(guide, 0), data=params)
        with handlers.block():
            trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        drawn = [s for s in trace.values() if s["type"] == "sample" and not s["is_observed"]]
        kept = [site for site in drawn if not site["infer"].get("is_auxiliary")]
        shapes.update((site["name"], jnp.shape(site["value"])) for site in kept)

    # Distributions of NumPyro check numbers that they are given in dozens of small programs.
    jax.eval_shape(run, dict(params))
    return shapes
