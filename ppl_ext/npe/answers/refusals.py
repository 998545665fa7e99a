"""What a neural posterior cannot answer."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["refuse_many", "refuse_without_density"]


def refuse_many(called: str) -> None:
    """Raise where one observation is wanted and there are many.

    Args:
        called: Name of the method.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"NeuralPosterior.{called}: there are many observations; expected one. Take them "
        f"one by one, npe.posterior(x[0]).{called}(...), or sample() for all of them."
    )


def refuse_without_density(sites: Sequence[str]) -> None:
    """Raise where the model has no density by which draws could be corrected.

    Args:
        sites: The sites of interest.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"NeuralPosterior.correct: the model has no density of the sites of interest "
        f"{list(sites)} alone; expected all of its latent sites to be learned, no site of another "
        "simulator, and no value missing. Leave latent= out."
    )
