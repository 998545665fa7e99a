"""Coordinates that are bounded values, against their definition and finite differences."""

import numpy as np
from scipy import integrate, special, stats

from ppl_ext.npe.answers.amortized import Amortized
from ppl_ext.npe.features import Features, ObservedSite
from ppl_ext.npe.filing import SavedNPE
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import LearningLog
from ppl_ext.npe.soft_clip import SOFTNESS, SoftClip
from ppl_ext.storage import read_arrays, write_arrays

CLIP = SoftClip(np.array([*SOFTNESS, np.inf]))
LOGITS = np.linspace(-40, 40, 801)[:, None] * np.ones(len(SOFTNESS) + 1)


def test_the_way_back_is_a_soft_clip():
    y = CLIP.push(LOGITS)
    np.testing.assert_allclose(CLIP.pull(y), LOGITS, atol=1e-9)
    np.testing.assert_array_equal(y[:, -1], LOGITS[:, -1])
    s = np.array(SOFTNESS)
    # Softplus at both bounds, which cancels where a value is tiny.
    clipped = s * (np.logaddexp(0, y[:, :-1] / s) - np.logaddexp(0, (y[:, :-1] - 1) / s))
    np.testing.assert_allclose(clipped, special.expit(LOGITS[:, :-1]), atol=1e-12)


def test_slopes():
    z = LOGITS[np.abs(LOGITS[:, 0]) < 20]
    slope = (CLIP.push(z + 1e-5) - CLIP.push(z - 1e-5)) / 2e-5
    np.testing.assert_allclose(np.exp(CLIP.log_slope(z)), slope, rtol=1e-6)


def test_the_furthest_logits_are_finite():
    far = np.array([[-1e4], [1e4]]) * np.ones(len(SOFTNESS) + 1)
    np.testing.assert_allclose(CLIP.pull(CLIP.push(far)), far, rtol=1e-9)
    assert np.isfinite(CLIP.log_slope(far)).all()


def read_frame(z: np.ndarray, x: np.ndarray) -> tuple[Features, Frame]:
    features = Features.read([ObservedSite("x", (1,))], {"x": x})
    f, bounded = features.apply({"x": x}), np.ones(1, bool)
    return features, Frame.read(z, f, features.layout, bounded)


def test_a_frame_clips_what_the_data_tell_of_the_value_itself():
    rng = np.random.default_rng(0)
    theta, noise = rng.uniform(size=(5000, 1)), rng.normal(size=(5000, 1))
    near = read_frame(special.logit(theta), theta + 0.02 * noise)[1]
    assert near.clip.softness[0] <= 0.02
    assert near.scale_tril[0, 0] < 0.03  # the noise, all over the interval
    # Data that tell of the logit leave it.
    z = rng.normal(size=(5000, 1))
    assert not read_frame(z, z + 0.02 * noise)[1].clip.bent.any()


def test_the_density_of_a_clipped_coordinate_integrates_to_one():
    rng = np.random.default_rng(0)
    theta = rng.uniform(size=(5000, 1))
    features, frame = read_frame(special.logit(theta), theta + 0.1 * rng.normal(size=theta.shape))

    def log_q_u(u, f):
        return stats.norm.logpdf(u).sum(-1)

    amortized = Amortized(features, frame, lambda *_: np.zeros(0), log_q_u)
    z = np.linspace(-30, 60, 9001)
    log_q = amortized.log_q(z[None, :, None], {"x": np.array([[0.95]])})[0]
    assert frame.clip.bent.all()
    assert abs(integrate.trapezoid(np.exp(log_q), z) - 1) < 1e-3


def test_a_file_keeps_the_clip_and_an_earlier_one_has_none(tmp_path):
    rng = np.random.default_rng(0)
    theta = rng.uniform(size=(500, 1))
    features, frame = read_frame(special.logit(theta), theta + 0.02 * rng.normal(size=theta.shape))
    log = LearningLog(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), "", True, 1.0, 90, 10)
    saved = SavedNPE({"t": ()}, ["Flow", "MLP"], {}, features, frame, log, np.zeros((2, 1)))
    saved.write(tmp_path / "now", host="pyro", host_version="1.9.1")
    found = SavedNPE.read(tmp_path / "now", host="pyro").frame.clip
    np.testing.assert_array_equal(found.softness, frame.clip.softness)
    arrays, header = read_arrays(tmp_path / "now")
    del arrays["frame/softness"]
    own = {name: header[name] for name in header if name not in ("format", "ppl_ext_version")}
    write_arrays(tmp_path / "before", arrays, own)
    assert not SavedNPE.read(tmp_path / "before", host="pyro").frame.clip.bent.any()
