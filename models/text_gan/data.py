"""The arithmetic grammar, its 1,365 strings of at most eleven symbols, and the judge of others.

The grammar is ``S -> x | S+S | S-S | S*S | S/S`` (Kusner and Hernández-Lobato 2016, GANs for
Sequences of Discrete Elements with the Gumbel-softmax Distribution, arXiv:1611.04051). The rule
``S -> x`` has probability 0.6 and each of the others 0.1, given that the string has at most eleven
symbols. A string is ``x`` and then operators with an ``x`` each, so its law is known: that of the
number of operators, and given it every operator is one of four with the same chance. Shorter
strings are filled with blanks to twelve positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

__all__ = ["LAW", "LENGTH", "NUM_STRINGS", "SYMBOLS", "Score", "draw_strings", "judge", "spell"]

SYMBOLS = "x+-*/ "
LENGTH = 12
MOST_OPERATORS = 5
NUM_STRINGS = sum(4**operators for operators in range(MOST_OPERATORS + 1))
DISTINCT_DRAWS = 4000
_X, _BLANK = SYMBOLS.index("x"), SYMBOLS.index(" ")


def _find_law() -> np.ndarray:
    """Catalan's number of trees, times the probabilities of their rules."""
    operators = range(MOST_OPERATORS + 1)
    trees = [
        comb(2 * each, each) / (each + 1) * 0.6 ** (each + 1) * 0.4**each for each in operators
    ]
    return np.array(trees) / sum(trees)


LAW = _find_law()  # probability of 0, 1, ..., 5 operators


@dataclass(frozen=True)
class Score:
    """Strings beside the grammar.

    Attributes:
        valid: Share of strings of the language.
        law: Share of strings of the language with 0, 1, ..., 5 operators.
        distinct: Different strings of the language among the first 4,000.
    """

    valid: float
    law: np.ndarray
    distinct: int

    @property
    def total_variation(self) -> float:
        """Distance to the grammar, of the number of operators with "not in the language"."""
        return float(np.abs(self.law - LAW).sum() + 1 - self.valid) / 2

    def __str__(self) -> str:
        return (
            f"valid {self.valid:.4f}, total variation {self.total_variation:.4f}, "
            f"{self.distinct} distinct of {DISTINCT_DRAWS}"
        )


def draw_strings(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw strings of the grammar as symbols, ``[string, position]``."""
    operators = generator.choice(len(LAW), size=count, p=LAW)
    symbols = np.full((count, LENGTH), _X, dtype=np.int64)
    symbols[:, 1::2] = generator.integers(1, 5, size=(count, LENGTH // 2))
    symbols[np.arange(LENGTH) > 2 * operators[:, None]] = _BLANK
    return symbols


def judge(symbols: np.ndarray) -> Score:
    """Judge strings, ``[string, position]``, by the language: nothing is estimated but shares."""
    length = (symbols != _BLANK).sum(-1)
    position = np.arange(LENGTH)
    inside = position < length[:, None]
    right = np.where(position % 2 == 0, symbols == _X, (symbols != _X) & (symbols != _BLANK))
    valid = (np.where(inside, right, symbols == _BLANK)).all(-1) & (length % 2 == 1)
    law = np.bincount(length[valid] // 2, minlength=len(LAW)) / len(symbols)
    first = symbols[:DISTINCT_DRAWS][valid[:DISTINCT_DRAWS]]
    return Score(float(valid.mean()), law, len(np.unique(first, axis=0)))


def spell(symbols: np.ndarray) -> Sequence[str]:
    """Write symbols, ``[string, position]``, as text."""
    return ["".join(SYMBOLS[symbol] for symbol in row).rstrip() for row in symbols]
