"""What the README says is so: its programs run, and its table lists what the rooms offer."""

import re

import numpy as np
import pytest

from tests.hosts import HOST_NAMES
from tests.repo.source import ROOMS, ROOT, exported

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def host_of(program: str) -> str | None:
    found = re.search(r"import ppl_ext\.(\w+) as px", program)
    return found and found[1]


RUNNABLE = [each for each in PROGRAMS if host_of(each) in (None, *HOST_NAMES)]


def test_the_quick_start_has_a_program_for_each_room():
    assert [host_of(program) for program in PROGRAMS[:2]] == ["numpyro", "pyro"]


@pytest.mark.parametrize("program", RUNNABLE, ids=lambda each: host_of(each) or "no host")
def test_program_runs(program, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = {"__name__": "__main__"}
    exec(compile(program, "README.md", "exec"), state)
    printed = capsys.readouterr().out
    if program in PROGRAMS[:2]:
        assert "verdict" in printed
        assert state["fit"].report().ok
        sizes = state["tree"]["posterior"]["theta"].sizes
        assert sizes["chain"] * sizes["draw"] == 4000
        assert sizes["school"] == 8
    elif "px.load" in program:
        x, y = state["x"], state["y"]  # x is centred: the posterior of the slope stands alone
        slope = x @ y / (x @ x + 0.2**2)
        np.testing.assert_allclose(state["draws"].values["slope"].mean(), slope, atol=0.01)
        assert "elpd_loo" in printed
        assert state["fit"].report().ok
    elif "DiscreteELBO" in program:
        third = np.asarray(state["jax"].nn.softmax(state["params"]["logits"]))[2]
        np.testing.assert_allclose(third, [0, 0.55, 0.45], atol=0.1)
    elif "compare_estimators" in program:
        assert "LeaveOneOut" in printed
    else:
        assert "The intervals can be trusted" in printed


def test_the_report_shown_has_the_lines_of_a_report():
    shown = re.search(r"```text\n(.*?)```", README, flags=re.DOTALL)[1]
    labels = re.findall(r"^(\w[\w -]+?)  ", shown, flags=re.MULTILINE)
    source = (ROOT / "ppl_ext" / "diagnostics" / "report.py").read_text(encoding="utf-8")
    assert labels[0] == "verdict"
    assert labels[-1] == "advice"
    for label in labels:
        assert f'"{label}",' in source, label


def test_table_lists_what_the_rooms_offer():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \| (yes|no) \|$", README, flags=re.MULTILINE)
    for column, room in enumerate(ROOMS, start=1):
        listed = {row[0] for row in rows if row[column] == "yes"}
        assert listed == set(exported(ROOT / "ppl_ext" / room / "__init__.py")), room


def test_make_knows_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in set(re.findall(r"make ([a-z]+)", README)):
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE), command
