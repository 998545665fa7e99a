"""The grid of Gumbel noise in Pyro, beside PyTorch's own."""

import pyro.distributions as dist
import torch
from noise_grid import CHUNK, first_half_wins, rare_ratio, total_variation

from ppl_ext.pyro.distributions import sample_categorical
from ppl_ext.pyro.gumbel.noise import uniform_to_gumbel

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
    sides = {
        "ours": (ours, 2.0**-32, _ours, draws),
        "host": (theirs, 2.0**-24, _host, draws // 100),
    }
    return {
        side: {
            "rare": [rare_ratio(values.numpy(), share, gap) for gap in gaps],
            "half": first_half_wins(values.numpy(), share, 1_000_000),
            "tv": {
                str(dtype).removeprefix("torch."): _distance(sample, dtype, count)
                for dtype in (torch.bfloat16, torch.float16)
            },
        }
        for side, (values, share, sample, count) in sides.items()
    }


def _distance(sample, dtype, draws):
    logits = torch.randn(1000).to(dtype)
    counts = torch.zeros(1000, dtype=torch.int64)
    for start in range(0, max(draws, 1), CHUNK):
        index = sample(logits, min(CHUNK, max(draws, 1) - start))
        counts += torch.bincount(index, minlength=1000)
    return total_variation(counts.numpy(), logits.float().numpy())


def _ours(logits, draws):
    return sample_categorical(logits, (draws,))


def _host(logits, draws):
    relaxed = dist.RelaxedOneHotCategorical(
        torch.tensor(1.0, dtype=logits.dtype), logits=logits, validate_args=False
    )
    sizes = [min(10_000, draws - start) for start in range(0, draws, 10_000)]
    return torch.cat([relaxed.rsample((size,)).argmax(-1) for size in sizes])
