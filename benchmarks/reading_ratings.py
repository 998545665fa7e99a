"""Time and memory of reading ratings, beside pandas: ``python -m benchmarks.reading_ratings``.

A file of simulated ratings is read by ``read_ratings``, which checks every line, and by
``pandas.read_csv``, whose frame is then checked by ``read_ratings`` too. Each runs in a process of
its own, whose memory is the most that it held, less what it held before.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas

from ppl_ext.factorization import read_ratings

__all__ = ["main"]


def write_file(path: Path, count: int) -> None:
    """Write distinct pairs in random order, with a rating and a time."""
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, 140_000 * 25_000, size=count))
    rng.shuffle(pairs)
    frame = pandas.DataFrame(
        {
            "userId": pairs // 25_000,
            "movieId": pairs % 25_000,
            "rating": rng.integers(1, 11, size=len(pairs)) / 2,
            "timestamp": rng.integers(8 * 10**8, 15 * 10**8, size=len(pairs)),
        }
    )
    frame.to_csv(path, index=False)


def read_file(path: Path) -> None:
    """The file alone, each line checked."""
    read_ratings(path)


def read_frame(path: Path) -> None:
    """Pandas first, and then the checks of a frame."""
    read_ratings(pandas.read_csv(path))


def read_bare(path: Path) -> None:
    """Pandas alone, which checks nothing."""
    pandas.read_csv(path)


def _measure(name: str, path: Path, found: "multiprocessing.Queue[tuple[float, float]]") -> None:
    small = path.with_name("small.csv")
    small.write_text("user,item,rating\n1,2,3\n", encoding="utf-8")
    globals()[name](small)
    held, begun = _read_peak(), time.process_time()
    globals()[name](path)
    seconds = time.process_time() - begun
    found.put((seconds, _read_peak() - held))


def _read_peak() -> float:
    """The most memory that this process has held, in GB; Linux alone says it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1e6


def main() -> None:
    """Print CPU seconds and memory of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=5_000_000)
    count = parser.parse_args().ratings
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        write_file(path, count)
        for name, words in (
            ("read_file", "read_ratings(path)"),
            ("read_frame", "read_ratings(pandas.read_csv(path))"),
            ("read_bare", "pandas.read_csv(path)"),
        ):
            found = context.Queue()
            process = context.Process(target=_measure, args=(name, path, found))
            process.start()
            seconds, memory = found.get()
            process.join()
            print(f"{words:38} {seconds:6.2f} CPU s  {memory:5.2f} GB")


if __name__ == "__main__":
    main()
