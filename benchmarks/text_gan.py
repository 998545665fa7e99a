"""The sequence GAN beside its baselines, judged exactly.

``python benchmarks/text_gan.py [--hosts numpyro pyro] [--seeds 3] [--recipes NAME ...]`` trains
each recipe in a process of its own. The total variation is that of the number of operators, with
"not in the language" as one more outcome; the distinct strings are those of the language among
4,000 draws. The last rows are the grammar itself: what a perfect sampler gets.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from measuring import measure
from tables import format_table, number

sys.path.append(str(Path(__file__).parents[1]))

from models.text_gan.data import draw_strings, judge
from models.text_gan.recipe import STEPS

RECIPES = ("gumbel", "untrained", "naive", "softmax", "straight-through", "likelihood")
HEADER = ("recipe", "host", "seed", "valid", "total variation", "distinct", "CPU s", "targets met")


def is_met(valid: float, distance: float, distinct: int) -> bool:
    """Whether the generator is as good as the worked model promises."""
    return valid >= 0.99 and distance <= 0.03 and distinct >= 200


def describe(recipe: str, host: str, seed: int, found: dict) -> list[str]:
    if "failure" in found:
        return [recipe, host, str(seed), *"-" * 4, found["failure"]]
    met = is_met(found["valid"], found["distance"], found["distinct"])
    return [
        recipe,
        host,
        str(seed),
        number(found["valid"], 4),
        number(found["distance"], 4),
        str(found["distinct"]),
        number(found["seconds"], 0),
        "yes" if met else "no",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", default=("numpyro", "pyro"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    rows, kept = [], []
    for recipe in options.recipes:
        for host in options.hosts:
            for seed in range(options.seeds):
                given = {"host": host, "recipe": recipe, "steps": options.steps, "seed": seed}
                found = measure("contenders.text_gan:run", **given)
                kept.append(given | found)
                rows.append(describe(recipe, host, seed, found))
                print("  ".join(rows[-1]), flush=True)
    for seed in range(options.seeds):
        score = judge(draw_strings(np.random.default_rng(seed), 100_000))
        found = {"valid": score.valid, "distance": score.total_variation, "seconds": None}
        rows.append(describe("grammar", "-", seed, found | {"distinct": score.distinct}))
    print("\n" + format_table(HEADER, rows))
    if options.json:
        options.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
