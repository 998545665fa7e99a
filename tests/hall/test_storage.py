"""Files survive other processes and are refused whole where they are not sound."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ppl_ext import __version__
from ppl_ext.storage import read_arrays, write_arrays

ARRAYS = {
    "z last": np.random.default_rng(0).normal(size=(3, 4)),
    "scalar": np.array(2.5),
    "scalar32": np.array(-1.5, dtype=np.float32),
    "half": np.array([0.5, 1.5], dtype=np.float16),
    "count": np.array([[1, 2]], dtype=np.int64),
    "byte": np.array([7], dtype=np.uint8),
    "flag": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "special": np.array([np.nan, np.inf, -0.0]),
}
HEADER = {
    "kind": "fit",
    "host": "numpyro",
    "host_version": "0.22.0",
    "sites": [["mu", []], ["theta", [8]]],
    "khat": float("-inf"),
    "name": "θ",
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "fit.safetensors"
    write_arrays(path, ARRAYS, HEADER)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array)


def test_round_trip_keeps_order_shape_type_and_header(path):
    arrays, header = read_arrays(path, kind="fit")
    assert_same(arrays, ARRAYS)
    assert header == {**HEADER, "format": 2, "ppl_ext_version": __version__}


def test_round_trip_across_processes(path):
    code = (
        "import sys; from ppl_ext.storage import read_arrays, write_arrays\n"
        "arrays, header = read_arrays(sys.argv[1])\n"
        "write_arrays(sys.argv[1] + '2', arrays, {'kind': header['kind']})"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    assert_same(read_arrays(f"{path}2")[0], ARRAYS)


def test_memory_order_and_byte_order_do_not_matter(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3)
    arrays = {
        "transposed": np.arange(6.0).reshape(3, 2).T,
        "fortran": np.asfortranarray(matrix),
        "strided": np.arange(10)[::3],
        "big endian": matrix.astype(">f8"),
    }
    write_arrays(tmp_path / "a", arrays, {"kind": "fit"})
    found, _ = read_arrays(tmp_path / "a")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert found["big endian"].dtype == np.float64


def test_the_file_is_plain_safetensors(path):
    np.testing.assert_array_equal(load_file(path)["z last"], ARRAYS["z last"])


def test_every_cut_is_refused(path):
    content = path.read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(
            ValueError, match=r"'fit\.safetensors' is cut off, damaged or no file of"
        ):
            read_arrays(path)


def test_trailing_bytes_are_refused(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="cut off, damaged or no file of ppl_ext"):
        read_arrays(path)


def test_every_flipped_bit_is_refused_in_the_same_words(path):
    content = path.read_bytes()
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"'fit\.safetensors' is cut off, damaged or no file"):
            read_arrays(path)


def test_a_checksum_is_lower_case_and_no_other(path):
    # A digit in another case is the same number, and one flipped bit.
    content = path.read_bytes()
    at = content.index(b'"ppl_ext_checksum":"') + 20
    path.write_bytes(content[:at] + content[at : at + 8].upper() + content[at + 8 :])
    if content[at : at + 8].isdigit():
        read_arrays(path)
    else:
        with pytest.raises(ValueError, match="its checksum is that of another content"):
            read_arrays(path)


def test_files_of_the_first_format_are_read_with_a_warning(path):
    checksum = zlib.crc32(np.zeros(3).tobytes())
    rewrite(path, checksum=checksum)
    with pytest.warns(UserWarning, match="is of format 1, which has no checksum of its header"):
        arrays, header = read_arrays(path, kind="fit")
    assert arrays["w"].tolist() == [0, 0, 0]
    assert header == {"format": 1, "ppl_ext_version": "9.9", "kind": "fit"}
    rewrite(path, checksum=checksum + 1)
    with pytest.raises(ValueError, match="its arrays do not match their checksum"):
        read_arrays(path)
    rewrite(path, format=2)
    with pytest.raises(ValueError, match="its checksum is missing"):
        read_arrays(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"ppl_ext": "{no json"},
                                      {"ppl_ext": "[1]"}, {"ppl_ext": "{}"}])  # fmt: skip
def test_safetensors_of_other_programs_are_refused(tmp_path, metadata):
    save_file({"w": np.zeros(3)}, tmp_path / "model.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"'model\.safetensors' is a safetensors file of another"):
        read_arrays(tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 100, b"\x80\x04\x95" + b"p" * 500])
def test_other_files_are_refused_and_never_executed(tmp_path, content):
    (tmp_path / "guide.pkl").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"'guide\.pkl' is cut off, damaged or no file of ppl_ext"
    ):
        read_arrays(tmp_path / "guide.pkl")


def test_numbers_that_numpy_lacks_are_refused(tmp_path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with pytest.raises(
        ValueError, match=r"'weights\.safetensors' is cut off, damaged or no file of"
    ):
        read_arrays(path)


def rewrite(path, **changes):
    header = {"format": 1, "ppl_ext_version": "9.9", "kind": "fit", "names": ["w"], "checksum": 0}
    save_file({"w": np.zeros(3)}, path, metadata={"ppl_ext": json.dumps({**header, **changes})})


def test_future_formats_are_refused_with_the_way_out(path):
    rewrite(path, format=3)
    with pytest.raises(
        ValueError, match=r"has format 3, written by ppl_ext 9.9.*pip install --up"
    ):
        read_arrays(path)


@pytest.mark.parametrize("names", [["w", "v"], [], None, "w"])
def test_arrays_that_are_not_those_of_the_header_are_refused(path, names):
    rewrite(path, names=names)
    with pytest.raises(ValueError, match=r"holds the arrays \['w'\], but its header says"):
        read_arrays(path)


def test_another_kind_is_refused(path):
    with pytest.raises(ValueError, match="is of kind 'fit'; expected 'factors'"):
        read_arrays(path, kind="factors")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.array([1j]), np.array([1], "M8[s]")]
)
def test_other_types_are_refused_by_name_and_nothing_is_written(tmp_path, array):
    with pytest.raises(TypeError, match="write_arrays: array 'odd' is of type"):
        write_arrays(tmp_path / "a", {"odd": array}, {"kind": "fit"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("header", [{}, {"kind": "fit", "format": 3}, {"kind": "fit", "names": 1}])
def test_headers_without_kind_or_with_our_keys_are_refused(tmp_path, header):
    with pytest.raises(ValueError, match="write_arrays: the header has the keys"):
        write_arrays(tmp_path / "a", {}, header)


def test_a_header_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(TypeError, match="the header is no JSON"):
        write_arrays(tmp_path / "a", {}, {"kind": "fit", "loc": np.zeros(2)})
    assert not list(tmp_path.iterdir())


def test_writing_again_replaces_the_file(path):
    write_arrays(path, {"w": np.zeros(3)}, {"kind": "fit"})
    assert list(read_arrays(path)[0]) == ["w"]
