"""The loop of a calibration: simulate, fit, place the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppl_ext.calibration.pit import LOG_LIKELIHOOD, PITColumns
from ppl_ext.calibration.result import Calibration
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.fit_log import INTERRUPTED
from ppl_ext.fitting.loop import open_bar

__all__ = ["Simulation", "check_data", "place_truths"]


@dataclass(frozen=True)
class Simulation:
    """One draw from the prior with data.

    Args:
        truth: ``{site: array[...]}``, latent and deterministic sites.
        data: ``{observed site: array[...]}``.
        log_likelihood: Of all data given the truth, in nats; None where discrete sites are summed
            out, for what the draws then carry is not the likelihood given their values.

    Example:
        >>> Simulation({"mu": np.array(0.0)}, {"y": np.zeros(3)}, -2.8).data["y"].shape
        (3,)
    """

    truth: Mapping[str, np.ndarray]
    data: Mapping[str, np.ndarray]
    log_likelihood: float | None


def check_data(latent: Collection[str], observed: Collection[str]) -> None:
    """Refuse a model that has no data to simulate, or simulates only a part of them.

    Args:
        latent: Names of the latent sites.
        observed: Names of the observed sites.

    Raises:
        ValueError: There is no observed site, or one stands for data that are hidden.

    Example:
        >>> check_data(["mu"], ["y"])
    """
    for name in latent:
        if name.endswith("_unobserved"):
            raise ValueError(
                f"calibrate: site '{name}' stands for data that obs_mask hides; expected "
                "data without gaps, whatever their values. Leave obs_mask out."
            )
    if not observed:
        raise ValueError(
            f"calibrate: the model has no observed site (its latent sites are {list(latent)}); "
            "expected data to simulate. Pass data of the right shape, whatever their values: "
            "obs=y."
        )


def place_truths(
    simulate: Callable[[int], Simulation],
    fit: Callable[[int, Simulation], tuple[Draws, str]],
    num_simulations: int,
    rng: np.random.Generator,
    *,
    dims: Mapping[str, Sequence[str]],
    progress_bar: bool,
) -> Calibration:
    """Simulate, fit and place the truth among the draws, again and again.

    Args:
        simulate: ``index -> Simulation``.
        fit: ``(index, simulation) -> (draws, verdict)``, of the posterior given its data.
        num_simulations: How often.
        rng: Generator that breaks ties.
        dims: ``{site: names}`` of the leading axes of a value.
        progress_bar: Whether to draw a bar where there is a terminal.

    Returns:
        The calibration; after Ctrl-C of the simulations that were finished.

    Raises:
        ValueError: What a fit raises (RuntimeError, ArithmeticError too), with a note that tells
            which simulation it was.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def simulate(index):
        ...     mu = rng.normal()
        ...     return Simulation({"mu": mu}, {"y": rng.normal(mu)}, log_likelihood=0.0)
        >>> def fit(index, simulation):
        ...     mu = simulation.data["y"] / 2 + np.sqrt(0.5) * rng.normal(size=99)
        ...     return Draws({"mu": mu}, log_p=np.zeros(99), log_q=np.zeros(99)), "good"
        >>> found = place_truths(simulate, fit, 50, rng, dims={}, progress_bar=False)
        >>> found.ok, dict(found.verdicts)
        (True, {'good': 50})
    """
    columns, verdicts, num_draws, ended = PITColumns(rng), Counter[str](), 0, ""
    with open_bar(num_simulations, progress_bar, "calibrate", unit=" fits") as bar:
        for index in range(num_simulations):
            try:
                simulation = simulate(index)
                draws, verdict = fit(index, simulation)
            except KeyboardInterrupt:
                ended = INTERRUPTED
                break
            except (ArithmeticError, RuntimeError, ValueError) as error:
                error.add_note(f"calibrate: this was simulation {index} of {num_simulations}.")
                raise
            truth, values = dict(simulation.truth), dict(draws.values)
            if simulation.log_likelihood is not None:
                truth[LOG_LIKELIHOOD] = np.asarray(simulation.log_likelihood)
                values |= _sum_likelihood(draws)
            columns.add(truth, values)
            verdicts[verdict] += 1
            num_draws = draws.num_draws
            bar.update(1)
    return Calibration(columns.stack(), num_draws, dims, verdicts, ended)


def _sum_likelihood(draws: Draws) -> dict[str, np.ndarray]:
    """The log likelihood of all data, ``[draw]``; none where the draws do not carry it."""
    if not draws.log_likelihood:
        return {}
    parts = [
        np.nansum(terms.reshape(draws.num_draws, -1), axis=1)
        for terms in draws.log_likelihood.values()
    ]
    return {LOG_LIKELIHOOD: np.sum(parts, axis=0)}
