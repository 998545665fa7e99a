"""The JAX kernel against the compiled one, on one device, on several, and in several processes."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from ppl_ext.factorization import (
    ARD,
    Fixed,
    Isotropic,
    MatrixFactorization,
    Noise,
    load_factors,
    read_ratings,
    simulate_ratings,
)
from ppl_ext.numpyro.factorization import fit_on_devices
from ppl_ext.numpyro.factorization.layout import (
    count_chunks,
    cut_segments,
    deal_rows,
    fit_sizes,
)
from tests.numpyro.fit_part import MODEL

RATINGS = simulate_ratings(num_users=120, num_items=50, density=0.15, seed=4).ratings
WORKER = Path(__file__).parent / "fit_part.py"
ROOT = Path(__file__).parents[2]


def fit_both(ratings=RATINGS, num_factors=3, start=None, **settings):
    settings = {"dtype": np.float64, "max_sweeps": 6, "tolerance": 0, "num_threads": 1, **settings}
    model = MatrixFactorization(num_factors, **settings)
    compiled = model.fit(ratings, start=start, progress_bar=False)
    return compiled, fit_on_devices(model, ratings, start=start, progress_bar=False)


def assert_same(ours, theirs, rtol=1e-10):
    np.testing.assert_allclose(ours.elbo, theirs.elbo, rtol=rtol)
    assert ours.noise_precision == pytest.approx(theirs.noise_precision, rel=rtol)
    for one, other in ((ours.users, theirs.users), (ours.items, theirs.items)):
        assert np.array_equal(one.ids, other.ids)
        for name in ("table", "summary", "shape", "rate"):
            values = getattr(other, name)
            slack = rtol * np.abs(values).max()
            np.testing.assert_allclose(getattr(one, name), values, rtol=100 * rtol, atol=slack)
        np.testing.assert_allclose(one.prior.precision, other.prior.precision, rtol=100 * rtol)
        assert one.concentration == pytest.approx(other.concentration, rel=100 * rtol)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"biases": False, "diagonal": True, "user_prior": ARD(), "noise": Noise(by_item=False)},
        {"user_prior": Fixed(0.3), "item_prior": Isotropic(), "noise": Noise(0.5, False, False)},
    ],
)
def test_fit_is_that_of_the_compiled_kernel(settings):
    compiled, ours = fit_both(**settings)
    assert_same(ours, compiled)
    pairs = RATINGS.user_ids[:20], RATINGS.item_ids[:20]
    np.testing.assert_allclose(ours.predict(*pairs).sd, compiled.predict(*pairs).sd, rtol=1e-8)


def test_single_precision_agrees_within_its_rounding():
    compiled, ours = fit_both(dtype=np.float32)
    assert ours.users.table.dtype == np.float32
    np.testing.assert_allclose(ours.elbo, compiled.elbo, rtol=1e-6)
    assert not jax.config.jax_enable_x64


def test_ratings_far_from_zero_are_told_apart():
    far = replace(RATINGS, values=RATINGS.values.astype(np.float64) + 1e6)
    compiled, ours = fit_both(far)
    np.testing.assert_allclose(ours.elbo, compiled.elbo, rtol=1e-6)
    assert_same(fit_both()[0], compiled, rtol=1e-6)


def test_fit_goes_on_from_other_factors():
    compiled, ours = fit_both()
    longer = fit_both(start=ours, max_sweeps=2)
    assert_same(longer[1], longer[0], rtol=1e-9)
    assert longer[1].sweeps == compiled.sweeps + 2


def test_fit_stops_by_itself():
    compiled, ours = fit_both(max_sweeps=100, tolerance=5e-3)
    assert len(ours.elbo) == len(compiled.elbo) < 100
    assert ours.log.converged


def test_rows_without_ratings_have_the_prior():
    ratings = read_ratings(([0, 2], [1, 1], [3.0, 4.0]), user_ids=np.arange(3),
                           item_ids=np.arange(2))  # fmt: skip
    compiled, ours = fit_both(ratings, 2, max_sweeps=2)
    assert_same(ours, compiled, rtol=1e-9)


def test_features_are_refused():
    model = MatrixFactorization(2, max_sweeps=1)
    features = np.random.default_rng(0).normal(size=(RATINGS.num_items, 2))
    start = model.fit(RATINGS, item_features=features, progress_bar=False)
    with pytest.raises(ValueError, match="fit_on_devices: start was fitted with features"):
        fit_on_devices(model, RATINGS, start=start)


def test_no_devices_are_refused():
    with pytest.raises(ValueError, match=r"devices= has \[0\] devices of the processes in turn"):
        fit_on_devices(MatrixFactorization(2), RATINGS, devices=[])


@pytest.mark.parametrize("devices", [1, 3])
def test_segments_hold_every_rating_once(devices):
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, 40, 500) ** 2 // 40)
    columns, values = rng.integers(0, 30, 500), rng.normal(size=500).astype(np.float32)
    counts = np.bincount(rows, minlength=41)
    deal = deal_rows(counts, fit_sizes(-(-41 // devices), 500, 600), devices)
    places = deal.slots.reshape(-1) % deal.places
    assert deal.sizes.blocks > 1
    assert places.max() < deal.places - 1
    segments = cut_segments(deal, rows, columns, values, 99, count_chunks(deal, rows))
    kept = segments.columns != 99
    assert kept.sum() == 500
    sums = np.zeros((devices, deal.sizes.blocks, deal.sizes.rows))
    at = np.broadcast_to(segments.owners[..., None], kept.shape)
    device, block = np.indices(kept.shape)[:2]
    np.add.at(sums, (device[kept], block[kept], at[kept]), segments.values[kept])
    expected = np.bincount(rows, values, minlength=41)
    np.testing.assert_allclose(sums.ravel()[deal.slots], expected, rtol=1e-6)


def run_parts(folder, parts, flags=""):
    """Fit in so many processes, and load what each of them found."""
    path = Path(folder, "ratings.csv")
    table = zip(RATINGS.users + 1000, RATINGS.items + 500, RATINGS.values, strict=True)
    lines = "".join(f"{user},{item},{value:.9g}\n" for user, item, value in table)
    path.write_text("user,item,rating\n" + lines)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + flags,
                   "JAX_PLATFORMS": "cpu", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
    command = [sys.executable, "-W", "error", str(WORKER), str(path), str(folder)]
    workers = [
        subprocess.Popen(
            [*command, str(part), str(parts), str(port)],
            env={**environment, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        )
        for part in range(parts)
    ]  # fmt: skip
    for worker in workers:
        _, messages = worker.communicate(timeout=300)
        assert worker.returncode == 0, messages
    expected = MODEL.fit(read_ratings(path), progress_bar=False)
    return expected, [load_factors(Path(folder, f"{part}.safetensors")) for part in range(parts)]


@pytest.mark.parametrize(("parts", "devices"), [(1, 4), (3, 2)])
def test_parts_make_the_whole(tmp_path, parts, devices):
    flags = f" --xla_force_host_platform_device_count={devices}" if devices > 1 else ""
    expected, found = run_parts(tmp_path, parts, flags)
    users = np.concatenate([each.users.ids for each in found])
    assert np.array_equal(np.sort(users), expected.users.ids)
    for each in found:
        np.testing.assert_allclose(each.elbo, expected.elbo, rtol=1e-10)
        np.testing.assert_allclose(each.items.table, expected.items.table, rtol=1e-7, atol=1e-10)
        ours = each.predict(each.users.ids[:, None], each.items.ids)
        theirs = expected.predict(each.users.ids[:, None], each.items.ids)
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-8)
        np.testing.assert_allclose(ours.sd, theirs.sd, rtol=1e-8)
