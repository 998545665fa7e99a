"""Files as they are met: read, or refused with the cause and the option to pass."""

import numpy as np
import pandas
import pytest

from ppl_ext.factorization import RatingStream, read_part, read_ratings

PAIRS = {("1", "10"): 5.0, ("1", "20"): 3.5, ("2", "10"): 1.0}


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def pairs(ratings):
    users = ratings.user_ids[ratings.users].astype(str).tolist()
    items = ratings.item_ids[ratings.items].astype(str).tolist()
    return dict(zip(zip(users, items, strict=True), ratings.values.tolist(), strict=True))


RECBOLE = "user_id:token\titem_id:token\trating:float\n1\t10\t5\n1\t20\t3.5\n2\t10\t1\n"
BOOKS = '"User-ID";"ISBN";"Book-Rating"\n"1";"10";"5"\n"1";"20";"3.5"\n"2";"10";"1"\n'
YELP = (
    '{"review_id": "a", "user_id": "1", "business_id": "10", "stars": 5.0, "date": "2018-07-07"}\n'
    '{"review_id": "b", "user_id": "1", "business_id": "20", "stars": 3.5, "date": "2018-07-08"}\n'
    '\n{"review_id": "c", "date": "2018-07-09", "user_id": "2", "business_id": "10", "stars": 1}\n'
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.txt", "user item rating\n1 10 5\n1 20 3.5\n2 10 1\n"),
        ("spaces.data", "1 10 5\n1 20 3.5\n2 10 1\n"),
        ("ratings.dat", "UserID::MovieID::Rating\n1::10::5\n1::20::3.5\n2::10::1\n"),
        (
            "ml.inter",
            "user_id:token\titem_id:token\trating:float\n1\t10\t5\n1\t20\t3.5\n2\t10\t1\n",
        ),
        (
            "book.csv",
            '"User-ID";"ISBN";"Book-Rating"\n"1";"10";"5"\n"1";"20";"3.5"\n"2";"10";"1"\n',
        ),
        ("commas.csv", "user;item;rating\n1;10;5\n1;20;3,5\n2;10;1\n"),
        ("anime.csv", "user_id,anime_id,rating\n1,10,5\n1,20,3.5\n2,10,1\n"),
        ("bars.txt", "1|10|5\n1|20|3.5\n2|10|1\n"),
        ("yelp.json", YELP),
        ("amazon.jsonl", YELP.replace("business_id", "parent_asin").replace("stars", "overall")),
    ],
)
def test_common_forms_are_read(tmp_path, name, text):
    assert pairs(read_ratings(write(tmp_path, name, text))) == PAIRS


def test_streams_and_parts_read_them_too(tmp_path):
    spaces = "user item rating\n1 10 5\n1 20 3.5\n2 10 1\n"
    for name, text in (("yelp.json", YELP), ("r.txt", spaces)):
        path = write(tmp_path, name, text)
        assert pairs(read_part(path, 0, 1)) == PAIRS
        streamed = {}
        for block in RatingStream(path):
            streamed |= pairs(block)
        assert streamed == PAIRS


def test_dates_are_seconds(tmp_path):
    text = "user,item,rating,date\n1,2,3,2020-01-02\n1,3,4,2020-01-01T12:00:00Z\n"
    expected = [1577880000.0 + 43200, 1577880000.0]
    assert read_ratings(write(tmp_path, "a.csv", text)).times.tolist() == expected
    frame = pandas.read_csv(tmp_path / "a.csv")
    assert read_ratings(frame).times.tolist() == expected
    frame["date"] = pandas.to_datetime(frame["date"], format="ISO8601", utc=True)
    assert read_ratings(frame).times.tolist() == expected


def test_a_column_of_times_can_be_left_out(tmp_path):
    path = write(tmp_path, "a.csv", "user,item,rating,date\n1,2,3,May 2\n1,3,4,May 3\n")
    assert read_ratings(path, time=None).times is None
    assert read_ratings(write(tmp_path, "u.data", "1\t2\t3\t9\n"), time=None).times is None
    with pytest.raises(ValueError, match=r"no time is a number or.*'May 2'.*time=None, or --no"):
        read_ratings(path)
    with pytest.raises(ValueError, match=r"no rating is a number: line 2 .*'...', or --rating"):
        read_ratings(path, rating="date", time=None)


