"""The place of the truth among the draws of a fit."""

from collections.abc import Mapping

import numpy as np

__all__ = ["LOG_LIKELIHOOD", "PITColumns", "pair_up", "place_among"]

# The name of the one quantity that is no site. Ranks of sites alone cannot tell a posterior from
# its prior (Modrák et al. 2023); the log likelihood of all data can.
LOG_LIKELIHOOD = "log likelihood"


def place_among(
    truth: np.ndarray, draws: np.ndarray, rng: np.random.Generator, axis: int = 0
) -> np.ndarray:
    r"""Place truths among draws, with ties broken at random.

    .. math:: u = \frac{\#\{\theta_l < \theta^*\} + v\,(1 + \#\{\theta_l = \theta^*\})}{L + 1},
        \qquad v \sim U(0, 1)

    Where the :math:`L` draws and the truth :math:`\theta^*` are exchangeable, :math:`u` is uniform
    exactly, ties of discrete sites included.

    Args:
        truth: ``[...]``.
        draws: The same with one axis more, that of the draws.
        rng: Generator of :math:`v`.
        axis: Where the axis of the draws is.

    Returns:
        ``[...]``, in (0, 1).

    Example:
        >>> truths, draws = np.array([0.5, 9.0]), np.tile(np.linspace(0, 1, 99), (2, 1))
        >>> place_among(truths, draws, np.random.default_rng(0), axis=1).round(1).tolist()
        [0.5, 1.0]
    """
    true = np.expand_dims(truth, axis)
    below, equal = (draws < true).sum(axis), (draws == true).sum(axis)
    jitter = rng.uniform(size=np.shape(below))
    places: np.ndarray = (below + jitter * (1 + equal)) / (1 + draws.shape[axis])
    # The jitter is below 1, but its sum with a large rank is rounded.
    return np.clip(places, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)


class PITColumns:
    """Probability integral transforms of simulated truths, collected fit by fit.

    Each is the place of a truth among the draws of its fit, with ties broken at random: uniform
    exactly where the fits are right.

    Args:
        rng: Generator that breaks ties.

    Example:
        >>> columns = PITColumns(np.random.default_rng(0))
        >>> columns.add({"mu": np.array(0.5)}, {"mu": np.linspace(0, 1, 99)})
        >>> columns.stack()["mu"].round(1).tolist()
        [0.5]
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._columns: dict[str, list[np.ndarray]] = {}

    def add(self, truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray]) -> None:
        """Place one simulated truth among the draws of the fit to its data.

        Args:
            truth: ``{quantity: array[...]}``.
            draws: ``{quantity: array[draw, ...]}``; quantities that only one of both has are left
                out.
        """
        for name in draws:  # in their order, so that a seed gives every quantity its own jitter
            if name in truth:
                place = place_among(np.asarray(truth[name]), np.asarray(draws[name]), self._rng)
                self._columns.setdefault(name, []).append(place)

    def stack(self) -> dict[str, np.ndarray]:
        """All of them: ``{quantity: array[simulation, ...]}``."""
        return {name: np.stack(places) for name, places in self._columns.items()}


def pair_up(
    called: str, truths: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Check that truths and draws of many simulations belong together.

    Args:
        called: The public function, for the messages.
        truths: ``{quantity: array[simulation, ...]}``.
        draws: ``{quantity: array[simulation, draw, ...]}``; quantities that only one of both has
            are left out.

    Returns:
        ``{quantity: (truths, draws)}``, in the order of the draws.

    Raises:
        ValueError: They have no quantity in common, or shapes that do not fit, or are NaN.

    Example:
        >>> list(pair_up("f", {"mu": np.zeros(2)}, {"mu": np.zeros((2, 9)), "nu": np.zeros(2)}))
        ['mu']
    """
    pairs = {
        name: (np.asarray(truths[name]), np.asarray(draws[name]))
        for name in draws
        if name in truths
    }
    if not pairs:
        raise ValueError(
            f"{called}: truths of {list(truths)} and draws of {list(draws)} have nothing in "
            "common; expected the same names. Rename them: {'mu': truths}, {'mu': draws}."
        )
    for name, (true, drawn) in pairs.items():
        if drawn.ndim < 2 or true.shape != (drawn.shape[0], *drawn.shape[2:]):
            raise ValueError(
                f"{called}: '{name}' has truths of shape {true.shape} and draws of shape "
                f"{drawn.shape}; expected [simulation, ...] and [simulation, draw, ...]. Move "
                "the axis of the draws: np.moveaxis(draws, 0, 1)."
            )
        if np.isnan(true).any() or np.isnan(drawn).any():
            raise ValueError(
                f"{called}: '{name}' is NaN somewhere, which has no place among numbers. Leave "
                "these simulations out."
            )
    return pairs
