"""The road of a flow: a Gaussian, draws of the posterior, and gradients of the bound."""

from dataclasses import replace

import numpy as np
import torch

from ppl_ext.correction import Corrected, Correction, correct
from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.held_out import HeldOut
from ppl_ext.fitting.iterates import conclude_stages
from ppl_ext.fitting.loop import NonFiniteLossError, drive
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.fitting.stopping import Plateau, cap_phases
from ppl_ext.gaussian_vi import solve_full_rank
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.pyro.fitting.flows.flow_training import (
    BoundTraining,
    LikelihoodTraining,
    State,
    restore,
    snapshot,
)
from ppl_ext.pyro.guides.flow import AutoFlow
from ppl_ext.pyro.tracing.isolation import own_random_state

__all__ = ["fit_flow"]

# The draws have to show where the posterior is; they need not be good to the last digit.
_ENOUGH = Correction(ess=2000, max_gradients=1_000_000)
_LOOK = 25  # steps between two looks at the losses
_MOST_LIKELIHOOD_STEPS = 300
_MOST_BOUND_STEPS = 600
_MOST_LARGE_STEPS = 200  # of these, before smaller ones are averaged
_RULE = Plateau(min_steps=100)
_PAIRS = 2048  # draws on which the stages are compared, times two


def fit_flow(
    density: Density, guide: AutoFlow, settings: Deterministic, seed: int, progress_bar: bool
) -> FitLog:
    """Fit a flow in stages, each from where the one before it ended, and keep the best of them.

    Args:
        density: The log density of the model.
        guide: The guide; it is left with the fitted parameters.
        settings: Those of the Gaussian that becomes the frame.
        seed: Seed of all draws.
        progress_bar: Whether to draw bars.

    Returns:
        The log: the losses are those of the last stage, the notes tell of all.
    """
    solution = solve_full_rank(density, settings, seed=seed, progress_bar=progress_bar)
    guide.set_gaussian(solution.loc, solution.scale_tril)
    parts, notes, log = [solution.log], [], solution.log
    with own_random_state(seed), torch.no_grad():
        guide.flow.reset_parameters()
        states = {"the Gaussian": snapshot(guide.flow)}
        if not log.interrupted and density.batched:
            corrected = correct(density, solution, _ENOUGH, seed=seed, progress_bar=progress_bar)
            notes.append(corrected.summary)
            with torch.enable_grad():
                log, gradients = _learn(guide, corrected, progress_bar), corrected.log.gradients
            log = replace(log, seconds=log.seconds + corrected.log.seconds, gradients=gradients)
            parts.append(log)
            states["the flow of the draws"] = snapshot(guide.flow)
        if not log.interrupted:
            with torch.enable_grad():
                log = _climb(guide, density, progress_bar)
            parts.append(log)
            states["the flow of the bound"] = snapshot(guide.flow)
        losses = {name: _score(guide, density, states[name]) for name in reversed(states)}
        chosen, log = conclude_stages(losses, parts, notes)
        restore(guide.flow, states[chosen])
    return log


def _learn(guide: AutoFlow, corrected: Corrected, progress_bar: bool) -> FitLog:
    """Train the flow by the likelihood of corrected draws, those of one island held out."""
    loc, scale_tril = (part.detach() for part in guide._flat())
    z = torch.as_tensor(corrected.z).to(loc)
    u = torch.linalg.solve_triangular(scale_tril, (z - loc).T, upper=False).T
    share = len(u) // corrected.draws.chains
    training = LikelihoodTraining(guide.flow, u[share:], u[:share])
    held_out = HeldOut(training.look, snapshot(guide.flow))
    try:
        log = drive(
            training.advance,
            max_steps=_MOST_LIKELIHOOD_STEPS,
            rule=held_out,
            chunk=_LOOK,
            next_phase=lambda: training.slow_down(held_out.best),
            progress_bar=progress_bar,
            describe="draws",
        )
    except NonFiniteLossError as error:
        log = error.log
    restore(guide.flow, held_out.best)
    return log


def _climb(guide: AutoFlow, density: Density, progress_bar: bool) -> FitLog:
    """Train the flow by the evidence lower bound, which knows what the draws do not."""
    training = BoundTraining(guide.flow, *(part.detach() for part in guide._flat()), density)
    try:
        log = drive(
            training.advance,
            max_steps=_MOST_BOUND_STEPS,
            rule=cap_phases(_RULE, _MOST_LARGE_STEPS, lambda: not training.slower),
            chunk=_LOOK,
            next_phase=training.slow_down,
            gradients_per_step=training.batch,
            progress_bar=progress_bar,
            describe="bound",
        )
    except NonFiniteLossError as error:
        log = error.log
    if training.averaged:
        restore(guide.flow, training.average)
    return log


def _score(guide: AutoFlow, density: Density, state: State) -> np.ndarray:
    """Losses of a stage on draws that are the same for all, ``losses[draw]``."""
    restore(guide.flow, state)
    half = draw_standard_normal(_PAIRS, guide.flow.dim, seed=1)
    z, log_q = guide.push_noise(np.concatenate([half, -half]))
    return log_q - density.log_p(z)
