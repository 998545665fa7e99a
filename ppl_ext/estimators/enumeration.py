"""Expectations over a few discrete variables, summed exactly."""

import math

import numpy as np

__all__ = ["enumerate_choices", "expect_exactly"]

_MOST_CHOICES = 100_000


def enumerate_choices(num_variables: int, num_classes: int) -> np.ndarray:
    """List every choice of one class for each variable.

    Args:
        num_variables: Number of variables.
        num_classes: Number of classes of each.

    Returns:
        Classes with shape ``(choice, variable)``.

    Raises:
        ValueError: More than 100,000 choices.

    Example:
        >>> enumerate_choices(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    # By logarithms: the number itself may have thousands of digits.
    if num_variables * math.log(num_classes) > math.log(_MOST_CHOICES) + 1e-9:
        raise ValueError(
            f"compare_estimators: {num_variables} variables of {num_classes} classes have "
            f"{num_classes}^{num_variables} joint values; expected at most {_MOST_CHOICES:,}, as "
            "the exact gradient needs them all. Take a few of the variables: "
            "compare_estimators(f, logits[..., :4, :])."
        )
    return np.indices((num_classes,) * num_variables).reshape(num_variables, -1).T


def expect_exactly(
    probs: np.ndarray, choices: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum an expectation and its gradient in the logits over all choices.

    Args:
        probs: Probabilities with shape ``(*batch, variable, class)``.
        choices: Classes with shape ``(choice, variable)``.
        values: The function at each choice, with shape ``(choice, *batch)``.

    Returns:
        The expectation ``(*batch,)`` and the gradient ``(*batch, variable, class)``.

    Example:
        >>> choices = enumerate_choices(1, 2)
        >>> expectation, gradient = expect_exactly(
        ...     np.array([[0.5, 0.5]]), choices, np.array([0.0, 4.0])
        ... )
        >>> float(expectation), gradient.tolist()
        (2.0, [[-1.0, 1.0]])
    """
    probs = np.asarray(probs, dtype=float)
    joint = np.ones((len(choices), *probs.shape[:-2]))
    for variable, classes in enumerate(choices.T):
        joint *= np.moveaxis(probs[..., variable, :], -1, 0)[classes]
    # What cannot happen counts nothing, whatever the function says of it.
    weighted = np.where(joint > 0, joint * np.where(joint > 0, values, 0.0), 0.0)
    expectation = weighted.sum(0)
    gradient = -probs * expectation[..., None, None]
    for variable, classes in enumerate(choices.T):
        for each in range(probs.shape[-1]):
            gradient[..., variable, each] += weighted[classes == each].sum(0)
    return expectation, gradient
