"""Densities with known posteriors, from easy to hopeless for a Gaussian."""

from collections.abc import Iterator

from zoo import mixtures, models, shapes
from zoo.target import Target

__all__ = ["Target", "list_targets"]


def list_targets() -> list[Target]:
    """Every density of the zoo; none was chosen for what a fit makes of it."""
    targets = list(generate())
    if len({target.name for target in targets}) < len(targets):
        raise ValueError("list_targets: two targets share a name; names key the results.")
    return targets


def generate() -> Iterator[Target]:
    for dim, condition in [(1, 1), (2, 100), (10, 1e4), (50, 1e6), (100, 100)]:
        yield shapes.gaussian(dim, condition)
    for count in (5, 20, 200):
        yield shapes.normal_gamma(count)
    for bend in (0.05, 0.2, 1.0, 5.0):
        yield shapes.banana(bend)
    for frequency in (0.5, 3.0):
        yield shapes.wave(frequency)
    for width, dim in [(0.25, 10), (0.5, 10), (1.0, 2), (1.0, 10), (2.0, 10), (3.0, 10)]:
        yield shapes.funnel(width, dim)
    for radius, width in [(3.0, 1.0), (5.0, 0.5), (10.0, 0.1)]:
        yield shapes.ring(radius, width)
    for df in (2, 3, 5, 10):
        for dim in (1, 5, 20):
            yield shapes.student_t(df, dim)
    for shape, dim in [(0.3, 1), (1.0, 1), (1.0, 10), (5.0, 10), (20.0, 50)]:
        yield shapes.log_gamma(shape, dim)
    for shape in (0.3, 1.0, 20.0):
        yield shapes.log_gamma(shape, 2, on_log_scale=False)
    for separation in (2.0, 3.0, 4.0, 6.0, 10.0):
        for weight in (0.5, 0.2, 0.05):
            yield mixtures.two_modes(separation, weight, dim=2)
    for dim in (1, 10, 50):
        yield mixtures.two_modes(6.0, 0.3, dim)
    for distance, sd in [(30.0, 1.0), (100.0, 1.0), (30.0, 0.1), (1000.0, 1.0)]:
        yield mixtures.far_mode(distance, sd, dim=3)
    for weight, wide, dim in [(0.1, 3.0, 1), (0.1, 10.0, 1), (0.01, 30.0, 2), (0.1, 3.0, 10)]:
        yield mixtures.nested(weight, wide, dim)
    for length in (2.0, 10.0):
        yield mixtures.cross(length)
    for successes, failures in [(1, 1), (0.5, 20), (1, 50), (30, 0.2), (40, 60)]:
        yield models.beta(successes, failures)
    for observed in (0.5, 0.0, -0.2):
        yield models.truncated(observed, noise=0.1)
    yield models.ordinary_logistic()
    for prior_sd in (2.5, 10.0, 50.0):
        yield models.separated_logistic(prior_sd)
    yield models.pitcher()
    yield models.horseshoe(centered=True)
    yield models.horseshoe(centered=False)
