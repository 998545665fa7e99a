"""Streams: whole sweeps are those of memory, steps come near them, files are read in parts."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ppl_ext.factorization import (
    Fixed,
    MatrixFactorization,
    Noise,
    RatingStream,
    StreamedFactorization,
    cut_by_user,
    measure_bound,
    read_part,
    read_ratings,
    simulate_ratings,
    split_by_row,
)

RATINGS = simulate_ratings(num_users=400, num_items=120, density=0.12, seed=2).ratings
MODEL = MatrixFactorization(3, num_threads=1)
EXACT = replace(MODEL, dtype=np.float64, noise=Noise(by_user=False), tolerance=0, max_sweeps=5)


def stream(blocks, model=MODEL, **settings):
    return StreamedFactorization(model, **settings).fit(blocks, progress_bar=False)


def write(path, ratings=RATINGS, header="user,item,rating\n"):
    labels = ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]
    table = zip(*labels, ratings.values, strict=True)
    lines = "".join(f"{user},{item},{value:.9g}\n" for user, item, value in table)
    path.write_text(header + lines)
    return path


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
def test_whole_sweeps_are_those_of_memory(biases, diagonal):
    model = replace(EXACT, biases=biases, diagonal=diagonal)
    expected = model.fit(RATINGS, progress_bar=False)
    found = stream(cut_by_user(RATINGS, 1000), model, max_passes=0)
    np.testing.assert_allclose(found.elbo, expected.elbo, rtol=1e-11)
    np.testing.assert_allclose(found.items.table, expected.items.table, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(found.users.table, expected.users.table, rtol=1e-8, atol=1e-11)
    assert np.array_equal(found.users.ids, expected.users.ids)


def test_one_block_makes_steps_whole_sweeps():
    model = replace(EXACT, max_sweeps=2)
    found = stream([RATINGS], model, max_passes=3)
    expected = replace(model, max_sweeps=5).fit(RATINGS, progress_bar=False)
    np.testing.assert_allclose(found.elbo, expected.elbo, rtol=1e-11)


def test_a_stream_goes_on_from_factors():
    first = replace(EXACT, max_sweeps=4)
    start = first.fit(RATINGS, progress_bar=False)
    expected = first.fit(RATINGS, start=start, progress_bar=False)
    settings = StreamedFactorization(first, max_passes=3)
    blocks = cut_by_user(RATINGS, 1000)
    found = settings.fit(blocks, start=start, progress_bar=False)
    np.testing.assert_allclose(found.elbo, expected.elbo, rtol=1e-11)
    np.testing.assert_allclose(found.items.table, expected.items.table, rtol=1e-8, atol=1e-11)
    assert found.sweeps == expected.sweeps == 8
    # Half of the users, and most items, are known from before.
    half = first.fit(RATINGS.select(RATINGS.users % 2 == 0), progress_bar=False)
    grown = settings.fit(blocks, start=half, progress_bar=False)
    assert len(grown.users) == len(start.users)
    assert (np.diff(grown.elbo[4:]) > 0).all()
    # Users who were left out are new.
    bare = stream(blocks, first, max_passes=1, keep_users=False)
    assert settings.fit(blocks, start=bare, progress_bar=False).elbo[-1] > bare.elbo[-1]
    taught = first.fit(RATINGS, item_features=np.eye(RATINGS.num_items)[:, :2], progress_bar=False)
    with pytest.raises(ValueError, match=r"StreamedFactorization.fit: start .* with features"):
        settings.fit(blocks, start=taught, progress_bar=False)
    with pytest.raises(TypeError, match=r"start"):
        settings.fit(blocks, start=3, progress_bar=False)


def test_steps_come_near_the_fit_in_memory():
    train, test = split_by_row(RATINGS, 0.15, seed=1)
    whole = MODEL.fit(train, progress_bar=False)
    steps = stream(cut_by_user(train, 500), max_passes=4)
    assert abs(steps.elbo[-1] - whole.elbo[-1]) < 2e-3 * abs(whole.elbo[-1])
    # In as many passes, steps are ahead of sweeps.
    assert steps.elbo[4] > MODEL.fit(train, progress_bar=False).elbo[4]
    assert steps.assess(test).rmse < 1.01 * whole.assess(test).rmse
    assert abs(steps.assess(test).coverage[0.9] - 0.9) < 0.04


def test_elbo_of_whole_sweeps_is_exact_and_never_falls():
    model = replace(
        MODEL, dtype=np.float64, noise=Noise(0.5), user_prior=Fixed(0.5), item_prior=Fixed(0.5),
        tolerance=0, max_sweeps=6,
    )  # fmt: skip
    found = stream(cut_by_user(RATINGS, 700), model, max_passes=2)
    # The weights' concentrations are learned after the sweep's own, and only raise the bound.
    assert measure_bound(found, RATINGS).total == pytest.approx(found.elbo[-1], rel=1e-9)
    assert np.diff(found.elbo[2:]).min() > 0


def test_a_file_is_read_as_it_is_cut(tmp_path):
    model = replace(EXACT, max_sweeps=2)
    blocks = RatingStream(write(tmp_path / "ratings.csv"), characters=4000)
    assert len(list(blocks)) > 5
    found = stream(blocks, model, max_passes=0)
    expected = model.fit(read_ratings(tmp_path / "ratings.csv"), progress_bar=False)
    np.testing.assert_allclose(found.elbo, expected.elbo, rtol=1e-11)
    assert np.array_equal(found.users.ids, expected.users.ids)


def test_users_may_be_left_out_and_folded_in():
    found = stream(cut_by_user(RATINGS, 1000), max_passes=1, keep_users=False)
    kept = stream(cut_by_user(RATINGS, 1000), max_passes=1)
    assert len(found.users) == 0
    few = RATINGS.select(RATINGS.users < 5)
    folded = found.fold_in_users(few)
    pairs = RATINGS.user_ids[:5], RATINGS.item_ids[:5]
    np.testing.assert_allclose(folded.predict(*pairs).mean, kept.predict(*pairs).mean, atol=0.05)


def test_memory_is_bounded_by_a_block(tmp_path):
    peaks = []
    for copies in (1, 6):
        users = RATINGS.user_ids[RATINGS.users] + np.arange(copies)[:, None] * 1000
        big = read_ratings((users.ravel(), np.tile(RATINGS.items, copies),
                            np.tile(RATINGS.values, copies)))  # fmt: skip
        path = write(tmp_path / f"{copies}.csv", big)
        blocks, model = RatingStream(path, characters=30_000), replace(MODEL, max_sweeps=1)
        stream(blocks, model, max_passes=1, keep_users=False)
        tracemalloc.start()
        stream(blocks, model, max_passes=1, keep_users=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Beside blocks there are labels and a weight for each user, some ten bytes.
    assert peaks[1] < 1.15 * peaks[0] + 2000 * 40


def test_streams_that_cannot_be_trusted_are_refused():
    blocks = cut_by_user(RATINGS, 1000)
    with pytest.raises(ValueError, match="list_iterator, which can be gone through once"):
        stream(iter(blocks))
    with pytest.raises(ValueError, match="there are no ratings"):
        stream([])
    with pytest.raises(ValueError, match=r"forgetting=0\.2"):
        StreamedFactorization(forgetting=0.2)
    with pytest.raises(ValueError, match="size=0"):
        cut_by_user(RATINGS, 0)

    class Shrinking:
        calls = 0

        def __iter__(self):
            self.calls += 1
            return iter(blocks[: -1 if self.calls > 2 else None])

    with pytest.raises(ValueError, match="differs from what it was in the first pass"):
        stream(Shrinking())
    text = replace(blocks[1], item_ids=RATINGS.item_ids.astype(str))
    with pytest.raises(ValueError, match="items are integers in one block and text in another"):
        stream([blocks[0], text])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1,7,4\n2,7,3\n1,8,5\n", "user 1 comes back in line 4"),
        ("1,7,4\n2,7,3\nann,8,5\n", "users of 'r.csv' are integers in one block and text"),
        ("", "there are no ratings"),
        ("1,7,4\n2,7\n", "line 3 of 'r.csv' has 2 fields"),
        ("1,7,4\n2,7,nan\n", "line 3 of 'r.csv' has 'nan' as its rating"),
    ],
)
def test_broken_files_are_refused_by_line(tmp_path, lines, message):
    path = tmp_path / "r.csv"
    path.write_text("user,item,rating\n" + lines)
    with pytest.raises(ValueError, match=message):
        list(RatingStream(path, characters=1))


def test_parquet_and_odd_sizes_are_refused():
    with pytest.raises(ValueError, match=r"'r.parquet' is Parquet"):
        list(RatingStream("r.parquet"))
    with pytest.raises(ValueError, match="characters=0"):
        RatingStream("r.csv", characters=0)


def test_parts_are_the_file(tmp_path):
    path = write(tmp_path / "ratings.csv")
    parts = [read_part(path, part, 3, characters=5000) for part in range(3)]
    whole = read_ratings(path)
    ids = [part.user_ids for part in parts]
    assert np.array_equal(np.sort(np.concatenate(ids)), whole.user_ids)
    assert min(map(len, ids)) > 0.7 * len(whole.user_ids) / 3
    found = sorted(
        (user, item, value)
        for part in parts
        for user, item, value in zip(part.user_ids[part.users], part.item_ids[part.items],
                                     part.values, strict=True)
    )  # fmt: skip
    assert found == list(zip(whole.user_ids[whole.users], whole.item_ids[whole.items],
                             whole.values, strict=True))  # fmt: skip
    with pytest.raises(ValueError, match="part=3 of parts=3"):
        read_part(path, 3, 3)
    few = tmp_path / "few.csv"
    few.write_text("user,item,rating\n1,1,1\n")
    with pytest.raises(ValueError, match=r"no user of 'few\.csv' falls to part 0 of 2"):
        read_part(few, 0, 2)
