"""The sequence GAN: the language by a regular expression, the generators by their likelihood."""

import re
from functools import cache
from itertools import product

import numpy as np
import pytest

from models.text_gan.data import (
    LAW,
    LENGTH,
    NUM_STRINGS,
    SYMBOLS,
    draw_strings,
    judge,
    spell,
)
from models.text_gan.recipe import START, draw_batches, keep_at, rate_at

LANGUAGE = re.compile(r"x([-+*/]x){0,5} *")


def encode(strings):
    return np.array([[SYMBOLS.index(symbol) for symbol in string] for string in strings])


def all_strings():
    for operators in range(6):
        for chosen in product("+-*/", repeat=operators):
            yield ("x" + "".join(each + "x" for each in chosen)).ljust(LENGTH)


def test_the_law_is_that_of_the_grammar():
    @cache
    def inside(operators):
        """Probability of deriving one string, the sum over where its first rule cuts it."""
        cuts = sum(inside(left) * inside(operators - 1 - left) for left in range(operators))
        return 0.6 * (operators == 0) + 0.1 * cuts

    shares = np.array([4**operators * inside(operators) for operators in range(6)])
    np.testing.assert_allclose(LAW, shares / shares.sum(), rtol=1e-12)


def test_the_judge_is_a_regular_expression():
    language = encode(all_strings())
    assert len(language) == NUM_STRINGS == 1365
    assert judge(language).valid == 1
    generator = np.random.default_rng(0)
    damaged = language[generator.integers(len(language), size=3000)]
    where = generator.integers(LENGTH, size=3000)
    damaged[np.arange(3000), where] = generator.integers(len(SYMBOLS), size=3000)
    score = judge(damaged)
    texts = ["".join(SYMBOLS[each] for each in row) for row in damaged]
    right = [text for text in texts if LANGUAGE.fullmatch(text)]
    assert 0 < score.valid == len(right) / 3000 < 1
    assert score.distinct == len(set(right))
    assert sum(score.law) == pytest.approx(score.valid)
    assert spell(damaged)[0] == texts[0].rstrip()


def test_the_grammar_is_perfect_and_nonsense_is_not():
    """The distance of 100,000 draws is that of rounding: seven shares, 0.0015 at most each."""
    score = judge(draw_strings(np.random.default_rng(0), 100_000))
    assert score.valid == 1
    assert score.total_variation < 0.01
    assert score.distinct > 200
    nonsense = judge(np.random.default_rng(0).integers(len(SYMBOLS), size=(1000, LENGTH)))
    assert (nonsense.valid, nonsense.total_variation, nonsense.distinct) == (0, 1, 0)


def test_rates_and_averages_run_as_they_should():
    assert [rate_at(step, 100) for step in (0, 50, 100)] == pytest.approx([1, 1, 0.02])
    assert keep_at(0) == 0.1
    assert keep_at(10**6) == 0.999
    assert draw_batches(np.random.default_rng(0), 3).shape[::2] == (3, LENGTH)


def test_the_likelihood_is_the_law_of_what_is_written(host, worked):
    """Validity summed over 1,365 strings against that of draws: four standard errors."""
    program = worked("text_gan")
    count = 20_000
    generator = host.random(program.train_by_likelihood, 60)
    language = host.math.eye(len(SYMBOLS))[encode(all_strings())]
    if host.name == "pyro":
        log_p = generator.log_likelihood(language).detach()
    else:
        log_p = program.log_likelihood(generator, language)
    expected = float(np.exp(np.asarray(log_p)).sum())
    assert 0.001 < expected < 1
    found = host.random(program.judge_generator, generator, count).valid
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_what_the_critic_is_shown(host, worked):
    program = worked("text_gan")
    logits = host.array(np.random.default_rng(0).normal(size=(50, len(SYMBOLS))))
    soft, plain, hard, drawn = (
        np.asarray(host.random(draw, logits, START))
        for draw in (
            program.gumbel_softmax,
            program.plain_softmax,
            program.straight_through,
            program.draw_symbol,
        )
    )
    for symbols in (soft, plain, hard, drawn):
        np.testing.assert_allclose(symbols.sum(-1), 1, rtol=1e-5)
    scores = np.exp(np.asarray(logits) / START)
    np.testing.assert_allclose(plain, scores / scores.sum(-1, keepdims=True), rtol=1e-5)
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(hard.max(-1), 1, rtol=1e-5)
    # The same seed, and so the same noise under both.
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))
