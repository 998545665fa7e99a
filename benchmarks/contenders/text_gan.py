"""The sequence GAN of the worked models, by recipe and host."""

import sys
from importlib import import_module
from pathlib import Path

from measuring import clock

__all__ = ["run"]

sys.path.append(str(Path(__file__).parents[2]))  # where the worked models stand


def run(host: str, recipe: str, steps: int, seed: int) -> dict:
    """Train and judge one generator."""
    program = import_module(f"models.text_gan.on_{host}")
    if host == "numpyro":
        import_module("jax").config.update("jax_enable_x64", False)
    result, seconds = clock(lambda: program.run(recipe, steps, seed))
    score = result.score
    return {
        "valid": score.valid,
        "distance": score.total_variation,
        "distinct": score.distinct,
        "seconds": seconds,
    }
