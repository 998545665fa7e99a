"""A fit shows itself in a notebook without judging itself, and writes a page of one file."""

import dataclasses

import pytest

from ppl_ext.fit_page import abstract_fit
from tests.hall.pages import Page, read_fragment


@pytest.fixture
def unjudged(full_rank):
    return dataclasses.replace(full_rank, _reports=[])


def test_to_look_at_a_fit_draws_and_judges_nothing(unjudged, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("looking at a fit must cost nothing")

    for costly in ("_draw", "_judge", "draws", "report"):
        monkeypatch.setattr(type(unjudged), costly, refuse)
    page = read_fragment(unjudged._repr_html_())
    assert repr(unjudged) in page.words
    assert "The report is not made yet: fit.report()." in page.words
    assert page.words[page.words.index("b") + 1] == "[3]"
    assert str(unjudged.log).splitlines()[0] in page.text


def test_a_judged_fit_shows_its_report(full_rank):
    report = full_rank.report()
    page = read_fragment(full_rank._repr_html_())
    assert f"Verdict: {report.verdict}" in page.words
    assert f"What to do: {report.advice}" in page.words


def test_a_page_is_about_the_draws_of_the_fit(host, full_rank, tmp_path):
    path = tmp_path / "fit.html"
    full_rank.to_html(path)
    page = Page(path.read_text(encoding="utf-8"))
    assert [file.name for file in tmp_path.iterdir()] == ["fit.html"]
    assert f"Verdict: {full_rank.report().verdict}" in page.words
    assert len(page.pictures) == 3
    draws = full_rank.draws(seed=0) if host.name == "pyro" else host.random(full_rank.draws)
    row = page.words.index("b[0]")
    figures = [word for word in page.words[row:] if word.strip()][1:3]
    column = draws.values["b"][:, 0].astype(float)
    assert figures == [f"{column.mean():,.4g}", f"{column.std():,.4g}"]
    assert host.ppl.__version__ in page.words
    before = path.read_bytes()
    full_rank.to_html(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", IsADirectoryError, r"Fit.to_html: '.*' is a folder; .*fit.html'\.$"),
        ("none/fit.html", FileNotFoundError, "Fit.to_html: .*a folder that does not exist"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(unjudged, tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        unjudged.to_html(tmp_path / name)
    assert not unjudged._reports  # nothing was done before


def test_without_matplotlib_a_page_is_refused(unjudged, tmp_path, monkeypatch):
    monkeypatch.setattr(abstract_fit, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ppl-ext\[plots\]"'):
        unjudged.to_html(tmp_path / "fit.html")
    assert not list(tmp_path.iterdir())


def test_a_resampled_fit_shows_the_weights_of_its_guide(host, linear, tmp_path):
    fit = host.random(host.room.fit, linear.model, linear.x, y=linear.y, progress_bar=False)
    step = dataclasses.replace(fit.climb.steps[-1], name="importance resampling")
    climb = dataclasses.replace(fit.climb, steps=(*fit.climb.steps, step))
    resampled = dataclasses.replace(fit, climb=climb, _reports=[])
    shown = read_fragment(resampled._repr_html_())
    assert "importance resampling" in shown.words
    resampled.to_html(tmp_path / "fit.html")
    page = Page((tmp_path / "fit.html").read_text(encoding="utf-8"))
    assert "resampled by their importance weights, which are good." in page.text
    assert len(page.pictures) == 3
