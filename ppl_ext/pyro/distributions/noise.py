"""Standard Gumbel noise whose tails are full in every precision."""

import torch

__all__ = ["gumbel_noise"]


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
        exact: Whether 64 random bits are needed a draw. The noise then reaches from -3.8 to 45,
            and no value is likelier than ``2^-64`` before rounding. In PyTorch 64 bits are as
            quick as 32 and always used.
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
    return uniform_to_gumbel(signed_uniform(shape, wide, device)).to(dtype)


def signed_uniform(shape, dtype, device) -> torch.Tensor:
    """Draw from ``(-1/2, 1/2)``, never zero, as finely resolved near zero as there are bits."""
    limits = torch.iinfo(torch.int64)
    bits = torch.randint(limits.min, limits.max, tuple(shape), dtype=torch.int64, device=device)
    return bits.to(dtype).add_(0.5).mul_(2.0**-64)


def uniform_to_gumbel(uniform: torch.Tensor) -> torch.Tensor:
    """Turn ``x`` in ``(-1/2, 1/2)`` into a Gumbel: ``U = x`` above zero, ``U = 1 + x`` below."""
    # Each logarithm is of one where the other is wanted: a sum selects, faster than where().
    lower = torch.nn.functional.threshold(uniform, 0.0, 1.0).log_()
    upper = uniform.clamp(max=0.0).log1p_()
    return lower.add_(upper).neg_().log_().neg_()
