"""``kill -9`` and Ctrl-C at random moments."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["interrupt", "kill"]

HERE = Path(__file__).parents[1]
_LIMIT = 300  # seconds of one process


def _start(part: str, host: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mishaps.victims", part, host, str(folder)]
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if line.strip() == "ready":
            break
    return process


def _finish(process: subprocess.Popen[str]) -> str:
    """Its last words where it failed."""
    _, errors = process.communicate(timeout=_LIMIT)
    last = (errors.strip().splitlines() or [f"status {process.returncode}"])[-1]
    return last[:120] if process.returncode else ""


def _run_undisturbed(part: str, host: str) -> tuple[dict[str, np.ndarray], float]:
    with tempfile.TemporaryDirectory() as name:
        process, began = _start(part, host, Path(name)), time.monotonic()
        if problem := _finish(process):
            raise RuntimeError(f"{part} of {host} fails undisturbed: {problem}")
        return dict(np.load(Path(name, "answer.npz"))), time.monotonic() - began


def kill(part: str, host: str, times: int, seed: int = 0) -> dict[str, Any]:
    """Kill a part at random moments, start it again each time, and compare where it has ended."""
    expected, span = _run_undisturbed(part, host)
    rng, counts, kills = np.random.default_rng(seed), Counter(), 0
    while kills < times or counts["ended"] == 0:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            while not (folder / "answer.npz").exists():
                process = _start(part, host, folder)
                if kills < times:
                    time.sleep(rng.uniform(0, span))
                    process.kill()
                problem = _finish(process)
                if process.returncode == -signal.SIGKILL:
                    kills += 1
                elif problem:
                    counts[problem] += 1
                    kills += 1
                    break
            else:
                counts["ended"] += 1
                found = dict(np.load(folder / "answer.npz"))
                same = all(np.array_equal(found[name], expected[name]) for name in expected)
                counts["same answer" if same else "ANOTHER ANSWER"] += 1
                counts["left over"] += len(list(folder.rglob("*.tmp")))
    right = set(counts) <= {"ended", "same answer", "left over"}
    return {"counts": dict(counts), "right": right and not counts["left over"], "times": kills}


def interrupt(part: str, host: str, times: int, seed: int = 0) -> dict[str, Any]:
    """Ctrl-C at random moments: the answer is kept and called interrupted, or had ended."""
    _, span = _run_undisturbed(part, host)
    rng, counts, slowest = np.random.default_rng(seed), Counter(), 0.0
    for _ in range(times):
        with tempfile.TemporaryDirectory() as name:
            process = _start(part, host, Path(name))
            time.sleep(rng.uniform(0, span))
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            problem = _finish(process)
            slowest = max(slowest, time.monotonic() - began)
            answer = Path(name, "answer.npz")
            if answer.exists():
                reason = str(np.load(answer)["reason"])
                counts["interrupted" if "interrupt" in reason else "had ended"] += 1
            else:
                early = "KeyboardInterrupt" in problem or "interrupted before" in problem
                counts["nothing yet" if early else problem] += 1
    right = set(counts) <= {"interrupted", "had ended", "nothing yet"}
    return {"counts": {**counts, "slowest exit, s": round(slowest, 1)}, "right": right}
