"""MNIST and what is stored like it: one ``.npz`` file, or a folder of four ``idx`` files."""

import gzip
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from models.vae.data import Images

__all__ = ["read_idx", "read_images"]

NAMES = ("x_train", "x_test", "y_train", "y_test")
# What reading bytes that are damaged raises.
_DAMAGED = (EOFError, NotImplementedError, OSError, OverflowError, ValueError, zlib.error)
FILES = (
    "train-images-idx3-ubyte",
    "t10k-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_images(path: str | Path) -> Images:
    """Read images of 256 greys, which the model sees as black or white.

    Args:
        path: An ``.npz`` file with ``x_train`` and ``x_test``, ``[image, row, column]``, and
            ``y_train`` and ``y_test``; or the folder of the four ``idx`` files, gzipped or not.

    Returns:
        The images.

    Raises:
        ValueError: An array or a file is missing, or is none of bytes.
    """
    path = Path(path)
    arrays = _read_folder(path) if path.is_dir() else _read_npz(path)
    for name, found in zip(NAMES, arrays, strict=True):
        if found.dtype != np.uint8:
            raise ValueError(
                f"read_images: {name} of {path.name} is {found.dtype}, expected bytes, 0 to 255. "
                "Write (255 * x).round().astype('uint8')."
            )
    x_train, x_test, y_train, y_test = arrays
    flat = (each.reshape(len(each), -1) for each in (x_train, x_test))
    return Images(*flat, y_train.astype(int), y_test.astype(int), brightest=255, levels=1)


def _read_npz(path: Path) -> list[np.ndarray]:
    try:
        # Pickles may run programs: arrays of objects are refused.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as kept:
            found = {name: np.asarray(kept[name]) for name in kept}
    except (*_DAMAGED, BadZipFile, RuntimeError) as error:
        raise _refuse_damaged(path, error) from error
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise ValueError(
            f"read_images: {path.name} has {', '.join(found)}, expected {', '.join(NAMES)}."
        )
    return [found[name] for name in NAMES]


def _refuse_damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"read_images: {path.name} is cut off, damaged or no file of plain arrays "
        f"({type(error).__name__}: {error}); copy or write it again."
    )


def _read_folder(path: Path) -> list[np.ndarray]:
    arrays = []
    for name in FILES:
        found = [each for each in (path / name, path / f"{name}.gz") if each.exists()]
        if not found:
            raise ValueError(f"read_images: no {name} nor {name}.gz in folder {path.name}.")
        arrays.append(read_idx(found[0]))
    return arrays


def read_idx(path: Path) -> np.ndarray:
    """Read an array of bytes from an ``idx`` file, gzipped or not.

    Raises:
        ValueError: The file is no such file, or has another length than it says.

    References:
        LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits.
    """
    held = path.read_bytes()
    if path.suffix == ".gz":
        try:
            held = gzip.decompress(held)
        except _DAMAGED as error:
            raise _refuse_damaged(path, error) from error
    # Two zeros, 8 for bytes, the number of dimensions; then each of them in four bytes.
    ndim = held[3] if len(held) > 3 else 0
    shape = np.frombuffer(held, ">u4", min(ndim, (len(held) - 4) // 4), 4) if ndim else ()
    values = held[4 + 4 * ndim :]
    if held[:3] != b"\0\0\x08" or len(shape) != ndim or np.prod(shape, dtype=int) != len(values):
        raise ValueError(
            f"read_images: {path.name} is no idx file of bytes: it starts with "
            f"{held[:4].hex(' ')} and has {len(values)} values for shape "
            f"{tuple(map(int, shape))}."
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
