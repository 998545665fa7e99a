"""Factors from a file."""

import os

from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.result.saving import read_posterior

__all__ = ["load_factors"]


def load_factors(path: str | os.PathLike[str]) -> Factors:
    """Read factors that ``Factors.save`` or a checkpoint wrote.

    Args:
        path: The file.

    Returns:
        The factors; ``fit(ratings, start=factors)`` goes on from them.

    Raises:
        ValueError: The file is cut off, damaged, or of another kind.
        FileNotFoundError: There is no such file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     factors.save(Path(folder, "factors.safetensors"))
        ...     again = load_factors(Path(folder, "factors.safetensors"))
        >>> bool(again.predict(3, 5).mean == factors.predict(3, 5).mean)
        True
    """
    return Factors(*read_posterior(path))
