"""Arrays and a header in one safetensors file: written whole or not at all, read the same way."""

import json
import os
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_ext import __version__
from ppl_ext.whole_files import replace_file

__all__ = ["read_arrays", "write_arrays"]

# In format 1 the checksum was that of the arrays alone.
FORMAT = 2
_KEY = "ppl_ext"
_NO_SUM = b"0" * 8
# The checksum stands in the file that it covers; it is taken with zeros in its place.
_SUM_KEY = "ppl_ext_checksum"
_MARK = f'"{_SUM_KEY}":"'.encode()
_OURS = ("format", "ppl_ext_version", "names", "checksum")
_KINDS_OF_NUMBERS = "biuf"


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> None:
    """Write named arrays and a header that says what they are.

    The file is a safetensors file that other programs can read; the header is JSON in its
    metadata. It appears under its name only when it is complete, and replaces one already there,
    whose mode it keeps; a link goes on pointing to it. A checksum covers every byte.

    Not for posterior draws, which other tools want as NetCDF: ``Draws.to_datatree()``.

    Args:
        path: Where to; customarily ``*.safetensors``.
        arrays: ``{name: array}`` of booleans, integers or floats, 0-d ones among them.
        header: JSON values. ``kind`` is needed (``"fit"``, say) and checked on reading; a room
            adds ``host`` and ``host_version``. Format and version of ppl_ext are added here.

    Raises:
        ValueError: The header lacks ``kind`` or uses a key that is added here, or the path is
            empty.
        TypeError: An array is of another type, or the header is no JSON. Nothing is written.
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: The path is a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "fit.safetensors")
        ...     write_arrays(path, {"scale": np.float32(2.0)}, {"kind": "fit"})
        ...     arrays, header = read_arrays(path, kind="fit")
        >>> arrays["scale"].dtype, arrays["scale"].shape, header["format"]
        (dtype('float32'), (), 2)
    """
    from safetensors.numpy import save

    if "kind" not in header or (taken := sorted(set(header) & set(_OURS))):
        found = sorted(header) if "kind" not in header else taken
        raise ValueError(
            f"write_arrays: the header has the keys {found}; expected 'kind' among them and none "
            f'of {_OURS}, which are added. Write header={{"kind": "fit", ...}}.'
        )
    prepared = {name: _prepare(name, array) for name, array in arrays.items()}
    full_header = {
        "format": FORMAT,
        "ppl_ext_version": __version__,
        **header,
        "names": list(prepared),
    }
    try:
        text = json.dumps(full_header)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"write_arrays: the header is no JSON ({error}); expected text, numbers, lists and "
            "dictionaries. Put arrays into arrays=, and call x.item() on NumPy numbers."
        ) from error
    content = save(prepared, metadata={_KEY: text, _SUM_KEY: _NO_SUM.decode()})
    at = content.index(_MARK) + len(_MARK)
    whole = b"".join((content[:at], _sum_file(content, at), content[at + len(_NO_SUM) :]))
    replace_file("write_arrays", path, whole)


def read_arrays(
    path: str | os.PathLike[str],
    *,
    kind: str | None = None,
    called: str = "read_arrays",
    remedy: str = "Save it again, or copy the file again.",
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_arrays` wrote, or say why not.

    Nothing in the file is executed, and nothing is returned unless all of it is sound.

    Args:
        path: The file.
        kind: What the header must call it; None takes any.
        called: What a user called, for the messages.
        remedy: What a user can do about a file that is damaged.

    Returns:
        ``{name: array}`` in the order, shapes and types written, and the header.

    Raises:
        ValueError: The file is cut off, damaged, written by another program or by a newer
            ppl_ext, or is of another kind.
        FileNotFoundError: There is no such file.

    Warns:
        UserWarning: The file is of format 1, of whose header there is no checksum.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "notes.txt")
        ...     _ = path.write_text("some other file, of which we know nothing")
        ...     read_arrays(path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: read_arrays: 'notes.txt' is cut off, damaged or no file of ppl_ext ...
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)

    def refuse_damaged(why: str) -> ValueError:
        return ValueError(
            f"{called}: '{path.name}' is cut off, damaged or no file of ppl_ext ({why}); expected "
            f"a whole file that ppl_ext wrote. {remedy}"
        )

    content = path.read_bytes()
    at = content.find(_MARK) + len(_MARK)
    summed = at >= len(_MARK)
    if summed and content[at : at + len(_NO_SUM)] != _sum_file(content, at):
        raise refuse_damaged("its checksum is that of another content")
    try:
        arrays = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: numbers that NumPy lacks, as BF16
        raise refuse_damaged(str(error)) from error
    header = _read_header(called, path.name, content)
    if header["format"] not in (1, FORMAT):
        raise ValueError(
            f"{called}: '{path.name}' has format {header['format']}, written by ppl_ext "
            f"{header.get('ppl_ext_version')}; this is {__version__}, which reads format 1 and "
            f"{FORMAT}. Run: pip install --upgrade ppl-ext."
        )
    names = header.pop("names", None)
    checksum = header.pop("checksum", None)
    if not isinstance(names, list) or sorted(names) != sorted(arrays):
        raise ValueError(
            f"{called}: '{path.name}' holds the arrays {sorted(arrays)}, but its header says "
            f"{names}; it was changed after it was written. {remedy}"
        )
    ordered = {name: arrays[name] for name in names}
    if header["format"] == 1:
        if checksum != _sum_arrays(ordered.values()):
            raise refuse_damaged("its arrays do not match their checksum")
        warnings.warn(
            f"{called}: '{path.name}' is of format 1, which has no checksum of its header; it "
            "is read as it is. Save it again with this version.",
            stacklevel=2,
        )
    elif not summed:
        raise refuse_damaged("its checksum is missing")
    if kind is not None and header.get("kind") != kind:
        raise ValueError(
            f"{called}: '{path.name}' is of kind {header.get('kind')!r}; expected {kind!r}. "
            "Choose another file, or the function that wrote this one."
        )
    return ordered, header


def _prepare(name: str, array: np.ndarray) -> np.ndarray:
    # Not ascontiguousarray, which turns 0-d into 1-d; and safetensors would write the memory of
    # a transposed array as it lies, without a word.
    prepared = np.asarray(array, order="C")
    if prepared.dtype.kind not in _KINDS_OF_NUMBERS or prepared.dtype.itemsize > 8:
        raise TypeError(
            f"write_arrays: array '{name}' is of type {prepared.dtype}; expected booleans, "
            "integers or floats of at most 64 bits. Put text and the like into the header."
        )
    return prepared.astype(prepared.dtype.newbyteorder("="), copy=False)


def _sum_file(content: bytes, at: int) -> bytes:
    """Checksum of a file in eight digits, with zeros where they stand."""
    view = memoryview(content)
    checksum = zlib.crc32(view[at + len(_NO_SUM) :], zlib.crc32(_NO_SUM, zlib.crc32(view[:at])))
    return f"{checksum:08x}".encode()


def _sum_arrays(arrays: Iterable[np.ndarray]) -> int:
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(array.tobytes(), checksum)
    return checksum


def _read_header(called: str, name: str, content: bytes) -> dict[str, Any]:
    """Our header out of bytes that safetensors has already found sound."""
    size = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(_KEY, "null")
    try:
        header = json.loads(text)
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or "format" not in header:
        raise ValueError(
            f"{called}: '{name}' is a safetensors file of another program; expected one that "
            "ppl_ext wrote. Choose a file from save()."
        )
    return header
