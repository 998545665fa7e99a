"""Factors in a line, and as a notebook shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppl_ext.markup import render_fragment, render_heading, render_table

if TYPE_CHECKING:
    from ppl_ext.factorization.result.factors import Factors

__all__ = ["describe_factors", "render_factors"]


def describe_factors(factors: Factors) -> str:
    """Sizes and bound in a line.

    Args:
        factors: The factors.

    Returns:
        The line.
    """
    sizes = f"{len(factors.users):,} users, {len(factors.items):,} items, {factors.sweeps} sweeps"
    return f"Factors({factors.num_factors} factors, {sizes}, ELBO {factors.elbo[-1]:,.1f})"


def render_factors(factors: Factors) -> str:
    """The same as a table in HTML, with the model, the noise and how the fit has ended.

    Args:
        factors: The factors.

    Returns:
        HTML.
    """
    posterior = factors.posterior
    rows = [
        ("users", f"{len(factors.users):,}"),
        ("items", f"{len(factors.items):,}"),
        ("biases", "yes" if posterior.biases else "no"),
        ("covariances", "diagonal" if posterior.diagonal else "full"),
        ("sweeps", f"{factors.sweeps} in {factors.log.seconds:.1f} s; {factors.log.reason}"),
        ("ELBO", f"{factors.elbo[-1]:,.1f} nats"),
        ("noise", f"standard deviation {factors.noise_precision**-0.5:.3f}"),
        *(("note", note) for note in factors.log.notes),
    ]
    heading = render_heading(f"Factors: {factors.num_factors} for each user and item")
    return render_fragment([heading, render_table(rows)])
