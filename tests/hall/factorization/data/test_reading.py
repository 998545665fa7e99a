"""Readers: every way in gives the same table, and bad lines are refused by their number."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import sparse

from ppl_ext.factorization import (
    Ratings,
    read_ratings,
)

USERS, ITEMS = np.array([2, 1, 2, 3]), np.array([20, 10, 10, 30])
VALUES, TIMES = np.array([5.0, 3.0, 1.0, 4.0]), np.array([30.0, 10.0, 20.0, 40.0])
ROWS = list(zip(USERS, ITEMS, VALUES.astype(int), TIMES.astype(int), strict=True))
FRAME = pandas.DataFrame({"user": USERS, "item": ITEMS, "rating": VALUES, "timestamp": TIMES})


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lines(mark: str, header: str = "") -> str:
    return header + "".join(mark.join(str(field) for field in row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("u.data", lines("\t")),
        ("ratings.dat", lines("::")),
        ("ratings.csv", lines(",", "userId,movieId,rating,timestamp\n")),
        ("ratings.tsv", lines("\t", "user_id\titem_id\tvalue\ttime\n")),
        ("semicolons.csv", lines(";", "User;Item;Rating;Time\n")),
        ("marked.csv", "\ufeff" + lines(",", "user,item,rating,time\n")),
        ("quoted.csv", '"user","item","rating","time"\n' + lines(",").replace("20,", '"20",')),
        ("windows.data", lines("\t").replace("\n", "\r\n")),
        ("blank.data", lines("\t") + "\n\n"),
    ],
)
def test_files_of_all_kinds(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    check(read_ratings(path))
    check(read_ratings(str(path)))


def check(ratings):
    assert ratings.user_ids.tolist() == [1, 2, 3]
    assert ratings.item_ids.tolist() == [10, 20, 30]
    assert ratings.users.tolist() == [0, 1, 1, 2]
    assert ratings.items.tolist() == [0, 0, 1, 2]
    assert ratings.values.tolist() == [3, 1, 5, 4]
    assert ratings.times.tolist() == [10, 20, 30, 40]


def test_frames_and_arrays():
    check(read_ratings(FRAME))
    check(read_ratings(FRAME.rename(columns={"user": "who"}), user="who"))
    check(read_ratings((USERS, ITEMS, VALUES, TIMES)))
    check(read_ratings((USERS.astype(float), ITEMS, VALUES, TIMES)))


def test_parquet_is_read_or_asked_for(tmp_path, monkeypatch):
    path = write(tmp_path, "ratings.parquet", "")
    monkeypatch.setattr("ppl_ext.factorization.data.reading.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow"):
        read_ratings(path)
    monkeypatch.setattr("ppl_ext.factorization.data.reading.find_spec", lambda name: name)
    monkeypatch.setattr(pandas, "read_parquet", lambda source: FRAME)
    check(read_ratings(path))


@pytest.mark.parametrize("form", [sparse.coo_array, sparse.csr_array, sparse.csc_matrix])
def test_sparse_matrices(form):
    matrix = form(sparse.coo_array((VALUES, (USERS, ITEMS)), shape=(5, 31)))
    ratings = read_ratings(matrix)
    assert (ratings.num_users, ratings.num_items, len(ratings)) == (5, 31, 4)
    assert ratings.values[(ratings.users == 2) & (ratings.items == 20)] == [5.0]


def test_labels_stay_as_they_are_written(tmp_path):
    text = read_ratings(write(tmp_path, "a.csv", "user,item,rating\n007,x y,1\n7,é,2\n"))
    assert text.user_ids.tolist() == ["007", "7"]
    assert text.item_ids.tolist() == ["x y", "é"]


def test_two_files_share_their_labels(tmp_path):
    first = read_ratings(write(tmp_path, "u1.base", "1\t5\t4\n2\t6\t3\n"))
    second = read_ratings(
        write(tmp_path, "u1.test", "2\t5\t1\n"), user_ids=first.user_ids, item_ids=first.item_ids
    )
    assert (second.users.tolist(), second.items.tolist()) == ([1], [0])
    with pytest.raises(
        ValueError, match=r"line 1 of 'u2.test' has the user 9, which is not among"
    ):
        read_ratings(write(tmp_path, "u2.test", "9\t5\t1\n"), user_ids=first.user_ids)


@pytest.mark.parametrize(
    ("name", "text", "settings", "message"),
    [
        ("u.data", "1\t5\t4\n1\t5\t2\n", {}, "line 2 of .* rates item 5 by user 1 again, after"),
        ("u.data", "1\t5\t4\n\n1\t6\tnan\n", {}, "line 3 of 'u.data' has 'nan' as its rating"),
        ("u.data", "1\t5\t4\n1\t6\tinf\n", {}, "line 2 of 'u.data' has the value inf"),
        ("u.data", "1\t5\t4\n1\t6\tgood\n", {}, "line 2 of 'u.data' has 'good' as its rating"),
        ("u.data", "1\t5\t4\n1\t6\t\n", {}, "line 2 of 'u.data' has nothing as its rating"),
        ("u.data", "1\t5\t4\t9\n1\t6", {}, "line 2 .* has 2 fields; expected 4.* cut off"),
        ("u.data", "1\t5\t4\n1\t6\t4\t3\n", {}, "line 2 of 'u.data' has 4 fields; expected 3"),
        ("u.data", "1\t5\t4\n-1\t6\t4\n", {}, "line 2 of 'u.data' has the user -1; expected"),
        ("u.data", "1\t5\t4\n\t6\t4\n", {}, "line 2 of 'u.data' has the user ''; expected"),
        ("u.data", "1\t5\t4\n1\t6\t9\n", {"scale": (1, 5)}, "line 2 .* value 9; expected 1 to 5"),
        ("u.data", "1 5\n", {}, "line 1 of 'u.data' has 2 fields"),
        ("u.data", "\n \n", {}, "'u.data' is empty"),
        ("r.csv", "user,item,rating\n1,2,3\n1,3\n", {}, "line 3 of 'r.csv' has 2 fields"),
        ("r.csv", "user,item,rating\n", {}, "there are no ratings"),
        ("r.csv", "who,item,rating\n1,2,3\n", {}, "none is called like a user"),
        ("r.csv", "user,item,rating\n1,2,3\n", {"time": "t"}, "expected 't' among them"),
        ("r.csv", "user,item,rating,time\n1,2,3,noon\n", {}, "line 2 .* has 'noon' as its time"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, name, text, settings, message):
    with pytest.raises(ValueError, match=message):
        read_ratings(write(tmp_path, name, text), **settings)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (([1, 2], [1], [3.0, 4.0]), "have the shapes"),
        (([], [], []), "there are no ratings"),
        (([1, 2], [1, 2], [3.0, np.nan]), "rating 1 has the value nan"),
        (([1, 2], [1, 2], ["3", "4"]), "values are of type"),
        (([1, 1.5], [1, 2], [3.0, 4.0]), "rating 1 has the user 1.5; expected text or an integer"),
        (([1, np.nan], [1, 2], [3.0, 4.0]), "rating 1 has the user nan; expected text"),
        (([1, np.inf], [1, 2], [3.0, 4.0]), "rating 1 has the user inf; expected text"),
        ((np.array([7, "7"], object), [1, 2], [3.0, 4.0]), "as 7 and '7' do"),
        (([1, None], [1, 2], [3.0, 4.0]), "rating 1 has the user 'None'"),
        (FRAME.assign(rating=[1, 2, np.nan, 4]), "row 2 has nan as its rating"),
    ],
)
def test_bad_arrays_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        read_ratings(source)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"user_ids": [1, 1, 2, 3]}, "user_ids has the shape .* and 3 different labels"),
        ({"user_ids": []}, "0 different labels"),
        ({"item_ids": ["10", "20", "30"]}, "items have labels such as 10, and item_ids has '10'"),
        ({"scale": 5}, "scale=5; expected the lowest and the highest"),
        ({"scale": (5, 1)}, r"scale=\(5, 1\); expected the lowest"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        read_ratings((USERS, ITEMS, VALUES), **settings)


def test_labels_of_a_matrix_are_one_for_each_row_and_column():
    matrix = sparse.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]))
    assert read_ratings(matrix, user_ids=["a", "b"]).user_ids.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"user_ids has the shape \(1,\), and the matrix"):
        read_ratings(matrix, user_ids=["a"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1, 0], [0, 0], [3.0, 4.0]), "out of order"),
        (([0, 0], [1, 1], [3.0, 4.0]), "a pair is there twice"),
        (([0, 0], [0, 2], [3.0, 4.0]), "items holds positions from 0 to 2"),
        (([0, 0], [-1, 1], [3.0, 4.0]), "items holds positions from -1 to 1"),
        (([0, 0], [0, 1], [3.0]), "differ in length"),
    ],
)
def test_ratings_made_by_hand_are_checked(columns, message):
    with pytest.raises(ValueError, match=message):
        Ratings(*map(np.array, columns), np.arange(2), np.arange(2))


def test_ratings_far_from_zero_keep_what_tells_them_apart():
    near = read_ratings((USERS, ITEMS, VALUES))
    far = read_ratings((USERS, ITEMS, VALUES + 1e9 + 0.1))
    assert near.values.dtype == np.float32
    assert np.array_equal(far.values, near.values.astype(float) + 1e9 + 0.1)


def test_other_sources_are_refused():
    with pytest.raises(TypeError, match="got a list; expected a path"):
        read_ratings([1, 2, 3])


def test_the_later_of_two_ratings_is_kept(tmp_path):
    path = write(tmp_path, "u.data", "1\t5\t4\n2\t5\t1\n1\t5\t2\n")
    assert read_ratings(path, keep_last=True).values.tolist() == [2, 1]
