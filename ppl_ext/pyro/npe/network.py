"""The conditional density that is learned: an embedding, and a flow given what it says."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch

from ppl_ext.npe.features import Layout
from ppl_ext.npe.noise import Noise
from ppl_ext.pyro.flows import AutoregressiveFlow
from ppl_ext.pyro.flows.distribution import FlowDistribution
from ppl_ext.pyro.npe.embeddings import DeepSet, ResidualMLP
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["Member", "Network", "build_network"]

_ROWS = 2**13  # of one batch: what follows from them stays near to the processor

Factory = Callable[..., Any]


class Member(torch.nn.Module):
    """One of the networks that are averaged.

    Args:
        embedding: From features to a context.
        density: ``context -> distribution``.
    """

    def __init__(self, embedding: torch.nn.Module, density: torch.nn.Module) -> None:
        super().__init__()
        self.embedding, self.density = embedding, density
        self.noise: Noise | None = None

    def forward(self, f: torch.Tensor) -> Any:
        """The distribution given features ``[..., width]``."""
        return self.given_context(self.embedding(f))

    def given_context(self, context: torch.Tensor) -> Any:
        """The distribution given contexts ``[..., context_dim]``."""
        q = self.density(context)
        if self.noise is None:
            return q
        dim = q.flow.dim
        base = dist.MultivariateStudentT(
            context.new_tensor(self.noise.df),
            context.new_zeros(dim),
            self.noise.scale * torch.eye(dim).to(context),
            validate_args=False,
        )
        return FlowDistribution(q.flow, q.context, base)


class Network(torch.nn.Module):
    """The density of coordinates given features; several of them are averaged.

    Args:
        members: The networks.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)

    @property
    def names(self) -> list[str]:
        """Class names of density and embedding, by which a file knows them."""
        member = self.members[0]
        return [type(member.density).__name__, type(member.embedding).__name__]

    def set_noise(self, noise: Noise | None) -> None:
        """Give the flows other noise than the standard normal one."""
        for member in self.members:
            member.noise = noise

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def to_tensor(self, array: np.ndarray) -> torch.Tensor:
        """Numbers as the networks read them."""
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=self.device)

    @torch.no_grad()
    def log_q(self, u: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Log density of coordinates, averaged over the members.

        Args:
            u: ``[observation, draw, dim]``.
            f: ``[observation, width]``.

        Returns:
            ``[observation, draw]``, float64.
        """
        parts = []
        for few in _in_batches(len(f), _ROWS // u.shape[1]):
            rows, at = self.to_tensor(f[few]), self.to_tensor(u[few])
            each = [
                member.given_context(member.embedding(rows)[:, None]).log_prob(at).double()
                for member in self.members
            ]
            log_q = torch.stack(each).logsumexp(0) - math.log(len(each))
            parts.append(log_q.cpu().numpy())
        return np.concatenate(parts)

    @in_turn
    @torch.no_grad()
    def sample(self, seed: int, f: np.ndarray, num_draws: int) -> np.ndarray:
        """Draw coordinates, from all members alike.

        Args:
            seed: Seed.
            f: ``[observation, width]``.
            num_draws: Draws for each observation.

        Returns:
            ``[observation, draw, dim]``.
        """
        share = -(-num_draws // len(self.members))
        parts = []
        with own_random_state(seed):
            for few in _in_batches(len(f), _ROWS // share):
                rows = self.to_tensor(f[few])
                # Draws of the members side by side, so that what is cut off is of all of them.
                drawn = torch.stack([member(rows).sample((share,)) for member in self.members], 1)
                parts.append(drawn.flatten(0, 1)[:num_draws].transpose(0, 1).cpu().numpy())
        return np.concatenate(parts)


def build_network(
    dim: int,
    layout: Layout,
    estimator: Factory | None,
    embedding: Factory | None,
    num_members: int,
    seed: int,
) -> Network:
    """Put a network together.

    Args:
        dim: Number of coordinates.
        layout: How the features lie.
        estimator: ``(dim, context_dim) -> conditional density``; a spline flow if None.
        embedding: ``layout -> embedding``; one that suits the features if None.
        num_members: Networks that are averaged.
        seed: Seed of the weights.
    """
    if embedding is None:
        embedding = DeepSet if layout.num_rows else ResidualMLP
    if estimator is None:
        estimator = AutoregressiveFlow
    members = []
    with own_random_state(seed):
        for _ in range(num_members):
            built = embedding(layout)
            members.append(Member(built, estimator(dim, built.context_dim)))
    return Network(members).float()


def _in_batches(count: int, size: int):
    """Slices of rows."""
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, count, size)]
