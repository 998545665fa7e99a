"""The auto-encoder: its scores against SciPy, its bound in either form, fits without each term."""

import gzip
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from models.vae.data import Images, load_digits
from models.vae.demo import draw_pictures
from models.vae.reading import FILES, NAMES, read_images
from models.vae.result import (
    VAEFit,
    divergence,
    log_likelihood,
    score_pixels,
    tell_apart,
)
from models.vae.settings import Settings
from tests.hosts import HOST_NAMES, MAKERS

SMALL = Settings(dim=3, hidden=64, batch=40, epochs=25, step_size=1e-2)


def grey_images(count=40):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 9), dtype=np.uint8)
    labels = np.arange(count) % 3
    return Images(pixels, pixels[:10], labels, labels[:10], brightest=255, levels=1)


def test_files(tmp_path):
    """The same images from an archive and from idx files, gzipped and not."""
    images = grey_images()
    parts = [images.train, images.test, images.train_labels, images.test_labels]
    arrays = [each.astype(np.uint8) for each in parts]
    arrays[:2] = [each.reshape(-1, 3, 3) for each in arrays[:2]]
    np.savez(tmp_path / "all.npz", **dict(zip(NAMES, arrays, strict=True)))
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, array in zip(FILES, arrays, strict=True):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / name).write_bytes(head + array.tobytes())
    packed = folder / FILES[0]
    (folder / f"{FILES[0]}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    for path in (tmp_path / "all.npz", folder):
        found = read_images(path)
        np.testing.assert_array_equal(found.train, images.train)
        np.testing.assert_array_equal(found.test_labels, images.test_labels)
    (folder / FILES[1]).write_bytes(b"\0\0\x08\x03 too short")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte is no idx file of bytes"):
        read_images(folder)
    (folder / FILES[1]).unlink()
    with pytest.raises(ValueError, match="no t10k-images-idx3-ubyte nor"):
        read_images(folder)
    np.savez(tmp_path / "some.npz", x_train=arrays[0])
    with pytest.raises(ValueError, match=r"some.npz has x_train, expected x_train, x_test"):
        read_images(tmp_path / "some.npz")


def test_what_is_no_images_is_refused():
    images = grey_images()
    with pytest.raises(ValueError, match="levels=16 and brightest=255"):
        replace(images, levels=16)
    with pytest.raises(ValueError, match=r"test has pixels from 0 to \d+, expected 0 to 200"):
        replace(images, train=images.train // 2, brightest=200)
    with pytest.raises(ValueError, match=r"train has shape \(40, 8\)"):
        replace(images, train=images.train[:, :8])


def test_counts_are_drawn_with_their_greys():
    """Anew for training, the same for the test; each image once an epoch."""
    images = grey_images()
    generator = np.random.default_rng(0)
    drawn = np.mean([images.draw(images.train, generator) for _ in range(400)], 0)
    assert np.abs(drawn - images.train / 255).max() < 5 * 0.5 / 20
    np.testing.assert_array_equal(images.held_out, images.held_out)
    digits = load_digits(100)
    opened = digits.open_batches(20, seed=0)
    first, second = (np.concatenate([x for (x,) in opened(epoch)]) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch, 0), np.sort(digits.train, 0))
    rest, held_out = digits.hold_out(0.25, seed=0)
    both = np.concatenate([rest.train, *[x for (x,) in held_out]])
    np.testing.assert_array_equal(np.sort(both, 0), np.sort(digits.train, 0))


def test_scores_are_those_of_scipy():
    generator = np.random.default_rng(0)
    counts, logits = generator.integers(0, 17, (5, 7)), generator.normal(0, 2, (5, 7))
    expected = stats.binom(16, expit(logits)).logpmf(counts).sum(-1)
    np.testing.assert_allclose(log_likelihood(counts, logits, 16), expected, rtol=1e-10)
    expected = stats.bernoulli(expit(logits)).logpmf(counts > 8).sum(-1)
    np.testing.assert_allclose(log_likelihood(counts > 8, logits, 1), expected, rtol=1e-10)
    q = stats.norm(0.7, 0.3)
    expected = -q.entropy() - q.expect(stats.norm.logpdf)
    np.testing.assert_allclose(divergence(q.mean(), q.std())[None], expected, rtol=1e-6)


def test_points_of_one_sample_are_not_told_apart():
    first, second = np.random.default_rng(0).normal(size=(2, 500, 2))
    assert abs(tell_apart(first, second) - 0.5) < 0.06
    assert tell_apart(first, second + 20) == 1.0


@pytest.fixture(scope="module")
def line():
    """One latent number, whose posterior quadrature knows: ``(fit, log evidence, gap)``."""
    slope, level = np.array([1.5, -1.0, 0.5, 2.0]), np.array([0.2, 0.1, -0.3, 0.0])
    counts, loc, sd = np.array([[12, 3, 9, 14]]), 0.9, 0.4
    images = Images(counts, counts, np.zeros(1, int), np.zeros(1, int), 16, 16)

    def decode(z):
        return z * slope + level

    def encode(x):
        return np.full((len(x), 1), loc), np.full((len(x), 1), sd)

    def joint(z):
        likelihood = stats.binom(16, expit(decode(z))).logpmf(counts[0]).sum()
        return likelihood + stats.norm.logpdf(z)

    evidence = np.log(integrate.quad(lambda z: np.exp(joint(z)), -5, 5, epsabs=0)[0])
    q = stats.norm(loc, sd)

    def excess(z):
        return q.pdf(z) * (q.logpdf(z) - joint(z) + evidence)

    gap = integrate.quad(excess, loc - 10 * sd, loc + 10 * sd)[0]
    return VAEFit(images, Settings(dim=1), encode, decode, None), evidence, gap


def test_the_bound_is_the_evidence_less_the_divergence_from_the_posterior(line):
    fit, evidence, gap = line
    assert gap > 0.1
    assert fit.evidence(draws=20_000) == pytest.approx(evidence, abs=0.02)


def test_either_form_of_the_bound_has_the_same_mean(line):
    fit, evidence, gap = line
    for estimates in fit.estimate(draws=20_000):
        error = estimates.std() / 20_000**0.5
        assert 0 < error < 0.02
        assert abs(estimates.mean() - (evidence - gap)) < 4 * error


@pytest.fixture(scope="module", params=HOST_NAMES)
def host(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def program(host):
    return import_module(f"models.vae.on_{host.name}")


@pytest.fixture(scope="module")
def digits():
    return load_digits(600)


def host_loss(host, program, images, counts, name, particles, **changes):
    """The host's estimate for untrained networks, nats an image."""
    settings = replace(SMALL, **changes)
    counts, elbo = host.array(counts), getattr(host.ppl.infer, name)
    loss = elbo(num_particles=particles, vectorize_particles=True).loss
    if host.name == "pyro":
        with host.ppl.get_param_store().scope():
            autoencoder = host.random(program.Autoencoder, images, settings)
            autoencoder.guide.setup(counts)
            model, guide = autoencoder.choose_terms()
            total = host.random(loss, model, guide, counts, seed=1)
            posterior = autoencoder.guide.local_posterior(counts)
            loc, sd = posterior.mean.detach().numpy(), posterior.stddev.detach().numpy()
    else:
        autoencoder = host.random(program.Autoencoder, images, settings)
        params = host.random(autoencoder.guide.setup, counts)
        params["decoder"] = autoencoder.decoder
        total = host.random(loss, params, *autoencoder.choose_terms(), counts, seed=1)
        posterior = autoencoder.guide.local_posterior(params, counts)
        loc, sd = np.asarray(posterior.mean), np.asarray(posterior.variance) ** 0.5
    return float(total) / len(images.train), divergence(loc.astype(float), sd.astype(float)).mean()


def test_the_divergence_in_closed_form_is_that_of_draws(host, program, digits):
    counts = digits.draw(digits.train[:20], np.random.default_rng(0))
    given = host, program, digits, counts
    kl, expected = host_loss(*given, "TraceMeanField_ELBO", 1, reconstruct=False)
    assert kl == pytest.approx(expected, rel=1e-4)  # from one draw, without noise
    drawn, _ = host_loss(*given, "Trace_ELBO", 2000, reconstruct=False)
    assert drawn == pytest.approx(expected, abs=0.03)
    whole = [host_loss(*given, name, 500)[0] for name in ("TraceMeanField_ELBO", "Trace_ELBO")]
    assert whole[0] == pytest.approx(whole[1], abs=0.15)
    likelihood, _ = host_loss(*given, "TraceMeanField_ELBO", 500, regularise=False)
    assert likelihood + expected == pytest.approx(whole[0], abs=1e-3)


def test_pixels_of_one_level_are_coins(host, program):
    logits, counts = host.array([-2.0, 0.0, 3.0]), host.array([1.0, 0.0, 1.0])
    found = program.make_pixels(logits, 1).log_prob(counts)
    expected = stats.bernoulli(expit(np.asarray(logits))).logpmf(np.asarray(counts))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def fit(program, digits):
    return program.fit_images(digits, replace(SMALL, held_out=0.1))


def test_a_fit_explains_images_it_has_not_seen(fit, digits):
    independent, bound = score_pixels(digits), fit.bound()
    assert bound > independent + 70
    assert bound < fit.evidence(draws=50) < bound + 15
    assert len(fit.log.held_out) >= 2
    assert fit.log.held_out[-1] < fit.log.held_out[0]
    pixels = fit.reconstruct(digits.held_out)
    again = np.mean((pixels - digits.test / 16) ** 2)
    assert again < 0.5 * np.mean((digits.ink() - digits.test / 16) ** 2)


def test_without_a_term_of_the_bound(fit, program, digits):
    """Nothing is reconstructed, or nothing can be generated."""
    loc, sd = fit.encode(digits.held_out)
    apart = divergence(loc, sd).mean()
    collapsed = program.fit_images(digits, replace(SMALL, reconstruct=False))
    assert divergence(*collapsed.encode(digits.held_out)).mean() < 0.05
    loose = program.fit_images(digits, replace(SMALL, regularise=False))
    loose_loc, loose_sd = loose.encode(digits.held_out)
    assert np.median(loose_sd) < 0.5 * np.median(sd)
    assert divergence(loose_loc, loose_sd).mean() > 2 * apart
    assert loose.bound() < fit.bound()
    seen = digits.draw(digits.train[:400], np.random.default_rng(1))
    explained = [each.bound(seen) + divergence(*each.encode(seen)).mean() for each in (fit, loose)]
    assert explained[1] > explained[0] + 1  # nats an image
    assert loose.strangeness() > fit.strangeness()


def test_pictures(fit, tmp_path):
    draw_pictures(fit, tmp_path)
    names = {"embedding", "generated", "losses", "reconstructions"}
    assert {path.stem for path in tmp_path.glob("*.png")} == names
