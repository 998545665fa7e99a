"""FCS files written byte by byte, as the standard has them, and gates beside them."""

import struct

import numpy as np
import pytest

from models.cytometry.fcs import FCSError, FCSWarning, read_fcs
from models.cytometry.reading import read_cells, read_gates

CHANNELS = ("FSC-A", "B530-A", "R660-A", "Time")
STAINS = ("", "CD4", "CD8", "")
EVENTS = np.array([[500.0, 10, 200, 1], [600, 400, 30, 2], [700, -20, 90, 3]])
SPILLOVER = "2,B530-A,R660-A,1,0.1,0.02,1"


def write_fcs(path, events=EVENTS, channels=CHANNELS, stains=STAINS, version="3.1", **more):
    """Write an FCS file: header of 58 bytes, text at 58, data after it."""
    kind, order = more.pop("datatype", "F"), more.pop("byteord", "1,2,3,4")
    code = {"F": "f", "D": "d", "I": "H"}[kind]
    data = struct.pack(f"{'<>'[order.startswith('4')]}{events.size}{code}", *_flat(events, kind))
    text = {"$BYTEORD": order, "$DATATYPE": kind, "$MODE": "L", "$NEXTDATA": "0"}
    text |= {"$PAR": str(len(channels)), "$TOT": str(len(events))}
    for n, (name, stain) in enumerate(zip(channels, stains, strict=True), start=1):
        bits = str(8 * struct.calcsize(code))
        text |= {f"$P{n}N": name, f"$P{n}B": bits, f"$P{n}E": "0,0", f"$P{n}R": "1024"}
        text |= {f"$P{n}S": stain} if stain else {}
    text |= {f"${key}": value for key, value in more.items()}

    def encode(first, last):
        ends = {} if version == "2.0" else {"$BEGINDATA": f"{first:08}", "$ENDDATA": f"{last:08}"}
        return ("/" + "".join(f"{k}/{v}/" for k, v in (text | ends).items())).encode()

    first = 58 + len(encode(0, 0))
    last = first + len(data) - 1
    header = f"FCS{version}    " + "".join(f"{n:>8}" for n in (58, first - 1, first, last, 0, 0))
    path.write_bytes(header.encode() + encode(first, last) + data)
    return path


def _flat(events, kind):
    return events.ravel().astype(int) if kind == "I" else events.ravel()


@pytest.mark.parametrize(
    ("version", "datatype", "byteord"),
    [("2.0", "I", "1,2,3,4"), ("3.0", "F", "4,3,2,1"), ("3.1", "D", "1,2,3,4")],
)
def test_versions_and_types(version, datatype, byteord, tmp_path):
    events = np.abs(EVENTS)
    path = write_fcs(
        tmp_path / "a.fcs", events, version=version, datatype=datatype, byteord=byteord
    )
    file = read_fcs(path, compensate=False)
    np.testing.assert_array_equal(file.events, events)
    assert file.version == version
    assert file.detectors == CHANNELS
    assert file.markers == ("FSC-A", "CD4", "CD8", "Time")
    assert file.kinds == ("scatter", "marker", "marker", "time")
    assert repr(file) == f"FCSFile(a.fcs: FCS {version}, 3 cells, 2 markers, not compensated)"


def test_gain_time_and_logarithms(tmp_path):
    more = {"P2G": "2.0", "TIMESTEP": "0.01", "P3E": "4,1"}
    path = write_fcs(tmp_path / "a.fcs", np.abs(EVENTS), **more)
    with pytest.warns(FCSWarning, match="stores R660-A as logarithms"):
        file = read_fcs(path, compensate=False)
    expected = np.abs(EVENTS)
    expected[:, 1] /= 2
    expected[:, 2] = 10 ** (4 * expected[:, 2] / 1024)
    expected[:, 3] *= 0.01
    np.testing.assert_allclose(file.events, expected, rtol=1e-12)


@pytest.mark.parametrize("key", ["SPILLOVER", "SPILL"])
def test_compensation_undoes_the_spillover(key, tmp_path):
    """True 100 and 0 are seen as 100 and 10; the channels of the matrix in another order."""
    spill = "2,R660-A,B530-A,1,0.02,0.1,1"
    events = np.array([[500.0, 100, 10, 1], [600, 4, 200, 2]])
    path = write_fcs(tmp_path / "a.fcs", events, **{key: spill})
    file = read_fcs(path)
    np.testing.assert_allclose(file.events[:, 1:3], [[100, 0], [0, 200]], atol=1e-9)
    np.testing.assert_array_equal(file.events[:, [0, 3]], events[:, [0, 3]])
    assert file.compensated
    assert not read_fcs(path, compensate=False).compensated


