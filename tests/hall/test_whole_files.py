"""Files appear whole or not at all, whoever else writes and whatever is there."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ppl_ext.storage import read_arrays, write_arrays
from ppl_ext.whole_files import replace_outputs


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "fit.safetensors"
    write_arrays(path, {"v": np.arange(3)}, {"kind": "fit"})
    return path


def test_a_failed_write_keeps_the_old_file_and_leaves_no_rest(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"write_arrays: '.*fit.safetensors' could .*disk full"):
        write_arrays(path, {"w": np.zeros(3)}, {"kind": "fit"})
    assert read_arrays(path)[0]["v"].tolist() == [0, 1, 2]
    assert [file.name for file in path.parent.iterdir()] == ["fit.safetensors"]


def test_threads_that_save_to_one_path_do_not_meet(path):
    failed = []

    def save(number):
        try:
            for _ in range(20):
                write_arrays(path, {"w": np.full(20_000, number)}, {"kind": "fit"})
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(set(read_arrays(path)[0]["w"].tolist())) == 1
    assert [file.name for file in path.parent.iterdir()] == ["fit.safetensors"]


def test_what_a_killed_save_left_is_removed_by_the_next(path):
    code = (
        "import os, sys, signal; from ppl_ext.storage import write_arrays\n"
        "import numpy as np\n"
        "os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_arrays(sys.argv[1], {'w': np.zeros(3)}, {'kind': 'fit'})"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode < 0
    assert len(list(path.parent.iterdir())) == 2
    assert read_arrays(path)[0]["v"].tolist() == [0, 1, 2]
    write_arrays(path, {"w": np.ones(3)}, {"kind": "fit"})
    assert [file.name for file in path.parent.iterdir()] == ["fit.safetensors"]


def test_a_link_stays_a_link_and_the_mode_stays(path):
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path.name)
    write_arrays(link, {"w": np.zeros(3)}, {"kind": "fit"})
    assert link.is_symlink()
    assert list(read_arrays(path)[0]) == ["w"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_paths_that_cannot_be_written_are_refused_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, kind, message in (
        ("", ValueError, "the path is empty"),
        ("none/fit.safetensors", FileNotFoundError, "'none/fit.safetensors' is in a folder that"),
        (".", IsADirectoryError, r"'\.' is a folder"),
    ):
        with pytest.raises(kind, match=f"write_arrays: {message}"):
            write_arrays(path, {"w": np.zeros(3)}, {"kind": "fit"})
    write_arrays(Path("a" * 250), {"w": np.zeros(3)}, {"kind": "fit"})
    assert [len(file.name) for file in tmp_path.iterdir()] == [250]


def test_what_a_killed_run_left_is_removed_unless_it_holds_earlier_results(tmp_path):
    code = (
        "import os, sys, signal; from pathlib import Path\n"
        "from ppl_ext.whole_files import replace_outputs\n"
        "with replace_outputs(Path(sys.argv[1]), ['a', 'b']) as new:\n"
        "    (new / 'a').write_text('new')\n"
        "    if sys.argv[2] == 'late':\n"
        "        move, die = os.replace, lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        os.replace = lambda *paths: (move(*paths), die())\n"
        "    else:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "a").write_text("earlier")
    for when in ("early", "late"):
        done = subprocess.run([sys.executable, "-c", code, tmp_path, when], check=False)
        assert done.returncode < 0
    with replace_outputs(tmp_path, ["a"]) as new:
        (new / "a").write_text("new")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "a").read_text() == "new"
    assert [path.read_text() for path in left if path.parent.name == "old"] == ["earlier"]
    assert sum(path.name.endswith(".tmp") for path in tmp_path.iterdir()) == 1
