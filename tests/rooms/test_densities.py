"""A density of the guide against a probability of the model is told, by whoever looks."""

import warnings

import numpy as np
import pytest


def relaxed_pairs(host):
    """Guides with a density, each against a discrete prior."""
    ppl, dist, array = host.ppl, host.dist, host.array
    ours = host.room.distributions
    flat = array(np.zeros(3))

    def model():
        ppl.sample("z", ours.OneHotCategoricalStraightThrough(logits=flat))

    def binary():
        ppl.sample("z", dist.Bernoulli(array(0.5)))

    half = array(0.5)
    yield model, lambda: ppl.sample("z", ours.RelaxedOneHotCategorical(0.5, logits=flat))
    hard = ours.RelaxedOneHotCategoricalStraightThrough
    yield model, lambda: ppl.sample("z", hard(0.5, logits=flat))
    yield binary, lambda: ppl.sample("z", ours.RelaxedBernoulli(0.5, logits=half))
    yield binary, lambda: ppl.sample("z", dist.RelaxedBernoulli(half, logits=half))


def test_a_density_against_a_probability_is_told(host):
    for model, guide in relaxed_pairs(host):
        with pytest.warns(host.room.RelaxedDensityWarning, match="'z'.*Relaxed.*probabilities"):
            found = host.random(host.room.check_densities, model, guide)
        assert [mismatch.site for mismatch in found] == ["z"]


def test_the_elbos_tell_it_too(host):
    room = host.room
    model, guide = list(relaxed_pairs(host))[1]
    for elbo in (room.StickTheLanding(), room.DiscreteELBO(room.estimators.LeaveOneOut())):
        with warnings.catch_warnings(record=True) as caught:  # the host warns of inf besides
            warnings.simplefilter("always")
            if host.name == "pyro":
                elbo.loss(model, guide)
            else:
                host.random(elbo.loss, {}, model, guide)
        told = [each for each in caught if each.category is room.RelaxedDensityWarning]
        assert len(told) == 1
        assert str(told[0].message).startswith(type(elbo).__name__)


def test_fit_tells_it_once(host):
    room = host.room
    model, guide = list(relaxed_pairs(host))[1]
    settings = room.Stochastic(elbo=room.DiscreteELBO(room.estimators.ReinMax(1.0)), max_steps=2)
    with pytest.warns(room.RelaxedDensityWarning, match="fit: ") as caught:
        host.random(
            room.fit, model, guide=guide, optimizer=settings, num_starts=1, progress_bar=False
        )
    told = [each for each in caught if each.category is room.RelaxedDensityWarning]
    assert len(told) == 1


def test_a_pair_of_one_kind_is_not_told(host):
    ppl, dist, array = host.ppl, host.dist, host.array
    one_hot = host.room.distributions.OneHotCategoricalStraightThrough

    def model():
        ppl.sample("y", dist.Bernoulli(array(0.5)))
        ppl.sample("z", one_hot(logits=array(np.zeros(3))))
        ppl.sample("x", dist.Normal(0.0, 1.0))

    def guide():
        ppl.sample("y", dist.Bernoulli(array(0.2)))
        ppl.sample("z", one_hot(logits=array(np.ones(3))))
        ppl.sample("x", dist.Delta(array(0.5)))

    with warnings.catch_warnings():
        warnings.simplefilter("error", host.room.RelaxedDensityWarning)
        assert host.random(host.room.check_densities, model, guide) == ()
