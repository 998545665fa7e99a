"""The way back from coordinates that are bounded values, as the hosts go it."""

from importlib import import_module

import numpy as np

from ppl_ext.npe.soft_clip import SoftClip

CLIP = SoftClip(np.array([0.01, 0.1, 0.5, np.inf]))
LOGITS = np.linspace(-9, 9, 25)[:, None] * np.ones(4)


def test_the_hosts_go_the_way_of_the_hall(host):
    unclip = import_module(f"ppl_ext.{host.name}.npe.soft_clip").Unclip
    with_softness = unclip(host.array(CLIP.softness))
    y = CLIP.push(LOGITS)
    at, logits = host.array(y), host.array(LOGITS)
    np.testing.assert_allclose(np.asarray(with_softness(at)), LOGITS, atol=2e-3)
    np.testing.assert_allclose(np.asarray(with_softness.inv(logits)), y, atol=1e-5)
    slopes = np.asarray(with_softness.log_abs_det_jacobian(at, logits))
    np.testing.assert_allclose(slopes, -CLIP.log_slope(LOGITS).sum(-1), atol=1e-3)
