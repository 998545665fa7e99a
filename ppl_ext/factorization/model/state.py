"""What a sweep starts from."""

from __future__ import annotations

from dataclasses import dataclass

from ppl_ext.factorization.model.side_posterior import Side

__all__ = ["State"]


@dataclass(frozen=True, eq=False)
class State:
    """Everything a sweep starts from.

    Args:
        users: The users.
        items: The items.
        noise_precision: Of a rating whose weights are one.
        center: The constant of the model.
        sweeps: Number of sweeps behind it.
    """

    users: Side
    items: Side
    noise_precision: float
    center: float
    sweeps: int = 0
