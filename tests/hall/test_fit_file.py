"""A fit's file holds what was put into it, and is refused where it does not belong."""

import numpy as np
import pytest

from ppl_ext.fit_file import SavedFit, check_guide_kind, read_fit
from ppl_ext.fitting import FitLog
from ppl_ext.gaussian_vi import GaussianSolution

LOG = FitLog(
    np.array([2.0, 1.0]),
    "converged",
    True,
    seconds=0.1,
    start_losses=(1.0, 3.0),
    notes=("a note",),
    dropped_starts=1,
)
SOLUTION = GaussianSolution(np.zeros(2), np.ones(2), -1.0, 1e-5, 0.01, 256, True, LOG)


def write(path, solution=SOLUTION):
    saved = SavedFit(
        "AutoMeanField", {"mu": (2,)}, {"loc": np.arange(2.0)}, LOG, solution, {"x64": True}
    )
    saved.write(path, host="pyro", host_version="1.9.1")


def test_what_was_written_is_read(tmp_path):
    write(tmp_path / "fit")
    saved = read_fit(tmp_path / "fit", host="pyro", guides={"AutoMeanField"})
    assert saved.log.start_losses == (1.0, 3.0)
    assert saved.log.notes == ("a note",)
    assert saved.log.dropped_starts == 1
    np.testing.assert_array_equal(saved.log.losses, LOG.losses)
    np.testing.assert_array_equal(saved.params["loc"], [0.0, 1.0])
    np.testing.assert_array_equal(saved.solution.scale, SOLUTION.scale)
    assert (saved.solution.elbo, saved.solution.num_draws) == (-1.0, 256)
    assert saved.settings == {"x64": True}
    saved.check_sites(tmp_path / "fit", {"mu": (2,)})


def test_a_stochastic_fit_has_no_solution(tmp_path):
    write(tmp_path / "fit", solution=None)
    saved = read_fit(tmp_path / "fit", host="pyro", guides={"AutoMeanField"})
    assert saved.solution is None


def test_a_file_of_another_host_guide_or_model_is_refused(tmp_path):
    path = tmp_path / "fit"
    write(path)
    with pytest.raises(ValueError, match=r"fit of pyro with .*ppl_ext.pyro.load"):
        read_fit(path, host="numpyro", guides={"AutoMeanField"})
    with pytest.raises(ValueError, match=r"expected pyro and one of AutoFullRank\."):
        read_fit(path, host="pyro", guides=["AutoFullRank"])
    saved = read_fit(path, host="pyro", guides={"AutoMeanField"})
    with pytest.raises(ValueError, match=r"sites \{'mu': \(2,\)\}.*has \{'mu': \(3,\)\}"):
        saved.check_sites(path, {"mu": (3,)})


def test_only_known_guides_are_saved():
    class AutoMeanField:
        """Another guide of the same name."""

    assert check_guide_kind(LOG, {"FitLog": FitLog}, "") == "FitLog"
    with pytest.raises(ValueError, match=r"a AutoMeanField; .*Keep .*: numpy.savez\(path\)\."):
        check_guide_kind(AutoMeanField(), {"AutoMeanField": FitLog}, "numpy.savez(path)")
