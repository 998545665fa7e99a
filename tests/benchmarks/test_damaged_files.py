"""Damaged files of every kind: refused by name, or read as they were; never a raw error."""

import io

import numpy as np
import pytest
from mishaps.damaged_files import damage, try_damages
from mishaps.readable_files import KINDS

from models.vae.reading import read_images


@pytest.mark.parametrize("kind", KINDS)
def test_damages_at_random_are_refused_or_harmless(kind):
    found = try_damages(kind, times=60, seed=3)
    assert not found["raw"]
    assert found["right"], found["counts"]
    assert found["counts"]["refused"] > 20


def test_a_damage_is_one():
    rng, content = np.random.default_rng(0), b"1,2,3"
    assert all(damage(content, rng) != content for _ in range(100))


def test_spoilt_numbers_of_features_are_refused_with_the_label(tmp_path):
    path = KINDS["features of items"].write(tmp_path)
    path.write_text(path.read_text().replace("7,1957", "7,195x"))
    with pytest.raises(ValueError, match=r"column 'year' .* holds numbers, and '195x' for '7'"):
        KINDS["features of items"].read(path)


def test_a_flipped_bit_in_a_table_of_simulations_is_found(tmp_path):
    kind = KINDS["simulation table"]
    path = kind.write(tmp_path)
    data = path / "observed-0.npy"
    content = bytearray(data.read_bytes())
    content[-200] ^= 1
    data.write_bytes(content)
    with pytest.raises(ValueError, match=r"open_simulations: rows 10 to 14 .* are damaged"):
        kind.read(path)


class Ghost:
    """What an array of objects would bring to life."""

    def __reduce__(self):
        return (print, ("alive",))


def test_arrays_of_objects_are_refused_and_not_brought_to_life(tmp_path, capsys):
    content = io.BytesIO()
    np.savez(content, x_train=np.array([Ghost()]), x_test=np.zeros(1), y_train=0, y_test=0)
    (tmp_path / "images.npz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=r"images\.npz is .* no file of plain arrays"):
        read_images(tmp_path / "images.npz")
    table = KINDS["simulation table"].write(tmp_path)
    np.save(table / "observed-0.npy", np.array([Ghost()] * 20))
    with pytest.raises(ValueError, match=r"observed-0\.npy' is missing, cut off or damaged"):
        KINDS["simulation table"].read(table)
    assert "alive" not in capsys.readouterr().out
