"""Standard Gumbel noise whose tails are full in every precision."""

import math

import torch
from torch._C._functorch import maybe_current_level

__all__ = ["gumbel_noise"]

PIECE = 2**16  # what a processor's cache holds


def gumbel_noise(
    shape: tuple[int, ...],
    *,
    dtype: torch.dtype | None = None,
    exact: bool = False,
    device: torch.device | None = None,
) -> torch.Tensor:
    r"""Draw standard Gumbel noise with both of its tails.

    .. math:: G = -\log(-\log U), \quad U \sim \mathrm{Uniform}(0, 1)

    Both ends of the uniform are resolved to the last random bit, by ``log(u)`` below one half and
    by ``log1p(-u)`` above. Half precision is cast from float32: it rounds the noise, but does not
    cut it off. Do not add logits to noise in half precision; ``gumbel_max`` does it in float32.

    Args:
        shape: Shape of the draws.
        dtype: Floating-point type; by default that of the host.
        exact: Spend 64 random bits a draw instead of 32. The noise then reaches from -3.8 to 45
            in place of -3.1 to 22.9, and no value is likelier than ``2^-64`` before rounding.
        device: Where the draws are made; by default where the host makes tensors.

    Returns:
        Noise of that shape.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> noise = gumbel_noise((100_000,), exact=True)
        >>> round(float(noise.mean()), 1), float(noise.max()) > 9
        (0.6, True)
    """
    dtype = dtype or torch.get_default_dtype()
    wide = torch.promote_types(dtype, torch.float32)
    return _draw(math.prod(shape), wide, device, exact).to(dtype).reshape(shape)


def signed_uniform(shape, dtype, device, exact=False) -> torch.Tensor:
    """Draw from ``(-1/2, 1/2)``, never zero, as finely resolved near zero as there are bits."""
    limits, count = torch.iinfo(torch.int64), math.prod(shape)
    fine = exact or dtype == torch.float64
    drawn = count if fine else (count + 1) // 2
    bits = torch.randint(limits.min, limits.max, (drawn,), dtype=torch.int64, device=device)
    if not fine:
        bits = bits.view(torch.int32)[:count]  # two draws from each
    return bits.to(dtype).add_(0.5).mul_(2.0**-64 if fine else 2.0**-32).reshape(shape)


def uniform_to_gumbel(uniform: torch.Tensor) -> torch.Tensor:
    """Turn ``x`` in ``(-1/2, 1/2)`` into a Gumbel: ``U = x`` above zero, ``U = 1 + x`` below."""
    # Each logarithm is of one where the other is wanted: a sum selects, faster than where().
    lower = torch.nn.functional.threshold(uniform, 0.0, 1.0).log_()
    return uniform.clamp(max=0.0).log1p_().add_(lower).neg_().log_().neg_()


def plain_tensors() -> bool:
    """Say whether tensors are what they seem: neither compiled nor many at once (vmap)."""
    return not torch.compiler.is_compiling() and maybe_current_level() is None


def goes_piecewise(device: torch.device) -> bool:
    """Say whether pieces pay: on one thread; more of them share whole tensors better."""
    return device.type == "cpu" and torch.get_num_threads() == 1


def _draw(count, dtype, device, exact):
    """Draw piece by piece: new memory costs a processor as much as the logarithms."""
    first = uniform_to_gumbel(signed_uniform((min(count, PIECE),), dtype, device, exact))
    if count <= PIECE:
        return first
    if not (plain_tensors() and goes_piecewise(first.device)):
        rest = uniform_to_gumbel(signed_uniform((count - PIECE,), dtype, device, exact))
        return torch.cat([first, rest])
    noise = torch.empty(count, dtype=dtype, device=device)
    pieces = noise.split(PIECE)
    pieces[0].copy_(first)
    for piece in pieces[1:]:
        piece.copy_(uniform_to_gumbel(signed_uniform(piece.shape, dtype, device, exact)))
    return noise
