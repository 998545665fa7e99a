"""One FCS file: its events as the standard means them, and the names of its channels."""

import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FCSError", "FCSFile", "FCSWarning", "read_fcs"]

VERSIONS = ("2.0", "3.0", "3.1")
SPILLOVER_KEYS = ("spillover", "spill", "comp")  # of the standard, and of two makers before it


# What flowio raises, beside its own errors, where numbers or marks of the text are others.
_DAMAGED = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    re.error,
    struct.error,
)


class FCSError(ValueError):
    """A file that cannot be read as cells; the message says what to do."""


class FCSWarning(UserWarning):
    """Something in a file that was read in one of several ways."""


@dataclass(frozen=True, eq=False, repr=False)
class FCSFile:
    """Events of one file on a linear scale, compensated where the file tells how.

    Attributes:
        events: ``[cell, channel]``, float64: divided by the gain, time in seconds, channels that
            were stored as logarithms undone, compensated.
        detectors: Name of each channel's detector (PnN), which the spillover refers to.
        markers: What stains it (PnS), or the detector's name where the file does not tell.
        kinds: "marker", "scatter" or "time" for each channel.
        compensated: Whether the file had a spillover matrix, which was undone.
        version: Of the standard.
        source: Name of the file.
    """

    events: np.ndarray
    detectors: tuple[str, ...]
    markers: tuple[str, ...]
    kinds: tuple[str, ...]
    compensated: bool
    version: str
    source: str

    def __repr__(self) -> str:
        return (
            f"FCSFile({self.source}: FCS {self.version}, {len(self.events)} cells, "
            f"{self.kinds.count('marker')} markers, "
            f"{'compensated' if self.compensated else 'not compensated'})"
        )


def read_fcs(path: str | Path, *, compensate: bool = True) -> FCSFile:
    """Read an FCS file of version 2.0, 3.0 or 3.1, with the extra ``cytometry`` (flowio).

    Gains are divided out, time is multiplied by its step, and logarithmic channels are undone:
    other readers give the numbers as they are stored.

    Args:
        path: File.
        compensate: Whether to undo the spillover by the file's own matrix. False where it has
            been undone already.

    Returns:
        The events.

    Raises:
        FCSError: No FCS file, another version, a truncated file, several data sets in one, two
            channels of one name, a spillover of channels that the file does not have.

    Warns:
        FCSWarning: No spillover matrix, or channels that were stored as logarithms.

    References:
        Spidlen et al. (2010), Data File Standard for Flow Cytometry, version FCS 3.1,
        Cytometry A 77, doi:10.1002/cyto.a.20825.
    """
    source = Path(path).name
    flow = _open(Path(path), source)
    if flow.version not in VERSIONS:
        raise FCSError(
            f"read_fcs: {source} is FCS {flow.version}, expected one of {', '.join(VERSIONS)}; "
            "export it as FCS 3.1 from the program that wrote it."
        )
    detectors = tuple(name.strip() for name in flow.pnn_labels)
    markers = tuple(
        stain.strip() or name for stain, name in zip(flow.pns_labels, detectors, strict=True)
    )
    for kind, names in (("detectors ($PnN)", detectors), ("markers ($PnS)", markers)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FCSError(
                f"read_fcs: {source} has two {kind} called {', '.join(twice)}; rename one of them "
                "in the file, or nobody can tell which is meant."
            )
    events = flow.as_array(preprocess=True)
    if not np.isfinite(events).all():
        raise FCSError(
            f"read_fcs: {int((~np.isfinite(events).all(1)).sum())} of {len(events)} events of "
            f"{source} are not finite; export it again without them."
        )
    logarithmic = [detectors[n - 1] for n, each in flow.channels.items() if each["pne"][0] > 0]
    if logarithmic:
        _warn(
            f"{source} stores {', '.join(logarithmic)} as logarithms ($PnE), which were undone; "
            "the values are on a linear scale, as those of the other channels."
        )
    kinds = tuple(_tell_kind(name) for name in detectors)
    text = next((flow.text[key] for key in SPILLOVER_KEYS if flow.text.get(key, "").strip()), None)
    if compensate and text is None:
        _warn(
            f"{source} has no spillover matrix and was not compensated; where that has been done "
            "before, or for a mass cytometer, say `compensate=False`."
        )
    compensated = compensate and text is not None
    if compensated:
        events = _compensate(events, detectors, text, source)
    return FCSFile(events, detectors, markers, kinds, compensated, flow.version, source)


def _open(path: Path, source: str) -> Any:
    try:
        import flowio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "read_fcs: FCS files are read by flowio, which is not installed; "
            'pip install "ppl-ext[cytometry]" brings it.'
        ) from error
    # The file is opened here, since flowio leaves it open where it fails.
    with path.open("rb") as file:
        start = file.read(3)
        if start != b"FCS":
            raise FCSError(f"read_fcs: {source} begins with {start!r}, an FCS file with b'FCS'.")
        try:
            return flowio.FlowData(file)
        except flowio.exceptions.MultipleDataSetsError as error:
            raise FCSError(
                f"read_fcs: {source} holds several data sets; write each into a file of its own, "
                "by `flowio.read_multiple_data_sets`."
            ) from error
        except (flowio.exceptions.FlowIOException, *_DAMAGED) as error:
            raise FCSError(
                f"read_fcs: {source} is truncated or damaged ({type(error).__name__}: {error}), "
                f"at {path.stat().st_size} bytes; copy or export it again."
            ) from error


def _warn(message: str) -> None:
    warnings.warn(f"read_fcs: {message}", FCSWarning, stacklevel=3)


def _tell_kind(detector: str) -> str:
    name = detector.lower()
    if name == "time":
        return "time"
    return "scatter" if name.startswith(("fsc", "ssc")) else "marker"


def _compensate(
    events: np.ndarray, detectors: tuple[str, ...], text: str, source: str
) -> np.ndarray:
    """Solve ``seen = true @ spillover`` for the channels that the matrix names."""
    words = [word.strip() for word in text.split(",")]
    count = int(words[0]) if words[0].isdecimal() else 0
    if count == 0 or len(words) != 1 + count + count**2:
        raise FCSError(
            f"read_fcs: the spillover of {source} says {words[0]!r} channels and has {len(words)} "
            "words, expected a number n, n names and n * n numbers; say `compensate=False`."
        )
    names = words[1 : 1 + count]
    absent = [name for name in names if name not in detectors]
    if absent:
        raise FCSError(
            f"read_fcs: the spillover of {source} names {', '.join(absent)}, which are not among "
            f"its detectors {', '.join(detectors)}; say `compensate=False`."
        )
    places = [detectors.index(name) for name in names]
    compensated = events.copy()
    try:
        matrix = np.array(words[1 + count :], float).reshape(count, count)
        compensated[:, places] = np.linalg.solve(matrix.T, events[:, places].T).T
    except (ValueError, np.linalg.LinAlgError) as error:
        raise FCSError(
            f"read_fcs: the spillover of {source} cannot be undone ({error}); expected numbers "
            "of a matrix that has an inverse. Say `compensate=False`, or export the file again."
        ) from error
    if not np.isfinite(compensated).all():
        raise FCSError(
            f"read_fcs: events of {source} are not finite after its spillover was undone; look at "
            "its numbers, or say `compensate=False`."
        )
    return compensated
