"""What every test runs under: the rooms that were asked for, and no test skipped.

``PPL_EXT_HOSTS`` names the rooms (``make`` sets it from the extras it installed). The tests of the
other room are not collected; a test of a room named here fails where its host is missing.
"""

import gc
import signal
import sys
from collections.abc import Generator, Iterator

import pytest

from tests.hosts import HOST_NAMES, MAKERS

collect_ignore = [
    folder
    for name in MAKERS
    if name not in HOST_NAMES
    for folder in (f"ppl_ext/{name}", f"tests/{name}")
]


# Tracing allocates much that reference counts free: at the usual threshold the collector would
# take a twentieth of the time for nothing.
gc.set_threshold(20_000, 20, 20)


# Programs that JAX has compiled since it was last told to forget them, and how many it may keep:
# each holds a megabyte and more, and the small ones of one file come again in the next.
_programs: list[str] = []
_MOST_PROGRAMS = 300


def _count_program(event: str, seconds: float, **what: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _programs.append(event)


@pytest.fixture(autouse=True, scope="session")
def _programs_counted() -> None:
    """Count them from the first one on; where Pyro alone is tested there is no JAX."""
    if "numpyro" in HOST_NAMES:
        import jax

        jax.monitoring.register_event_duration_secs_listener(_count_program)


@pytest.fixture(autouse=True, scope="module")
def _free_programs() -> Iterator[None]:
    """Let go of compiled programs, between files: a worker would gather gigabytes of them."""
    yield
    if len(_programs) > _MOST_PROGRAMS:
        sys.modules["jax"].clear_caches()
        _programs.clear()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Let tests interrupt themselves where the run was started with Ctrl-C switched off."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Close what a test, an example or a tutorial has drawn, before matplotlib warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _fail_if_skipped(report):
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped, which counts as a failure: {report.longrepr}"
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip or an expected failure of a test into a failure."""
    return _fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file into a failure."""
    return _fail_if_skipped((yield))
