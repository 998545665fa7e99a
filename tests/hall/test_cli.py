"""The command line without a host: stand-ins draw from a Gaussian with the known moments."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from ppl_ext.commands import cli
from ppl_ext.commands.demo.problem import EIGHT_SCHOOLS, PROBLEMS, Entry
from ppl_ext.commands.demo.table import format_summary, format_table
from ppl_ext.diagnostics import judge
from ppl_ext.draws import Draws
from ppl_ext.fitting import FitLog

LOG = FitLog(np.array([40.0, 33.0, 32.0, 31.9]), "converged", True, 0.5, gradients=512)


def draw(problem, seed, count=1000):
    rng = np.random.default_rng(seed)
    mean, sd = problem.reference.mean, problem.reference.sd
    noise = {name: rng.normal(size=(count, *np.shape(mean[name]))) for name in mean}
    log_q = -sum((e.reshape(count, -1) ** 2).sum(1) for e in noise.values()) / 2
    values = {name: mean[name] + sd[name] * noise[name] for name in mean}
    return Draws(values, log_p=log_q + 1e-3 * rng.normal(size=count), log_q=log_q)


def pretend_to_fit(problem):
    draws = draw(problem, seed=0)
    report = judge([draw(problem, seed) for seed in range(1, 5)], LOG)
    return Entry("full rank", draws.values, 4.5, 512, report)


def pretend_to_sample(problem):
    return Entry("NUTS", draw(problem, seed=9).values, 5.0, 12345)


@pytest.fixture
def stand_in(monkeypatch):
    methods = {"full rank": pretend_to_fit, "NUTS": pretend_to_sample}
    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(METHODS=methods))


def install(monkeypatch, *names):
    """Let the command line see these modules only."""
    monkeypatch.setattr(cli, "find_spec", lambda name: name in names or None)


def test_the_reference_measures_errors_in_its_own_sds():
    for problem in PROBLEMS:
        values = draw(problem, seed=0, count=20_000).values
        assert problem.reference.worst_mean_error(values) < 0.03
        assert problem.reference.worst_log_sd_ratio(values) < 0.03
        values[min(values)] *= 2
        assert problem.reference.worst_log_sd_ratio(values) == pytest.approx(np.log(2), abs=0.03)


def test_the_table_sets_everything_side_by_side():
    problem = EIGHT_SCHOOLS
    table = format_table(problem, [pretend_to_fit(problem), pretend_to_sample(problem)])
    head, *rows = table.splitlines()
    assert head.split() == ["reference", "full", "rank", "NUTS"]
    for quantity in ("mu", "tau", "theta[A]", "theta[H]", "ELBO", "k-hat"):
        assert sum(row.startswith(quantity) for row in rows) == 1
    assert "4.4 ± 3.3" in next(row for row in rows if row.startswith("mu"))
    assert next(row for row in rows if row.startswith("gradients")).split()[1:] == [
        "512",
        "12,345",
    ]
    assert rows[-1].startswith("full rank: ")


def test_the_summary_tells_right_from_wrong():
    problem = EIGHT_SCHOOLS
    wrong = pretend_to_fit(problem)
    for values in wrong.values.values():
        values *= 1.3
    entries = [pretend_to_fit(problem), wrong, pretend_to_sample(problem)]
    _, _, *rows = format_summary([(problem, entries)]).splitlines()
    assert [row.split()[-3:] for row in rows[:2]] == [["yes", "yes", "4.5"], ["no", "yes", "4.5"]]
    assert rows[0].startswith("eight schools  full rank")
    assert rows[2].split()[-2:] == ["yes", "5.0"]


def test_demo_prints_tables_and_names_its_pictures(stand_in, monkeypatch, tmp_path, capsys):
    install(monkeypatch, "numpyro", "matplotlib")
    assert cli.main(["demo", "--out", str(tmp_path / "pictures")]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "pictures") in printed
    written = sorted((tmp_path / "pictures").iterdir())
    assert len(written) == 6
    for picture in written:
        assert picture.name in printed
        assert picture.read_bytes().startswith(b"\x89PNG")
    for problem in PROBLEMS:
        assert problem.title in printed
    assert "What was promised, and what was true" in printed


def test_demo_goes_on_without_pictures(stand_in, monkeypatch, tmp_path, capsys):
    install(monkeypatch, "pyro")
    assert cli.main(["demo", "--out", str(tmp_path / "pictures")]) == 0
    printed = capsys.readouterr().out
    assert 'pip install "ppl-ext[plots]"' in printed
    assert "Pyro" in printed
    assert not (tmp_path / "pictures").exists()


def test_demo_without_a_host_says_how_to_get_one(stand_in, monkeypatch, capsys):
    install(monkeypatch)
    assert cli.main(["demo"]) == 1
    printed = capsys.readouterr().out
    assert 'pip install "ppl-ext[numpyro]"' in printed
    assert 'pip install "ppl-ext[pyro]"' in printed


def test_demo_without_the_wanted_host_says_so(stand_in, monkeypatch, capsys):
    install(monkeypatch, "numpyro")
    assert cli.main(["demo", "--host", "pyro"]) == 1
    assert capsys.readouterr().out.startswith("demo: Pyro is not installed")


def test_demo_looks_at_its_folder_before_it_works(stand_in, monkeypatch, tmp_path, capsys):
    install(monkeypatch, "numpyro", "matplotlib")
    (tmp_path / "taken").write_text("a file")
    assert cli.main(["demo", "--out", str(tmp_path / "taken")]) == 1
    printed = capsys.readouterr().out
    assert "--out" in printed
    assert "fitting" not in printed


def test_doctor_reports_by_its_exit_status(monkeypatch, capsys):
    for ok, status in ((True, 0), (False, 1)):
        monkeypatch.setattr(cli, "check_up", lambda ok=ok: SimpleNamespace(ok=ok))
        assert cli.main(["doctor"]) == status


@pytest.mark.parametrize("words", [[], ["fit"], ["demo", "--host", "stan"]])
def test_a_wrong_command_line_is_refused(words, capsys):
    with pytest.raises(SystemExit) as refusal:
        cli.main(words)
    assert refusal.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_plots_extra_is_under_test():
    assert find_spec("matplotlib")
