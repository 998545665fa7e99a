"""What results show of themselves in a notebook and on a page, as a parser of HTML reads it."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ppl_ext import markup
from ppl_ext.diagnostics import Chains, Step, Verdict, judge
from ppl_ext.draws import Draws
from ppl_ext.factorization import MatrixFactorization, read_ratings
from ppl_ext.fit_page.page import Content, render_content
from ppl_ext.fitting import FitLog
from tests.hall.pages import Page, read_fragment

# Names that end a tag, an attribute or a cell, open a formula, or cannot be written in UTF-8.
HOSTILE = ("</td><script>alert(1)</script>", '" onerror="x', "a & b < $c$ $\\frac", "half \udc80")
LOG = FitLog(np.array([4.0, 3.0, 2.5]), "converged <here>", True, seconds=0.1)


def draws_of(width=2.0, seed=0, size=2000, **more):
    """Draw from Gaussians as wide as asked for, where the posterior is standard."""
    z = width * np.random.default_rng(seed).standard_normal((size, len(HOSTILE)))
    log_q = (-((z / width) ** 2) / 2 - np.log(width)).sum(1)
    values = {name: z[:, at] for at, name in enumerate(HOSTILE)}
    return Draws(values | more, log_p=-(z**2).sum(1) / 2, log_q=log_q)


@pytest.fixture(scope="module")
def report():
    return judge([draws_of(seed=1), draws_of(seed=2)], LOG)


def show_page(report, draws=None):
    draws = draws_of() if draws is None else draws
    of_guide = draws_of() if draws.resampled else draws
    content = Content("Fit <1>", report, draws, of_guide, {"guide": "<b>"}, ("numpy",))
    return Page(render_content(content).decode("utf-8"))


def test_text_is_escaped_wherever_it_goes():
    for piece in (
        lambda text: markup.render_heading(text),
        lambda text: markup.render_sentence(text),
        lambda text: markup.render_table([(text, text)], heads=(text, text)),
        lambda text: markup.render_fragment([markup.render_sentence(text)]),
        lambda text: markup.render_page(text, [markup.render_sentence(text)]).decode(),
    ):
        for name in HOSTILE[:3]:
            page = Page(piece(name))
            assert "script" not in page.tags
            assert name in page.words


def test_a_table_without_rows_is_nothing():
    assert markup.render_table([], heads=("site", "mean")) == ""


def test_a_report_shows_what_it_prints(report):
    steps = tuple(Step(name, Verdict.GOOD, -1.0, 1234, 0.5) for name in HOSTILE[:2])
    climbed = dataclasses.replace(report, steps=steps, notes=("a <note>",))
    page = read_fragment(climbed._repr_html_())
    printed = str(climbed).split()
    assert set(printed) - {"verdict", "steps", "advice"} <= set(page.text.split())
    assert {"1,234", "0.50", HOSTILE[0], "a <note>"} <= set(page.words)
    assert page.text.index(str(report.verdict)) < page.text.index(report.advice)


def test_draws_show_their_figures_and_say_what_they_leave_out():
    column = np.arange(101.0)
    wide = np.broadcast_to(column[:, None], (101, 30))
    draws = Draws(
        {"x": column, "wide": wide},
        np.zeros(101),
        np.zeros(101),
        dims={"wide": ("school",)},
        coords={"school": [f"<{at}>" for at in range(30)]},
        observed={"y": np.zeros(3)},
    )
    page = read_fragment(draws._repr_html_())
    row = page.words.index("x")
    figures = [word for word in page.words[row:] if word.strip()][:6]
    assert figures == ["x", "50", "29.15", "5", "50", "95"]  # of 0, 1, ... 100
    assert {"wide[<0>]", "wide[<18>]", "y"} <= set(page.words)
    assert "wide[<19>]" not in page.words
    assert "The first 20 of 31 elements." in page.words


def test_draws_without_a_mean_are_shown():
    infinite = Draws({"x": np.array([np.inf, -np.inf]), "none": np.zeros((2, 0))}, [0, 0], [0, 0])
    assert "nan" in read_fragment(infinite._repr_html_()).words


def test_factors_show_their_sizes():
    ratings = read_ratings((["ann", "ann", "bob"], ["x", "y", "x"], [5.0, 1.0, 4.0]))
    factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
    page = read_fragment(factors._repr_html_())
    for name, figure in (
        ("users", "2"),
        ("items", "2"),
        ("ELBO", f"{factors.elbo[-1]:,.1f} nats"),
    ):
        assert page.words[page.words.index(name) + 1] == figure


def test_a_page_holds_its_pictures_and_asks_for_nothing(report):
    before = dict(plt.rcParams), plt.get_fignums()
    page = show_page(report)
    assert (dict(plt.rcParams), plt.get_fignums()) == before
    assert not page.tags & {"script", "link", "iframe", "object", "base", "form"}
    assert len(page.pictures) == 3
    for picture in page.pictures:
        assert picture.shape[0] > 100
        assert np.ptp(picture[..., :3]) > 0.5  # something is drawn on the ground
    assert set(HOSTILE[:3]) <= set(page.words)
    order = [str(report.verdict), report.advice, "Sites", "Pictures", "Settings and versions"]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)
    assert np.__version__ in page.words


def test_a_page_says_whose_draws_it_shows(report):
    trusted = dataclasses.replace(report, verdict=Verdict.GOOD)
    chains = Chains(2000, 4, 1900.0, 1.001, -3.0, 0.01, 1)
    resample = dataclasses.replace(report, verdict=Verdict.RESAMPLE)
    for judged, draws, words in (
        (trusted, draws_of(), "of the guide as they are, which are good."),
        (trusted, draws_of().resample(), "resampled by their importance weights, which are good."),
        (resample, draws_of(), "as they are; the verdict asks to resample them first"),
        (
            dataclasses.replace(trusted, chains=chains),
            dataclasses.replace(draws_of(), resampled=True),
            "2,000 draws by sequential Monte Carlo, which are good.",
        ),
    ):
        assert words in show_page(judged, draws).text


def test_what_has_no_picture_is_left_out_and_said(report):
    size = 2000
    whole = {name: np.arange(size) for name in HOSTILE}
    log_p = np.where(np.arange(size) < 1500, -np.inf, 0.0)
    no_steps = dataclasses.replace(LOG, losses=np.empty(0))
    details = dataclasses.replace(report.details, log=no_steps)
    page = show_page(
        dataclasses.replace(report, details=details), Draws(whole, log_p, np.zeros(size))
    )
    assert not page.pictures
    assert "No whole numbers, no constants" in page.text


def test_of_many_elements_the_first_are_shown(report):
    page = show_page(report, draws_of(many=np.random.default_rng(0).normal(size=(2000, 300))))
    assert "The first 200 of 304 elements." in page.words
    assert "the first 16 elements at most" in page.text
    assert "many[195]" in page.words
    assert "many[196]" not in page.words
