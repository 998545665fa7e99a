"""Minibatches, streams, judges and state files, without a host."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppl_ext.training.judges.epoch_judge import EpochJudge
from ppl_ext.training.judges.held_out_judge import HeldOutJudge
from ppl_ext.training.loop import train
from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.state_file import StateFile
from ppl_ext.training.streams import Place, Stream, as_source, join_batches, walk

ROWS = np.arange(23.0)
END = Place(0, 9, last=True)


class Line:
    """Descends by its step size; a batch that is not finite, or a step above 10, spoils it."""

    def __init__(self, floor=0.0):
        self.at, self.best, self.floor = 8.0, 8.0, floor
        self.seen, self.renewed = [], 0

    def advance(self, step, batches, step_size):
        losses = []
        for number, batch in enumerate(batches, step):
            self.seen.append((number, batch))
            self.at = max(self.floor, self.at - step_size) if step_size <= 10 else np.nan
            losses.append(self.at + 0 * float(np.mean(batch[0])))
        return np.array(losses)

    def score(self, batches):
        return np.array([self.at for _ in batches])

    def agree(self, numbers):
        return numbers

    def keep(self):
        self.best = self.at

    def restore(self):
        self.at = self.best

    def restart_average(self):
        pass

    def parameters(self):
        return np.array([self.at])

    def forget_gradients(self):
        self.renewed += 1

    def state(self):
        return {"at": np.array(self.at), "best": np.array(self.best)}

    def load_state(self, state):
        self.at, self.best = float(state["at"]), float(state["best"])


def test_an_epoch_sees_each_row_at_most_once_and_all_epochs_see_all():
    batches = Minibatches(ROWS, -ROWS, batch_size=5, seed=1)
    epochs = [np.concatenate([x for x, _ in batches.epoch(number)]) for number in range(20)]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert set(np.concatenate(epochs)) == set(ROWS)
    assert not np.array_equal(epochs[0], epochs[1])
    assert all(np.array_equal(x, -y) for x, y in batches)


def test_an_epoch_is_gone_on_with_in_its_middle():
    batches = Minibatches(ROWS, batch_size=5)
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, start=2))
    np.testing.assert_array_equal(whole[2:], rest)
    assert ROWS[batches.find_row(3, 2, 4)] == whole[2][0][4]


def test_parts_of_a_split_share_no_row():
    train_on, held_out = Minibatches(ROWS, batch_size=5).split(0.4)
    assert (train_on.num_rows, held_out.num_rows) == (14, 9)
    # Small enough for eight batches.
    assert len(held_out) == 9
    rows = [np.concatenate([x for (x,) in part.epoch(0)]) for part in (train_on, held_out)]
    assert not set(rows[0]) & set(rows[1])
    again, _ = train_on.split(0.5)
    assert set(np.concatenate([x for (x,) in again])) <= set(ROWS) - set(rows[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Minibatches(ROWS, batch_size=24), "batch_size = 24, and there are 23 rows"),
        (lambda: Minibatches(ROWS, batch_size=0), "expected a whole number from 1"),
        (lambda: Minibatches(ROWS, ROWS[:-1], batch_size=2), r"the arrays have \[23, 22\] rows"),
        (lambda: Minibatches(batch_size=2), "no array was given"),
        (lambda: Minibatches(ROWS, 3.0, batch_size=2), "argument 1 is one number"),
        (
            lambda: Minibatches(ROWS, batch_size=5).split(0.9),
            "leaves 5 rows, a batch, to",
        ),
        (lambda: Minibatches(ROWS, batch_size=5).split(1), "expected a share between 0 and 1"),
        (lambda: as_source(iter([(ROWS,)])), "gone through many times"),
        (lambda: as_source(3), "batches is a int"),
        (lambda: as_source(ROWS), "batches is a ndarray"),
        (lambda: Minibatches(np.ma.masked_less(ROWS, 3), batch_size=2), "is a masked array"),
        (lambda: Minibatches(ROWS.astype(object), batch_size=2), "argument 0 holds object"),
        (lambda: list(as_source([ROWS[:3], ROWS[3:]]).epoch(0)), "batch 1 has 20 rows, those"),
        (lambda: MinibatchSettings(max_epochs=2.5), "max_epochs = 2.5; expected a positive whole"),
        (lambda: MinibatchSettings(decay=1.0), "decay = 1.0; expected a number between"),
        (lambda: MinibatchSettings(step_size=0), "step_size = 0; expected a positive number"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_data_that_change_their_length_are_refused():
    rows = [[1.0] * 8]

    class Growing:
        shape = (8,)

        def __len__(self):
            return len(rows[0])

        def __getitem__(self, index):
            return np.array(rows[0])[index]

    batches = Minibatches(Growing(), batch_size=2)
    assert len(list(batches.epoch(0))) == 4
    rows[0].append(1.0)
    with pytest.raises(ValueError, match=r"the arrays have \[9\] rows; expected 8"):
        list(batches.epoch(1))


def test_rows_of_a_frame_are_taken_by_their_place():
    frame = pd.DataFrame({"a": ROWS[::-1], "b": 2 * ROWS[::-1]}).sort_values("a")
    for a, b in Minibatches(frame["a"], frame["b"].to_numpy(), batch_size=5):
        np.testing.assert_array_equal(2 * a, b)


def test_streams_are_refused_where_they_run_out_or_change():
    def shrinking(epoch):
        return [(ROWS,)] * (3 - epoch)

    with pytest.raises(ValueError, match=r"epoch 1 had 2 batches with 46 rows, .* 3 with 69"):
        list(walk(Stream(shrinking), Place(0, 0), 2))
    with pytest.raises(ValueError, match="batch 1 has arrays of shapes"):
        list(walk(Stream(lambda _: [(ROWS,), (ROWS[:0],)]), Place(0, 0), 1))
    with pytest.raises(ValueError, match="epoch 0 had 0 batches"):
        list(walk(Stream(lambda _: []), Place(0, 0), 1))


def test_a_walk_goes_on_from_its_place_and_tells_the_end_of_epochs():
    source = as_source([ROWS[:3], ROWS[3:6], ROWS[6:9]])
    places = [(place.epoch, place.batch, place.last) for place, _ in walk(source, Place(0, 1), 2)]
    assert places == [(0, 1, False), (0, 2, True), (1, 0, False), (1, 1, False), (1, 2, True)]
    assert join_batches(source)[0].tolist() == ROWS[:9].tolist()


def count_resident(name):
    """KiB of a mapped file that are in memory."""
    mapped, total = False, 0
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if "-" in words[0]:
            mapped = words[-1].endswith(name)
        elif mapped and words[0] == "Rss:":
            total += int(words[1])
    return total


def test_a_memory_map_leaves_no_pages_behind(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((4096, 1024), np.float32))  # 16,384 KiB
    batches = Minibatches(np.load(tmp_path / "rows.npy", mmap_mode="r"), batch_size=64)
    assert sum(len(x) for (x,) in batches.epoch(0)) == 4096
    assert count_resident("rows.npy") < 2048


def make_judge(**settings):
    return EpochJudge(MinibatchSettings(**settings))


def test_epochs_are_judged_by_their_means():
    """Losses that fall to a floor which the step size sets, as those of noisy gradients do."""
    rng, judge, level, reasons = np.random.default_rng(0), make_judge(num_decays=3), 100.0, []
    looks = 0
    while not reasons:
        looks += 1
        level += 0.2 * (3.0 * judge.rate - level)
        verdict = judge.look(level + 0.05 * rng.normal(size=10), END, False)
        assert verdict.keep
        assert not verdict.restore
        reasons += [verdict.finished] if verdict.finished else []
    assert judge.rate == pytest.approx(0.3**3)
    assert judge.loss == pytest.approx(3 * 0.3**3, abs=0.02)
    assert looks < 1000


def test_long_epochs_are_looked_at_on_the_way_and_judged_as_a_whole():
    judge, middle = EpochJudge(MinibatchSettings()), Place(0, 1999)
    assert judge.is_due(2000, middle)
    assert not judge.is_due(1999, middle)
    judge.look(np.full(2000, 3.0), middle, False)
    assert judge.loss == 3.0  # of what there is
    judge.look(np.full(1000, 6.0), END, False)
    assert judge.loss == 4.0
    again = EpochJudge(MinibatchSettings())
    judge.look(np.full(2000, 3.0), middle, False)
    again.load_state(judge.state())
    again.look(np.full(2000, 5.0), END, False)
    assert again.state()["phase"].tolist() == [4.0, 4.0]


def test_a_cut_that_brings_nothing_is_the_last():
    rng, judge = np.random.default_rng(0), make_judge(num_decays=8)
    verdicts = [judge.look(5 + rng.normal(size=10), END, False) for _ in range(1000)]
    first = next(i for i, verdict in enumerate(verdicts) if verdict.finished)
    assert sum(verdict.cut for verdict in verdicts[:first]) <= 3


def test_what_is_surely_worse_on_held_out_batches_is_given_up():
    """Training losses fall on, held-out ones rise: at first within their noise, then beyond."""
    best, unsure, worse = np.array([1.0, 3.0]), np.array([4.0, 0.5]), np.array([2.0, 4.1])
    scores = iter([best, unsure, worse, worse, worse, worse])
    judge = HeldOutJudge(MinibatchSettings(patience=2), lambda: next(scores))
    verdicts = [judge.look(np.full(50, 100.0 - look), END, False) for look in range(6)]
    assert [verdict.keep for verdict in verdicts] == [True, True, False, False, False, False]
    assert [verdict.restore for verdict in verdicts] == [False, False, False, True, False, True]
    assert [verdict.cut for verdict in verdicts] == [False, False, False, True, False, False]
    assert judge.rate == 0.3
    assert verdicts[-1].finished == "held-out batches are no longer more likely"
    assert judge.loss == unsure.mean()
    assert judge.held_out == [2.0, 2.25, 3.05, 3.05, 3.05, 3.05]


def test_the_last_steps_of_a_short_training_count():
    source, settings = Minibatches(ROWS, batch_size=5), MinibatchSettings(0.5, max_epochs=3)
    learner = Line()
    log = train(learner, source, settings, held_out=[(ROWS,)], progress_bar=False)
    assert learner.at == 2.0  # 8 less twelve halves
    assert (log.held_out.tolist(), log.scored.tolist()) == ([2.0], [12.0])


def test_a_checkpoint_goes_on_in_the_middle_of_an_epoch(tmp_path):
    source = Minibatches(np.arange(1030.0), batch_size=10)  # 103 batches
    settings = MinibatchSettings(step_size=1e-3, max_epochs=4)
    held_out = [(ROWS,), (ROWS,)]

    def run(learner, file=None, limits=settings):
        return train(learner, source, limits, held_out=held_out, file=file, progress_bar=False)

    straight, halves = Line(), Line()
    whole = run(straight)
    file = StateFile("train", "state", tmp_path / "state", {"the seed": 0})
    run(halves, file, MinibatchSettings(step_size=1e-3, max_epochs=2))
    log = run(halves, file)
    assert halves.at == straight.at
    for ours, theirs in zip(halves.seen, straight.seen, strict=True):
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(log.held_out, whole.held_out)
    np.testing.assert_array_equal(log.losses, whole.losses)
    assert (log.best, log.reason, log.num_epochs) == (whole.best, "reached max_epochs=4", 4)
    other = StateFile("train", "state", tmp_path / "state", {"the seed": 1})
    with pytest.raises(ValueError, match="the seed was 0, and is 1 in this call"):
        run(Line(), other)


def test_the_row_that_spoils_a_loss_is_named():
    rows = np.zeros((40, 3))
    rows[17, 2] = np.nan
    with pytest.raises(FloatingPointError, match=r"argument 0 of the model is nan in row 17, ent"):
        train(Line(), Minibatches(rows, batch_size=8), MinibatchSettings(), progress_bar=False)
    stream = as_source([(rows[:20],), (rows[20:],)])
    with pytest.raises(FloatingPointError, match=r"row 17 of batch 0 of epoch 0, entry \(2,\)"):
        train(Line(), stream, MinibatchSettings(step_size=0.1), progress_bar=False)


def test_a_step_that_leads_to_no_loss_is_made_smaller_or_refused():
    source = Minibatches(ROWS, batch_size=5)
    learner = Line(floor=1.0)
    log = train(learner, source, MinibatchSettings(step_size=40.0), progress_bar=False)
    assert log.step_sizes[-1] < 10
    assert log.best == pytest.approx(1.0)
    assert log.converged
    with pytest.raises(FloatingPointError, match="no loss is finite any more at step"):
        train(Line(), source, MinibatchSettings(step_size=1e9), progress_bar=False)


class Spoilt(Line):
    """Nothing of it is finite."""

    def advance(self, step, batches, step_size):
        return super().advance(step, batches, step_size) * np.nan

    def score(self, batches):
        return np.full(len(batches), np.inf)


def test_a_training_that_is_never_finite_is_no_fit():
    source, settings = Minibatches(ROWS, batch_size=5), MinibatchSettings(0.1, max_epochs=2)
    with pytest.raises(FloatingPointError, match="no loss is finite any more"):
        train(Spoilt(), source, settings, progress_bar=False)

    class HeldOut(Line):
        score = Spoilt.score

    with pytest.raises(FloatingPointError, match="the loss of held-out batch 0 is inf"):
        train(HeldOut(), source, settings, held_out=[(ROWS,)], progress_bar=False)


def test_ctrl_c_before_the_first_look_leaves_what_there_is():
    class Interrupted(Line):
        def advance(self, step, batches, step_size):
            if step >= 64:
                raise KeyboardInterrupt
            return super().advance(step, batches, step_size)

    learner, source = Interrupted(), Minibatches(np.arange(1000.0), batch_size=5)
    log = train(learner, source, MinibatchSettings(0.01), progress_bar=False)
    assert log.reason == "interrupted"
    assert learner.at == learner.best == pytest.approx(8 - 64 * 0.01)
    log = train(Interrupted(), source, MinibatchSettings(), progress_bar=False)
    assert log.reason == "interrupted"


def test_the_end_is_said():
    source = Minibatches(ROWS, batch_size=5)
    log = train(Line(), source, MinibatchSettings(max_seconds=1e-9), progress_bar=False)
    assert not log.converged
    assert log.reason == "reached max_seconds=1e-09"
    assert "in the latest epochs" not in str(log)


def test_a_damaged_checkpoint_says_that_it_may_be_removed(tmp_path):
    file = StateFile("fit_minibatches", "state", tmp_path / "kept", {"the seed": 0})
    file.write({"learner": {"w": np.ones(3)}}, {"step": 7})
    file.path.write_bytes(file.path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"fit_minibatches: checkpoint: 'kept' is .*begins anew"):
        file.read()
