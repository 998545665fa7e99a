"""Spectra as astronomers keep them: what is read, and what is refused with the line that helps."""

import re

import numpy as np
import pytest

from models.exoplanet.spectra import read_spectrum

# Written by astropy 8.0.2: a QTable of micrometres and percent.
PERCENT = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: wavelength, unit: um, datatype: float64}
# - {name: depth, unit: '%', datatype: float64}
# - {name: depth_err, unit: '%', datatype: float64}
# delimiter: ','
# meta: !!omap
# - {planet: WASP-39b}
# - {date: 3.0}
# - __serialized_columns__:
#     depth:
#       __class__: astropy.units.quantity.Quantity
#       unit: &id001 !astropy.units.Unit {unit: '%'}
#       value: !astropy.table.SerializedColumn {name: depth}
#     depth_err:
#       __class__: astropy.units.quantity.Quantity
#       unit: *id001
#       value: !astropy.table.SerializedColumn {name: depth_err}
#     wavelength:
#       __class__: astropy.units.quantity.Quantity
#       unit: !astropy.units.Unit {unit: um}
#       value: !astropy.table.SerializedColumn {name: wavelength}
# schema: astropy-2.0
wavelength,depth,depth_err
2.0,2.1,0.01
1.0,2.1999999999999997,0.02
1.5,2.15,0.015
"""
# A Table with a masked error, a text column and a description that YAML wraps.
RATIO = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: wl, unit: Angstrom, datatype: float64, description: 'a very long description of the \
wavelength column, with commas, {braces},
#     ''quotes'' and colons: so that the YAML wraps over several lines'}
# - {name: rprs, unit: '', datatype: float64}
# - {name: e, datatype: float64, format: '%.6f'}
# - {name: flag, datatype: string}
# schema: astropy-2.0
wl rprs e flag
20000.0 0.14491376746189438 0.0001 "a b"
10000.0 0.14832396974191325 "" c
15000.0 0.14662878298615178 0.00015 "d""e"
"""
# A QTable in metres and in the ppm of astropy.units.cds.
PPM = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: wl, unit: m, datatype: float64}
# - {name: d, unit: ppm, datatype: float64}
# - {name: e, unit: ppm, datatype: float64}
# meta: !!omap
# - __serialized_columns__:
#     d:
#       __class__: astropy.units.quantity.Quantity
#       unit: &id001 !astropy.units.Unit {unit: ppm}
#       value: !astropy.table.SerializedColumn {name: d}
#     wl:
#       __class__: astropy.units.quantity.Quantity
#       unit: !astropy.units.Unit {unit: m}
#       value: !astropy.table.SerializedColumn
#         __class__: astropy.utils.masked.core.MaskedNDArray
#         data: !astropy.table.SerializedColumn {name: wl}
# schema: astropy-2.0
wl d e
2e-06 21000.0 100.0
1e-06 22000.0 200.0
1.5e-06 21500.0 150.0
"""
WAVELENGTH, DEPTH, ERROR = [1.0, 1.5, 2.0], [0.022, 0.0215, 0.021], [2e-4, 1.5e-4, 1e-4]
ROWS = list(zip(WAVELENGTH, DEPTH, ERROR, strict=True))


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def call(text, name="planet.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return call


def check(found, wavelength=WAVELENGTH, depth=DEPTH, error=ERROR):
    np.testing.assert_allclose(found.wavelength, wavelength, rtol=1e-12)
    np.testing.assert_allclose(found.depth, depth, rtol=1e-12)
    np.testing.assert_allclose(found.error, error, rtol=1e-12)


def test_ecsv_with_percent_is_read_and_sorted(write):
    found = read_spectrum(write(PERCENT))
    check(found)
    assert found.dropped == ()
    assert found.edges is None
    assert repr(found) == "Spectrum(planet.txt: 3 bins from 1 to 2 um)"


def test_ecsv_with_ppm_and_metres_is_read(write):
    check(read_spectrum(write(PPM), depth="d", error="e"))


def test_ratios_of_radii_are_squared_and_masked_rows_dropped(write):
    columns = {"depth": "rprs", "error": "e", "depth_unit": "rp/rs", "error_unit": "rp/rs"}
    found = read_spectrum(write(RATIO), **columns)
    ratio, error = np.sqrt([0.0215, 0.021]), np.array([1.5e-4, 1e-4])
    check(found, [1.5, 2.0], [0.0215, 0.021], 2 * ratio * error)
    assert found.dropped == (12,)
    assert "1 rows dropped" in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "2.0 21000 100\n1.0 22000 200\n1.5 21500 150\n",
        "# um and ppm\n\n2.0,21000,100\n1.0,22000,200\n1.5,21500,150\n",
        "2.0;21000;100\n1.0;22000;200\n1.5;21500;150\n",
        "% a comment\n2.0\t21000\t100\n1.0\t22000\t200\n1.5\t21500\t150\n",
        "wave depth err\n2.0 21000 100\n1.0 22000 200\n1.5 21500 150\n",
        "# by somebody\n# wave depth err\n2.0 21000 100\n1.0 22000 200\n1.5 21500 150\n",
        "\ufeffdepth, error, WAVE\r\n21000, 100, 2.0\r\n22000, 200, 1.0\r\n21500, 150, 1.5\r\n",
    ],
    ids=["blanks", "commas", "semicolons", "tabs", "header", "comment", "windows"],
)
def test_plain_columns_are_read(write, text):
    check(read_spectrum(write(text), wavelength_unit="um", depth_unit="ppm"))


@pytest.mark.parametrize(
    "header",
    [
        "wave [um],transit_depth [ppm],err [ppm]",
        "# wave (micron) depth (ppm) error (ppm)",
        "# wave[µm] depth[ppm] error",
    ],
)
def test_units_are_read_behind_the_names(write, header):
    rows = ["2.0,21000,100", "1.0,22000,200", "1.5,21500,150"]
    rows = rows if "," in header else [row.replace(",", " ") for row in rows]
    check(read_spectrum(write("\n".join([header, *rows]))))


@pytest.mark.parametrize(
    ("unit", "per_um"),
    [
        *(("um", 1), ("µm", 1), ("μm", 1), ("microns", 1), ("Micron", 1), ("nm", 1e3)),
        *(("Angstrom", 1e4), ("AA", 1e4), ("Å", 1e4), ("cm", 1e-4), ("m", 1e-6)),
    ],
)
def test_lengths_are_those_of_the_unit(write, unit, per_um):
    text = "".join(f"{x * per_um!r} {d!r} {e!r}\n" for x, d, e in ROWS)
    check(read_spectrum(write(text), wavelength_unit=unit, depth_unit="fraction"))


@pytest.mark.parametrize(("unit", "per_one"), [("fraction", 1), ("percent", 100), ("ppm", 1e6)])
def test_depths_are_those_of_the_unit(write, unit, per_one):
    text = "".join(f"{x} {d * per_one!r} {e!r}\n" for x, d, e in ROWS)
    units = {"wavelength_unit": "um", "depth_unit": unit, "error_unit": "fraction"}
    check(read_spectrum(write(text), **units))


@pytest.mark.parametrize("sign", [1, -1])
def test_two_errors_are_kept_and_their_mean_taken(write, sign):
    text = f"1.0 0.022 2e-4 {sign * 3e-4}\n2.0 0.021 1e-4 {sign * 1e-4}\n"
    units = {"wavelength_unit": "um", "depth_unit": "fraction"}
    found = read_spectrum(write(text), wavelength=0, depth=1, error=(2, 3), **units)
    np.testing.assert_allclose(found.upper, [2e-4, 1e-4])
    np.testing.assert_allclose(found.lower, [3e-4, 1e-4])
    np.testing.assert_allclose(found.error, [2.5e-4, 1e-4])


def test_bins_are_read_in_the_unit_of_the_wavelengths(write):
    units = {"wavelength_unit": "nm", "depth_unit": "fraction", "depth": "depth"}
    path = write("wave half depth err\n2000 100 0.021 1e-4\n1000 50 0.022 2e-4\n")
    found = read_spectrum(path, half_width="half", **units)
    np.testing.assert_allclose(found.edges, [[0.95, 1.05], [1.9, 2.1]])
    path = write("wave low high depth err\n2000 1.8e3 2100 0.021 1e-4\n1000 900 1050 0.022 2e-4\n")
    found = read_spectrum(path, edges=("high", "low"), **units)
    np.testing.assert_allclose(found.edges, [[0.9, 1.05], [1.8, 2.1]])


TEXT = "wave depth err\n1.0 0.022 2e-4\n1.5 0.0215 1.5e-4\n{}\n"
UNITS = {"wavelength_unit": "um", "depth_unit": "fraction"}


@pytest.mark.parametrize(
    "row", ["2.0 nan 1e-4", "2.0 0.021 inf", "-- 0.021 1e-4", "2.0 0.021 N/A"]
)
def test_rows_that_lack_a_number_are_dropped_and_counted(write, row):
    found = read_spectrum(write(TEXT.format(row)), **UNITS)
    check(found, WAVELENGTH[:2], DEPTH[:2], ERROR[:2])
    assert found.dropped == (4,)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2.0 0.021 0", "line 4 of planet.txt has 0 in 'err'; expected a positive error"),
        ("2.0 0.021 -1e-4", "line 4 .* has -0.0001 in 'err'; expected a positive error"),
        ("-2.0 0.021 1e-4", "line 4 .* expected a positive wavelength"),
        ("1.5 0.021 1e-4", "line 3 .* comes again in line 4"),
        ("2.0 21000 1e-4", "line 4 .* has 21000 in 'depth'; .* depth_unit='ppm'"),
        ("2.0 0,021 1e-4", "line 4 .* has '0,021' in 'depth'; .* decimal point"),
        ("2.0 0.021", "line 4 .* has 2 cells; expected 3"),
    ],
    ids=["zero", "negative", "wavelength", "twice", "unit", "comma", "short"],
)
def test_rows_that_cannot_be_meant_are_refused_by_line(write, row, message):
    text = TEXT.format(row)
    with pytest.raises(ValueError, match=f"read_spectrum: {message}"):
        read_spectrum(write(text), **UNITS)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (TEXT, {"wavelength_unit": "parsec"}, "'wave' is in 'parsec', .* wavelength_unit='um'"),
        (TEXT, {"wavelength_unit": None}, "does not tell the unit of 'wave'"),
        (TEXT, {"depth_unit": None}, "does not tell the unit of 'depth'"),
        (TEXT, {"depth_unit": "mmag"}, "'depth' is in 'mmag'"),
        (TEXT, {"error_unit": "rp/rs"}, "'err' .* both of radii or both of depths"),
        (TEXT, {"depth": "rprs"}, r"no column 'rprs'; its columns are \['wave', 'depth', 'err'\]"),
        (TEXT, {"depth": 7}, "no column 7"),
        (TEXT, {"edges": (1, 2)}, "expected a wavelength between 'depth' and 'err'"),
        (TEXT, {"edges": (0, 0), "half_width": "err"}, "both half_width='err' and edges"),
        (TEXT.replace("err", "sigma"), {}, "no usual name of the error"),
        (TEXT.replace("depth", "err"), {}, "no usual name of the depth"),
        ("1 2 3 4\n", {}, "4 columns without names"),
        ("wave depth err\n1.0 nan 1e-4\n", {}, "every row .* lacks a number"),
        ("# nothing\n", {}, "has no row of numbers"),
        ("| wave | depth |\n", {}, "IPAC table"),
        (RATIO, {"depth": "rprs", "error": "e", "depth_unit": None}, "'rprs' is a plain number"),
    ],
)
def test_files_and_arguments_that_do_not_fit_are_refused(write, text, arguments, message):
    with pytest.raises(ValueError, match=f"read_spectrum: .*{message}"):
        read_spectrum(write(text.replace("{}", "2.0 0.021 1e-4")), **UNITS | arguments)


def test_a_negative_error_that_comes_first_is_refused_with_the_line_that_swaps(write):
    path = write("1.0 0.022 -2e-4 2e-4\n")
    columns = {"wavelength": 0, "depth": 1, "error": (2, 3)}
    line = re.escape("error=('column 3', 'column 2')")
    with pytest.raises(ValueError, match=f"are negative; .* first: {line}"):
        read_spectrum(path, **columns, **UNITS)


def test_a_negative_ratio_of_radii_is_refused(write):
    with pytest.raises(ValueError, match=r"line 4 .* expected a ratio of radii"):
        read_spectrum(write(TEXT.format("2.0 -0.1 1e-4")), **UNITS | {"depth_unit": "rp/rs"})