def test_times_say_which_rating_is_the_last(tmp_path):
    text = "user,item,rating,time\n1,2,5,300\n1,2,1,100\n1,3,2,100\n1,3,4,100\n"
    path = write(tmp_path, "a.csv", text)
    assert read_ratings(path, keep_last=True).values.tolist() == [5, 4]
    assert read_ratings(path, keep_last=True, time=None).values.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", b"user,item,rating\na,1,2\na\0,1,3\n", "line 3 of 'a.csv' has a NUL character"),
        ("a.csv", "user,item,rating\n1,2,3\n".encode("utf-16"), "NUL|no UTF-8"),
        ("a.json", '[{"user": 1}]', r"read_ratings\(pandas.read_json\(path\)\)"),
        ("a.json", YELP + '{"user_id": 1}\n', "line 5 of 'a.json' has no 'business_id'"),
        ("a.json", YELP + '{"user_id": 1', "line 5 of 'a.json' is no JSON"),
        ("a.csv", "user," + ",".join(f"film {i}" for i in range(20)) + "\n" + "1," * 20 + "1\n",
         r"frame.melt\(id_vars='user', var_name='item', value_name='rating'\)"),
        ("a.txt", " ".join("5" * 20) + "\n", r"line 1 .* has 20 fields.*np.nonzero\(known\)"),
        ("a.dat", "who::what::how\n1::2::3\n", "none is called like a user"),
    ],
)  # fmt: skip
def test_others_are_refused_with_a_way_out(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_ratings(write(tmp_path, name, text))


def test_labels_with_a_nul_are_refused():
    with pytest.raises(ValueError, match=r"rating 1 has the label 'a\\x00' with a NUL"):
        read_ratings((["a", "a\0"], [1, 1], [3.0, 4.0]))


def test_one_label_that_is_no_integer_is_reported(tmp_path):
    lines = [f"{user},7,3" for user in range(1000)]
    path = write(tmp_path, "a.csv", "user,item,rating\n" + "\n".join([*lines, "1.5,7,3"]) + "\n")
    message = r"line 1002 of 'a.csv' has the user '1.5', and 1,000 of 1,001 users are integers"
    with pytest.warns(UserWarning, match=message):
        assert read_ratings(path).user_ids[-1] == "999"


@pytest.mark.parametrize("label", ["007", "+7", " 7", "7.0", "1e3", "-0", "٧", "9" * 19, "9" * 20])
def test_labels_are_what_is_written(tmp_path, label):
    # A number that is not written as integers are is text, but for blanks around it.
    text = f"user,item,rating\n5,1,2\n{label},1,3\n"
    found = read_ratings(write(tmp_path, "a.csv", text)).user_ids.tolist()
    numbers = [5, 7] if label == " 7" else sorted(["5", label])
    assert found == numbers


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n", "\r"])
def test_the_last_line_ends_in_any_way(tmp_path, end):
    middle = (end.strip("\n") and end) or "\n"
    text = middle.join(["user,item,rating", "1,10,5", "1,20,3.5", "2,10,1"]) + end
    assert pairs(read_ratings(write(tmp_path, "a.csv", text))) == PAIRS


def test_fields_that_make_up_for_each_other_are_seen(tmp_path):
    # As many commas as there should be, and one line has one too many.
    path = write(tmp_path, "a.csv", "user,item,rating\n1,10,5,\n1,20\n")
    with pytest.raises(ValueError, match=r"line 2 of 'a.csv' has 4 fields; expected 3"):
        read_ratings(path)


def test_numbers_of_single_lines_are_those_of_all(tmp_path):
    rng = np.random.default_rng(0)
    rows = {(f"{u}", f"{i}"): round(float(v), 3)
            for u, i, v in zip(rng.integers(50, size=400), rng.integers(10**12, size=400),
                               rng.normal(size=400), strict=True)}  # fmt: skip
    text = "".join(f"{u}\t{i}\t{v}\n" for (u, i), v in rows.items())
    plain = pairs(read_ratings(write(tmp_path, "a.data", text)))
    quoted = pairs(read_ratings(write(tmp_path, "b.data", '"' + text.replace("\t", '"\t', 1))))
    assert plain == quoted
    assert plain == {pair: np.float32(value) for pair, value in rows.items()}


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ('"a",1,2', "a"), ('"a,b",1,2', "a,b"), ('"a""b",1,2', 'a"b'), ('"7","1","2"', "7"),
        ('"007",1,2', "007"), ('" a ",1,2', "a"), ('"a b",1,2', "a b"),
    ],
)  # fmt: skip
def test_quotes_are_those_of_csv(tmp_path, line, label):
    # With and without a line that has to be looked at by itself.
    for more in ("", '"c,d",1,2\n'):
        path = write(tmp_path, "a.csv", f"user,item,rating\nzz,1,2\n{line}\n{more}")
        found = read_ratings(path).user_ids.tolist()
        assert found == sorted(["zz", label, *(["c,d"] if more else [])])


@pytest.mark.parametrize("line", ['"a,b",1', '"a,1,2', 'a,"1,2"'])
def test_quotes_do_not_make_fields(tmp_path, line):
    path = write(tmp_path, "a.csv", f"user,item,rating\nzz,1,2\n{line}\nb,1,3\n")
    with pytest.raises(ValueError, match=r"line 3 of 'a.csv' has \d fields; expected 3"):
        read_ratings(path)
