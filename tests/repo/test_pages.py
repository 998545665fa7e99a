"""What the pages of the documentation say is so: programs run, messages and commands exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.hosts import HOST_NAMES
from tests.repo.source import PACKAGE, ROOT, parse

DOCS = ROOT / "docs"
# The pages whose programs run here, a page's blocks one after the other. The longer ones beside
# them train networks, as the tests of their subjects do.
PAGES = ["guide/getting_started", "guide/how_to", "discrete_sites", "calibration", "minibatches"]
PAGES += [f"coming_from/{name}" for name in ("pymc", "stan", "sbi", "implicit")]


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def programs(page: str) -> Iterator[tuple[str, list[str]]]:
    """List the host and the blocks of each program; it begins where a room is imported."""
    host, blocks = "", []
    for block in re.findall(r"```python\n(.*?)```", read(page), flags=re.DOTALL):
        found = re.search(r"import ppl_ext\.(\w+) as px", block)
        if found and blocks:
            yield host, blocks
            blocks = []
        host = found[1] if found else host
        blocks = [*blocks, block]
    yield host, blocks


RUNNABLE = [
    pytest.param(blocks, id=f"{page}-{host or 'no host'}")
    for page in PAGES
    for host, blocks in programs(page)
    if host in ("", *HOST_NAMES)
]


def test_every_page_has_a_program():
    for page in PAGES:
        assert "```python\n" in read(page), page


@pytest.mark.parametrize("blocks", RUNNABLE)
def test_program_runs(blocks, tmp_path, monkeypatch):
    """With the pictures of no screen, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    state = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "page", "exec"), state)
    if "fit" in state:
        assert state["fit"].log.converged


@cache
def messages() -> str:
    """Write all text of the package, with ``…`` for what is filled in, a line for each."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def quoted() -> list[str]:
    """List the first cells of the tables of the page of errors."""
    return re.findall(r"^\| `(.+?)` \| ", read("guide/errors"), flags=re.MULTILINE)


def test_the_page_quotes_many():
    assert len(quoted()) > 30
    assert "no such message" not in messages()


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_in_the_source(message):
    assert message in messages()


def commands() -> list[str]:
    text = read("evidence/measured")
    return re.findall(r"python (?:-m )?([\w./]+)", text)


def test_commands_exist():
    assert len(commands()) > 15
    for command in commands():
        path = command if command.endswith(".py") else command.replace(".", "/") + ".py"
        assert (ROOT / path).is_file(), command


def test_every_benchmark_that_is_described_exists():
    described = re.findall(
        r"benchmarks[/.](\w+)", (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    )
    for name in described:
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name


def tables_of_figures(text: str) -> list[str]:
    """List the first two names of the columns of tables half of whose cells are numbers."""
    found = []
    for table in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        head, _, *rows = table.splitlines()
        cells = [cell.strip() for row in rows for cell in row.strip("|").split("|")]
        if sum(cell[:1].isdigit() for cell in cells) * 2 > len(cells):
            found.append(" / ".join(cell.strip() for cell in head.strip("|").split("|")[:2]))
    return found


def test_every_table_of_figures_has_a_command():
    paths = [ROOT / "README.md", *DOCS.glob("*.md")]
    tables = [each for path in paths for each in tables_of_figures(path.read_text("utf-8"))]
    assert "posterior / dimensions" in tables
    for table in tables:
        assert f"`{table}`" in read("evidence/measured"), table


def test_findings_that_are_named_exist():
    named = re.findall(r"`(\w+\.sh)`", read("evidence/surprises"))
    assert named
    for name in named:
        assert (ROOT / "findings" / name).is_file(), name
