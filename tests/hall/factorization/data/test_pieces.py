"""Files are read piece by piece: lines keep their numbers, and memory does not hold the text."""

import gzip
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

import ppl_ext.factorization.data.lines as lines_module
from ppl_ext.factorization import read_ratings


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_where_an_editor_ends_them(tmp_path, ending):
    path = tmp_path / "r.csv"
    lines = ["user,item,rating", "a\u2028b,2,3", "c\x0cd,4,5", ""]
    path.write_bytes(ending.join(lines).encode())
    assert read_ratings(path).user_ids.tolist() == ["a\u2028b", "c\x0cd"]


def test_packed_file_is_refused(tmp_path):
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress(b"user,item,rating\n1,2,3\n"))
    with pytest.raises(ValueError, match=r"'ratings.csv.gz' is compressed"):
        read_ratings(path)


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Read files some lines at a time."""
    read = lines_module.read_pieces
    monkeypatch.setattr(lines_module, "read_pieces", partial(read, size=40))


def test_pieces_are_one_table(tmp_path, tiny_pieces):
    rows = [(user, item, user + item) for user in range(40) for item in (3, 1, 2)]
    text = "user,item,rating\n" + "".join(f"{u},{i},{v}\n" for u, i, v in rows)
    ratings = read_ratings(write(tmp_path, "a.csv", text))
    assert ratings.user_ids.tolist() == list(range(40))
    assert ratings.values.tolist() == [user + item for user in range(40) for item in (1, 2, 3)]
    # One label that is no integer, after many pieces, makes all of them text.
    late = read_ratings(write(tmp_path, "b.csv", text + "007,2,5\n"))
    assert late.user_ids.tolist() == sorted([*map(str, range(40)), "007"])
    assert late.values[late.user_ids[late.users] == "12"].tolist() == [13, 14, 15]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,1,5", "line 99 of 'a.csv' rates item 1 by user 0 again, after line 2 of"),
        ("77,1,inf", "line 99 of 'a.csv' has the value inf"),
        ("77,1,none", "line 99 of 'a.csv' has 'none' as its rating"),
        ("-5,1,3", "line 99 of 'a.csv' has the user -5"),
        (",1,3", "line 99 of 'a.csv' has the user ''"),
        ("77,1", "line 99 of 'a.csv' has 2 fields; expected 3, as in line 1"),
        ("77,1,30", "line 99 of 'a.csv' has the value 30; expected 1 to 5"),
    ],
)
def test_lines_are_counted_across_pieces(tmp_path, tiny_pieces, line, message):
    text = "user,item,rating\n" + "".join(f"{user},1,3\n" for user in range(50)) + "\n" * 47
    with pytest.raises(ValueError, match=message):
        read_ratings(write(tmp_path, "a.csv", text + line + "\n99,1,2\n"), scale=(1, 5))


def test_text_of_other_encodings_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("user,item,rating\nann,Amélie,4\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"'latin.csv' is no UTF-8 text after line \d"):
        read_ratings(path)


def test_memory_does_not_hold_the_text(tmp_path, monkeypatch):
    read = lines_module.read_pieces
    monkeypatch.setattr(lines_module, "read_pieces", partial(read, size=2**16))
    peaks = []
    for count in (20_000, 40_000):
        rows = (f"{at // 50}\t{at % 50}\t3\t{881250949 + at}\n" for at in range(count))
        path = write(tmp_path, "u.data", "".join(rows))
        tracemalloc.start()
        read_ratings(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Codes, value, time and two orders: the strings of four fields alone take 220.
    assert (peaks[1] - peaks[0]) / 20_000 < 130
