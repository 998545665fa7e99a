"""No test judges by a clock, nor by a high-water mark of memory, which earlier tests have raised.

A busy machine fails such a test, and no change that it guards against does. Count what costs the
time instead: steps, calls, gradients, compilations.
"""

import ast
import re

import pytest

from tests.repo.source import ROOT, parse, tracked_files

CLOCK = re.compile(
    r"\btime\.\w+\(|\b(perf_counter|process_time|monotonic|thread_time|timeit|getrusage)(_ns)?\("
    r"|\.(seconds|ru_\w+)\b|\[['\"]seconds['\"]\]"
)


def timed_assertions(tree: ast.AST) -> list[int]:
    """Lines of the assertions that read a clock, or a variable which came from one.

    ``compile_seconds`` is none: it is 0 where nothing was compiled. Nor is an equality, which no
    clock would meet: times that were given are added up there.
    """
    lines = set()
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.Module | ast.FunctionDef):
            continue
        timed: set[str] = set()
        for node in sorted(filter(_is_statement, ast.walk(scope)), key=lambda each: each.lineno):
            if isinstance(node, ast.Assert):
                if _reads_clock(node.test, timed) and not _is_equality(node.test):
                    lines.add(node.lineno)
            elif node.value is not None and _reads_clock(node.value, timed):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                timed |= {
                    name.id
                    for target in targets
                    for name in ast.walk(target)
                    if isinstance(name, ast.Name)
                }
    return sorted(lines)


def _is_statement(node: ast.AST) -> bool:
    return isinstance(
        node, ast.Assert | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr
    )


def _is_equality(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq) for op in node.ops)


def _reads_clock(node: ast.expr, timed: set[str]) -> bool:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return bool(CLOCK.search(ast.unparse(node)) or names & timed)


@pytest.mark.parametrize(
    "body",
    [
        "start = time.process_time()\n    run()\n    assert time.process_time() - start < 20",
        "start = perf_counter()\n    spent = perf_counter() - start\n    assert spent < 1",
        "assert fit.log.seconds < 3",
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n    assert before < 9",
        "assert (spent := monotonic() - begun) < 2, spent",
    ],
)
def test_timed_assertions_are_found(body):
    assert timed_assertions(ast.parse(f"def test():\n    {body}"))


@pytest.mark.parametrize(
    "body",
    [
        "seconds = 2 * x\n    assert seconds < 3",
        "assert log.compile_seconds == 0",
        "assert total.seconds == 2.5",
    ],
)
def test_counts_are_no_clocks(body):
    assert not timed_assertions(ast.parse(f"def test():\n    {body}"))


def test_no_test_judges_by_a_clock():
    assert not [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked_files("tests/*.py", "tutorials/*.py", "models/*.py", "ppl_ext/*.py")
        for line in timed_assertions(parse(path))
    ]