def test_no_spillover_is_a_warning(tmp_path):
    path = write_fcs(tmp_path / "a.fcs")
    with pytest.warns(FCSWarning, match="a.fcs has no spillover matrix and was not compensated"):
        read_fcs(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ("FSC-A", "B", "B", "Time")}, "two detectors .* called B;"),
        ({"stains": ("", "CD4", "CD4", "")}, "two markers .* called CD4;"),
        ({"SPILLOVER": "2,B530-A,G-A,1,0,0,1"}, "names G-A, which are not among"),
        ({"SPILLOVER": "2,B530-A,1,0,0,1"}, "expected a number n"),
        ({"version": "3.2"}, "is FCS 3.2, expected one of 2.0, 3.0, 3.1"),
        ({"NEXTDATA": "600"}, "holds several data sets"),
        ({"events": np.where(EVENTS == 90, np.nan, EVENTS)}, "1 of 3 events of a.fcs are not"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message, tmp_path):
    path = write_fcs(tmp_path / "a.fcs", **change)
    with pytest.raises(FCSError, match=message):
        read_fcs(path)


@pytest.mark.parametrize("kept", [20, 200, -6])
def test_a_truncated_file_is_refused(kept, tmp_path):
    path = write_fcs(tmp_path / "a.fcs")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FCSError, match=r"a.fcs is truncated or damaged .* copy or export it"):
        read_fcs(path)
    path.write_text("no flow")
    with pytest.raises(FCSError, match="an FCS file with b'FCS'"):
        read_fcs(path)


@pytest.fixture
def two(tmp_path):
    """Two files whose channels stand in different orders."""
    turned = [3, 2, 1, 0]
    pick = {"channels": CHANNELS[::-1], "stains": STAINS[::-1], "SPILLOVER": SPILLOVER}
    first = write_fcs(tmp_path / "a.fcs", SPILLOVER=SPILLOVER)
    return first, write_fcs(tmp_path / "b.fcs", EVENTS[:2, turned], **pick)


def test_several_files_are_one_data_set(two):
    data = read_cells(two, cofactor=5)
    matrix = np.array([[1, 0.1], [0.02, 1]])
    expected = np.arcsinh(EVENTS[[0, 1, 2, 0, 1], 1:3] @ np.linalg.inv(matrix) / 5)
    np.testing.assert_allclose(data.values, expected, rtol=1e-6)
    assert data.markers == ("CD4", "CD8")
    assert data.files == ("a.fcs", "b.fcs")
    np.testing.assert_array_equal(data.file, [0, 0, 0, 1, 1])
    assert set(data.extra) == {"FSC-A", "Time"}
    np.testing.assert_array_equal(data.extra["Time"], [1, 2, 3, 1, 2])
    by_detector = read_cells(two, markers=["R660-A"], cofactor=5)
    np.testing.assert_array_equal(by_detector.values, data.values[:, 1:])


def test_gates(two, tmp_path):
    gates = tmp_path / "gates.csv"
    gates.write_text("population\nT\nB\n\nT\nungated\n".replace("\n\n", '\n""\n'))
    data = read_cells(two, gates=gates)
    assert data.populations == ("B", "T", "ungated")
    np.testing.assert_array_equal(data.labels, [1, 0, -1, 1, 2])
    gates.write_text("file,cell,population\nb.fcs,1,T\na.fcs,2,B\n")
    labels, populations = read_gates(gates, ("a.fcs", "b.fcs"), (3, 2))
    assert populations == ("B", "T")
    np.testing.assert_array_equal(labels, [-1, -1, 0, -1, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate\nT\n", "has columns gate, expected population"),
        ("population\nT\n", "has 1 lines for 5 cells"),
        ("cell,population\n0,T\n", "expected population, file"),
        ("file,cell,population\na.fcs,3,T\n", "line 2 of gates.csv names cell '3' of 'a.fcs'"),
        ("file,cell,population\nc.fcs,0,T\n", "names cell '0' of 'c.fcs'"),
    ],
)
def test_gates_of_other_cells_are_refused(text, message, tmp_path):
    gates = tmp_path / "gates.csv"
    gates.write_text(text)
    with pytest.raises(FCSError, match=message):
        read_gates(gates, ("a.fcs", "b.fcs"), (3, 2))


def test_markers_and_cofactors_are_checked(two):
    with pytest.raises(FCSError, match=r"a.fcs has no CD19; it has FSC-A, CD4, CD8, Time"):
        read_cells(two, markers=["CD19"])
    with pytest.raises(ValueError, match="150 for flow cytometers, 5 for mass"):
        read_cells(two, cofactor=0)
    with pytest.raises(FCSError, match="two files of one name"):
        read_cells([two[0], two[0]])
