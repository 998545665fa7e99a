"""Which step and which site made the loss of a stochastic fit stop being finite."""

import jax
import numpy as np
from numpyro import handlers

from ppl_ext.fitting.loop import NonFiniteLossError
from ppl_ext.numpyro.fitting.compiled_svi import SVIRun
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace

__all__ = ["blame_site"]


def blame_site(run: SVIRun, chunk: int, error: NonFiniteLossError) -> FloatingPointError:
    """Walk to the step whose loss is not finite and name the site.

    Args:
        run: The run, at the end of its last finite chunk.
        chunk: Steps of a chunk.
        error: What ended it.

    Returns:
        The error to raise.
    """
    compiled, arrays, progress = run.compiled, run.arrays, run.progress
    svi = compiled.svi
    for _ in range(error.step % chunk):
        progress, _, _ = compiled.advance(progress, 1, arrays)
    params = compiled.constrain(compiled.unconstrained(progress))
    bad = [
        f"parameter '{name}' is not finite"
        for name, value in params.items()
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(value))
    ]

    # Compiled, for outside of a program the host raises where a parameter is NaN.
    @jax.jit
    def score(rng_key, params, arrays):
        model_key, guide_key = jax.random.split(rng_key)
        guide = handlers.substitute(handlers.seed(svi.guide, guide_key), data=params)
        guide_trace = handlers.trace(guide).get_trace(arrays)
        model = handlers.replay(handlers.seed(svi.model, model_key), guide_trace)
        model = handlers.substitute(model, data=params)
        return score_trace(guide_trace), score_trace(handlers.trace(model).get_trace(arrays))

    rng_key = jax.random.split(progress.state.rng_key)[1]
    particles = compiled.num_particles
    for particle_key in jax.random.split(rng_key, particles) if particles > 1 else [rng_key]:
        scores = score(particle_key, params, arrays)
        for what, log_probs in zip(("guide", "model"), scores, strict=True):
            bad += [
                f"{what} site '{name}' has log density {float(np.sum(log_prob))}"
                for name, log_prob in log_probs.items()
                if not np.isfinite(log_prob).all()
            ]
        if bad:
            break
    where = "; ".join(bad) or "no single site is to blame"
    return FloatingPointError(
        f"fit: the loss is {error.loss} at step {error.step}: {where}. Expected a finite loss. "
        "Lower the step size: fit(..., optimizer=Stochastic(step_size=0.003)), start elsewhere, "
        "or check the supports of the site."
    )
