"""From a density with parameters to their optimum and the Gaussian there."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ppl_ext.density import ParametricDensity
from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog
from ppl_ext.fitting.loop import open_bar
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import GaussianState
from ppl_ext.gaussian_vi.parameters.profile import Profile, ProfileClimb
from ppl_ext.gaussian_vi.parameters.solution import ParametricSolution, note_parameters
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal

__all__ = ["MOST_PARAMETERS", "solve_with_parameters"]

# Each step of the parameters costs a fit of the Gaussian. Three hundred fixed effects need twenty
# steps; a network of as many weights needs hundreds, which stochastic gradients make faster.
MOST_PARAMETERS = 300

# Most looks for better modes at the parameters found, and nats by which the climb after one has
# to rise for another.
_LOOKS, _NEWS = 3, 0.5
_GROWTH = 4  # each objective has so many times the draws of the one before
_ENDLESS = 3  # a climb that ends in so many steps up a straight slope has no maximum


def solve_with_parameters(
    density: ParametricDensity,
    solve: Callable[..., GaussianSolution],
    optimizer: Deterministic | None = None,
    *,
    seed: int = 0,
    progress_bar: bool = False,
) -> ParametricSolution:
    r"""Fit a Gaussian and the parameters of its density by one bound.

    .. math:: \max_\theta \max_q E_q[\log p_\theta(z)] + H[q]

    The parameters climb the profile of the bound by a quasi-Newton method from the values that
    the model gives them, the Gaussian following; then the modes are looked for anew. Not for so
    many parameters that a matrix of them has no room, nor for a local maximum far from another
    one: another start is another value in the model.

    Args:
        density: The log density and its parameters.
        solve: `ppl_ext.gaussian_vi.solve_full_rank` or `ppl_ext.gaussian_vi.solve_mean_field`.
        optimizer: Draws, tolerances and limits.
        seed: Seed of initial points and draws; the same seed gives the same answer.
        progress_bar: Whether to count gradients in a bar where there is a terminal.

    Returns:
        The parameters, the Gaussian, and how far both are from their optimum.

    Raises:
        ValueError: The log density is finite nowhere that was looked at, or the bound rises
            without end as a parameter goes to an end of its range; the message names it.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> from ppl_ext.gaussian_vi import solve_full_rank
        >>> def at(theta):  # x ~ Normal(theta, 1), y ~ Normal(x, 1), y = 3
        ...     def log_p(z):
        ...         return -0.5 * ((z - theta) ** 2 + (z - 3) ** 2).sum(-1)
        ...     return Density(
        ...         dim=1,
        ...         sites=(Site("x", (1,), 0, 1),),
        ...         log_density=lambda z: (log_p(z), theta + 3 - 2 * z),
        ...         log_p=log_p,
        ...         constrain=lambda z: {"x": z},
        ...         explain=lambda z: "",
        ...     )
        >>> shifted = ParametricDensity(
        ...     parameters=(Site("mean", (1,), 0, 1),),
        ...     start=np.zeros(1),
        ...     at=at,
        ...     gradient=lambda z, theta: (z - theta).mean(0),
        ... )
        >>> solution = solve_with_parameters(shifted, solve_full_rank)
        >>> solution.theta.round(2).tolist(), solution.gaussian.loc.round(2).tolist()
        ([3.0], [3.0])

    References:
        Neal, Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and
        other variants, in Learning in Graphical Models.
        Murphy, van der Vaart (2000), On profile likelihood, JASA 95(450).
        Nocedal, Wright (2006), Numerical Optimization, chapter 6.
    """
    optimizer = optimizer or Deterministic()
    with open_bar(None, progress_bar, "parameters", unit=" gradients") as bar:
        return _Run(density, solve, optimizer, seed, bar.update).run()


class _Run:
    """One fit on its way."""

    def __init__(
        self,
        density: ParametricDensity,
        solve: Callable[..., GaussianSolution],
        optimizer: Deterministic,
        seed: int,
        tell: Callable[[int], object],
    ) -> None:
        self.began = time.perf_counter()
        self.density = density
        self.solve = solve
        self.optimizer = optimizer
        self.seeds = np.random.SeedSequence(seed)
        self.rng = np.random.default_rng(seed)
        self.tell = tell
        self.gradients = 0
        self.error = np.inf
        # The parameters will change: at their start, more draws would be wasted.
        first = replace(optimizer, max_draws=optimizer.num_draws)
        self.look = self._look(density.start, first)
        self.profile = self._draw_profile(self.look.num_draws)
        point = self.profile.evaluate(density.start, self.look.loc, self.look.scale)
        inverse = self.profile.spread(point, self.rng)
        self.climb = ProfileClimb(point, inverse, [*-self.look.log.losses, point.elbo])

    def run(self) -> ParametricSolution:
        """Climb, look for modes, add draws; to the end or to Ctrl-C."""
        reason = INTERRUPTED if self.look.log.interrupted else ""
        try:
            if not reason:
                self._find_modes()
                self._add_draws()
        except KeyboardInterrupt:
            reason = INTERRUPTED
        return self._conclude(reason)

    def _look(self, theta: np.ndarray, optimizer: Deterministic) -> GaussianSolution:
        """The best Gaussian at some parameters, from starts everywhere."""
        seed = int(self.seeds.spawn(1)[0].generate_state(1)[0])
        look = self.solve(self.density.at(theta), optimizer, seed=seed)
        self._count(look.log.gradients)
        return look

    def _find_modes(self) -> None:
        self.climb.run(self.profile, self.optimizer)
        self._refuse_runaway()
        for _ in range(_LOOKS):
            self.look = self._look(self.climb.point.theta, self.optimizer)
            if self.look.log.interrupted:
                raise KeyboardInterrupt
            before = self._go_on(self.look.num_draws, self._choose())
            if not self._is_solved() or self.climb.point.elbo < before + _NEWS:
                return

    def _add_draws(self) -> None:
        self.error = self._measure_error()
        draws = _GROWTH * self.look.num_draws
        while self._is_solved() and not self._is_sharp() and draws <= self.optimizer.max_draws:
            self._go_on(draws, self.climb.point.state)
            self.error = self._measure_error()
            draws *= _GROWTH

    def _is_solved(self) -> bool:
        """Whether neither Gaussian nor parameters have much to gain on the draws at hand."""
        state = self.climb.point.state
        return max(state.average.predicted_kl, self.climb.gain) < self.optimizer.kl_tolerance

    def _is_sharp(self) -> bool:
        mean_error = self.climb.point.state.average.mean_error
        return max(self.error, mean_error) <= self.optimizer.error_tolerance

    def _choose(self) -> GaussianSolution | GaussianState:
        """The Gaussian of the last look, unless that was behind what the climb had reached."""
        reached = self.climb.point.state
        return self.look if self.look.elbo > reached.average.elbo - _NEWS else reached

    def _go_on(self, num_draws: int, start: GaussianSolution | GaussianState) -> float:
        """Climb on with other draws, from a Gaussian; returns the bound before it."""
        self.profile = self._draw_profile(num_draws)
        point = self.profile.evaluate(self.climb.point.theta, start.loc, start.scale)
        self.climb.point = point
        self.climb.run(self.profile, self.optimizer)
        self._refuse_runaway()
        return point.elbo

    def _draw_profile(self, num_draws: int) -> Profile:
        dim = self.look.loc.size
        half = draw_standard_normal(max(num_draws // 2, 1), dim, self.rng)
        return Profile(self.density, half, self.optimizer, self._count)

    def _count(self, gradients: int) -> None:
        self.gradients += gradients
        self.tell(gradients)

    def _measure_error(self) -> float:
        """How far other draws would put the parameters, in their own standard errors."""
        point, half = self.climb.point, self.profile.half
        others = draw_standard_normal(len(half), half.shape[1], self.rng)
        slope = self.profile.slope(point.theta, point.state, others) - point.gradient
        return float(np.sqrt(max(slope @ self.climb.inverse @ slope, 0.0)))

    def _refuse_runaway(self) -> None:
        climb = self.climb
        if climb.rising < (1 if climb.stuck else _ENDLESS) or climb.gain < _NEWS:
            return
        slope = climb.point.gradient
        worst = int(np.argmax(np.abs(slope * (climb.inverse @ slope))))
        name = next(s.name for s in self.density.parameters if s.start <= worst < s.stop)
        raise ValueError(
            f"fit: the bound rises without end as parameter '{name}' moves on from "
            f"{climb.point.theta[worst]:.3g} (unconstrained; the bound is {climb.point.elbo:,.6g} "
            "nats there); expected an optimum at a finite value. Give it a prior instead, or keep "
            f"it away from the end of its range by a constraint: sample '{name}', or "
            "constraint=constraints.greater_than(0.01)."
        )

    def _conclude(self, reason: str) -> ParametricSolution:
        climb, average = self.climb, self.climb.point.state.average
        draws = 2 * len(self.profile.half)
        converged = self._is_solved() and self._is_sharp() and not reason
        reason = reason or (
            f"{'converged' if converged else 'stopped'} ({average.predicted_kl:.1g} nats from the "
            f"optimum in the Gaussian and {climb.gain:.1g} in the parameters on {draws:,} draws, "
            f"which leave an error of {average.mean_error:.2g} sd in the mean and "
            f"{self.error:.2g} standard errors in the parameters)"
        )
        log = FitLog(
            losses=-np.array(climb.elbos),
            reason=reason,
            converged=converged,
            seconds=time.perf_counter() - self.began,
            gradients=self.gradients,
            start_losses=self.look.log.start_losses,
            dropped_starts=self.look.log.dropped_starts,
            notes=(note_parameters(self.density),),
        )
        state = climb.point.state
        gaussian = GaussianSolution(
            loc=state.loc,
            scale=state.scale,
            elbo=average.elbo,
            predicted_kl=average.predicted_kl,
            mean_error=average.mean_error,
            num_draws=draws,
            converged=converged,
            log=log,
        )
        return ParametricSolution(climb.point.theta, gaussian, climb.gain, self.error)
