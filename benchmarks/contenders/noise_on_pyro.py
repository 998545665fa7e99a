"""The grid of Gumbel noise in Pyro, beside PyTorch's own."""

import numpy as np
import pyro.distributions as dist
import torch
from noise_grid import first_half_wins, rare_ratio, total_variation

from ppl_ext.pyro.distributions import sample_categorical
from ppl_ext.pyro.distributions.noise import uniform_to_gumbel

__all__ = ["run"]

TOP = 2**22


def run(draws: int, gaps: list[float]) -> dict:
    """Measure our noise and the host's."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    n = torch.arange(TOP)
    ours = uniform_to_gumbel((-(n + 1)).to(torch.int32).to(torch.float32).add(0.5) * 2.0**-32)
    uniform = 1 - (n[:-1] + 1).double() * 2.0**-24
    theirs = -(-uniform.float().clamp(max=1 - 2.0**-23).log()).log()
    logits = torch.randn(1000).bfloat16()
    relaxed = dist.RelaxedOneHotCategorical(
        torch.tensor(1.0, dtype=torch.bfloat16), logits=logits, validate_args=False
    )
    drawn = [
        relaxed.rsample((10_000,)).argmax(-1).numpy() for _ in range(max(1, draws // 100_000))
    ]
    sides = {
        "ours": (ours, 2.0**-32, sample_categorical(logits, (draws,)).numpy()),
        "host": (theirs, 2.0**-24, np.concatenate(drawn)),
    }
    return {
        side: {
            "rare": [rare_ratio(values.numpy(), share, gap) for gap in gaps],
            "half": first_half_wins(values.numpy(), share, 1_000_000),
            "tv": total_variation(index, logits.float().numpy()),
        }
        for side, (values, share, index) in sides.items()
    }
