"""Monotonic maps of single numbers whose parameters a network gives."""

from abc import ABC, abstractmethod

import torch

from ppl_ext.pyro.flows.spline import count_spline_parameters, pull_spline, push_spline

__all__ = ["AbstractElementwise", "Affine", "Spline"]

_MOST = 8.0  # of a log scale in one layer

_Pair = tuple[torch.Tensor, torch.Tensor]


class AbstractElementwise(ABC):
    """A monotonic map of numbers; all parameters zero are the identity."""

    num_parameters: int

    @abstractmethod
    def push(self, e: torch.Tensor, raw: torch.Tensor) -> _Pair:
        """Image of ``e[...]`` by parameters ``raw[..., num_parameters]``, and the log slope."""

    @abstractmethod
    def pull(self, x: torch.Tensor, raw: torch.Tensor) -> _Pair:
        """Origin of ``x[...]``, and the log slope of ``push`` there."""


class Affine(AbstractElementwise):
    """Scale and shift."""

    num_parameters = 2

    def push(self, e: torch.Tensor, raw: torch.Tensor) -> _Pair:  # noqa: D102
        shift, log_scale = _read_affine(raw)
        return e * log_scale.exp() + shift, log_scale

    def pull(self, x: torch.Tensor, raw: torch.Tensor) -> _Pair:  # noqa: D102
        shift, log_scale = _read_affine(raw)
        return (x - shift) * (-log_scale).exp(), log_scale


class Spline(AbstractElementwise):
    """A rational-quadratic spline in a box, then scale and shift, which reach outside of it.

    Args:
        num_bins: Bins of the spline.
        bound: Half the width of its box.
    """

    def __init__(self, num_bins: int, bound: float) -> None:
        self.num_bins = num_bins
        self.bound = bound
        self.num_parameters = 2 + count_spline_parameters(num_bins)

    def push(self, e: torch.Tensor, raw: torch.Tensor) -> _Pair:  # noqa: D102
        affine, bins = raw.split((2, self.num_parameters - 2), -1)
        shift, log_scale = _read_affine(affine)
        x, log_slope = push_spline(e, bins, self.num_bins, self.bound)
        return x * log_scale.exp() + shift, log_slope + log_scale

    def pull(self, x: torch.Tensor, raw: torch.Tensor) -> _Pair:  # noqa: D102
        affine, bins = raw.split((2, self.num_parameters - 2), -1)
        shift, log_scale = _read_affine(affine)
        x = (x - shift) * (-log_scale).exp()
        e, log_slope = pull_spline(x, bins, self.num_bins, self.bound)
        return e, log_slope + log_scale


def _read_affine(raw: torch.Tensor) -> _Pair:
    shift, log_scale = raw.unbind(-1)
    return shift, log_scale / (1 + log_scale.abs() / _MOST)
