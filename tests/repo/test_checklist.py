"""Every row of the checklist names proofs that exist, in both rooms where a room is named."""

import ast

import pytest

from tests.repo.checklist import PAGE, format_table, read_checklist
from tests.repo.source import ROOT, parse

ROWS = read_checklist()


def has_proof(proof: str) -> bool:
    """Look for a benchmark, a test by its name, or an assertion of a tutorial by its words."""
    path, _, name = proof.partition("::")
    if not (ROOT / path).is_file():
        return False
    nodes = list(ast.walk(parse(ROOT / path)))
    if path.startswith("tests/"):
        return any(isinstance(node, ast.FunctionDef) and node.name == name for node in nodes)
    if path.startswith("tutorials/"):
        claims = (ast.unparse(node) for node in nodes if isinstance(node, ast.Assert))
        return bool(name) and any(name in claim for claim in claims)
    return path.startswith("benchmarks/") and not name


def test_what_does_not_exist_is_no_proof():
    assert has_proof("tests/repo/test_checklist.py::test_what_does_not_exist_is_no_proof")
    assert not has_proof("tests/repo/test_checklist.py::test_nothing")
    assert not has_proof("tests/repo/test_nothing.py::test_nothing")
    assert not has_proof("tutorials/ratings_with_error_bars.py::no such words")
    assert not has_proof("benchmarks/nothing.py")


def test_the_rows_are_all_there_are():
    wanted = [f"A{number}" for number in range(1, 20)]
    wanted += [f"B{number}" for number in range(1, 21) if number != 19]
    assert list(ROWS) == wanted


@pytest.mark.parametrize("name", ROWS)
def test_proofs_exist(name):
    row = ROWS[name]
    assert row.proofs
    for proof in row.proofs:
        assert has_proof(proof), proof


@pytest.mark.parametrize("name", ROWS)
def test_a_proof_for_one_host_has_its_other_half(name):
    paths = [proof.partition("::")[0] for proof in ROWS[name].proofs]
    hosts = {
        host
        for path in paths
        for host in ("pyro", "numpyro")
        if path.startswith(f"tests/{host}/") or path.endswith(f"_{host}.py")
    }
    assert hosts in (set(), {"pyro", "numpyro"})


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_only_a_benchmark_shows_says_so(name):
    row = ROWS[name]
    assert row.short or any(not proof.startswith("benchmarks/") for proof in row.proofs)


def test_the_page_shows_the_table():
    """``python -m tests.repo.checklist`` writes it."""
    assert PAGE.read_text(encoding="utf-8").endswith(format_table())
