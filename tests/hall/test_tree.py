"""The ArviZ layout: dimensions, labels, names, refusals, files."""

import re

import numpy as np
import pytest
import xarray

from ppl_ext import __version__
from ppl_ext.draws import build_tree


def test_plate_axes_are_named_and_event_axes_numbered():
    tree = build_tree(
        {
            "mu": np.zeros(6),
            "theta": np.arange(24.0).reshape(6, 4),
            "corr": np.zeros((6, 4, 2, 2)),
        },
        chains=2,
        dims={"theta": ("school",), "corr": ("school",)},
        coords={"school": list("abcd")},
    )
    posterior = tree["posterior"]
    assert posterior["mu"].dims == ("chain", "draw")
    assert posterior["theta"].dims == ("chain", "draw", "school")
    assert posterior["corr"].dims == ("chain", "draw", "school", "corr_dim_1", "corr_dim_2")
    assert posterior["school"].values.tolist() == list("abcd")
    assert posterior["corr_dim_1"].values.tolist() == [0, 1]
    # Chains are stored one after the other.
    assert posterior["theta"].sel(chain=1, draw=0, school="b") == 13.0


def test_groups_hold_what_was_given_and_no_more():
    everything = build_tree(
        {"mu": np.zeros(4)},
        sample_stats={"lp": np.zeros(4)},
        log_likelihood={"y": np.zeros((4, 3))},
        posterior_predictive={"y": np.zeros((4, 3))},
        observed={"y": np.zeros(3)},
        dims={"y": ("datum",)},
    )
    assert set(everything.children) == {
        "posterior", "sample_stats", "log_likelihood", "posterior_predictive", "observed_data",
    }  # fmt: skip
    assert everything["observed_data"]["y"].dims == ("datum",)
    assert everything["log_likelihood"]["y"].dims == ("chain", "draw", "datum")
    assert set(build_tree({"mu": np.zeros(4)}, observed={}).children) == {"posterior"}


def test_scalars_and_types_survive():
    tree = build_tree(
        {"flag": np.array([True, False]), "count": np.array([1, 2], dtype=np.int32),
         "x": np.zeros(2, dtype=np.float32)},
        log_likelihood={"y": np.zeros(2)},
        observed={"y": np.array(3.5), "one": np.array([3.5])},
    )  # fmt: skip
    assert tree["observed_data"]["y"].shape == ()
    assert tree["observed_data"]["one"].shape == (1,)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw")
    assert tree["posterior"]["flag"].dtype == np.bool_
    assert tree["posterior"]["count"].dtype == np.int32
    assert tree["posterior"]["x"].dtype == np.float32


def test_log_likelihood_of_vector_data_drops_the_event_axis():
    tree = build_tree(
        {"mu": np.zeros(4)},
        log_likelihood={"y": np.zeros((4, 5))},
        observed={"y": np.zeros((5, 2))},
        dims={"y": ("person", "outcome")},
    )
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "person")
    assert tree["observed_data"]["y"].dims == ("person", "outcome")


def test_empty_axis_is_kept():
    tree = build_tree({"theta": np.zeros((4, 0))}, dims={"theta": ("school",)})
    assert tree["posterior"]["theta"].sizes["school"] == 0


def test_slashes_of_scoped_sites_become_dots():
    tree = build_tree({"layer/w": np.zeros((4, 2))})
    assert tree["posterior"]["layer.w"].dims == ("chain", "draw", "layer.w_dim_0")


REFUSALS = {
    "two sizes of one plate": (
        {"posterior": {"a": np.zeros((4, 8)), "b": np.zeros((4, 1))},
         "dims": {"a": ("school",), "b": ("school",)}},
        "dimension 'school' has size 8 in site 'a' and 1 in site 'b'",
    ),
    "more names than axes": (
        {"posterior": {"a": np.zeros((4, 8))}, "dims": {"a": ("i", "j")}},
        "dims['a'] names ('i', 'j'), but a value of 'a' in group 'posterior' has shape (8,)",
    ),
    "one name twice": (
        {"posterior": {"a": np.zeros((4, 8, 8))}, "dims": {"a": ("i", "i")}},
        "two axes cannot share a name",
    ),
    "plate called draw": (
        {"posterior": {"a": np.zeros((4, 8))}, "dims": {"a": ("draw",)}},
        "site 'a' has a dimension called 'draw'",
    ),
    "observed plate called chain": (
        {"posterior": {"a": np.zeros(4)}, "observed": {"y": np.zeros(2)},
         "dims": {"y": ("chain",)}},
        "site 'y' has a dimension called 'chain'",
    ),
    "site called chain": ({"posterior": {"chain": np.zeros(4)}}, "'chain' names a site and a"),
    "site called as its plate": (
        {"posterior": {"school": np.zeros((4, 8))}, "dims": {"school": ("school",)}},
        "'school' names a site and a dimension of group 'posterior'",
    ),
    "slash and dot": (
        {"posterior": {"a/w": np.zeros(4), "a.w": np.zeros(4)}},
        "two sites of group 'posterior' are both called 'a.w'",
    ),
    "chains do not divide": (
        {"posterior": {"a": np.zeros(5)}, "chains": 2},
        "'a' in group 'posterior' has shape (5,)",
    ),
    "no draw axis": ({"posterior": {"a": np.array(1.0)}}, "'a' in group 'posterior' has shape ()"),
    "no draws": ({"posterior": {"a": np.zeros((0, 3))}}, "has shape (0, 3)"),
    "too few labels": (
        {"posterior": {"a": np.zeros((4, 3))}, "dims": {"a": ("i",)}, "coords": {"i": [1, 2]}},
        "coords['i'] has shape (2,), but 'i' has size 3 in site 'a'",
    ),
    "labels of nothing": (
        {"posterior": {"a": np.zeros(4)}, "coords": {"shool": [1]}}, "coords names ['shool']",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_clashes_are_refused_by_name(case):
    arguments, message = REFUSALS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        build_tree(**arguments)


def test_netcdf_round_trip(tmp_path):
    tree = build_tree(
        {"layer/w": np.random.default_rng(0).normal(size=(6, 2)), "flag": np.ones(6, dtype=bool)},
        chains=3,
        sample_stats={"lp": np.arange(6.0)},
        observed={"y": np.array(2.5)},
        dims={"layer/w": ("unit",)},
        coords={"unit": ["left", "right"]},
        attrs={"resampled": 1, "khat": 0.25},
    )
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as back:
        xarray.testing.assert_identical(back.load(), tree)
        assert back.attrs == {"ppl_ext_version": __version__, "resampled": 1, "khat": 0.25}
        assert back["observed_data"]["y"].shape == ()
