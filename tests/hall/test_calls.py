"""What is refused before a model is run, and the line that each refusal gives."""

import functools

import pytest

from ppl_ext.fitting import Deterministic, Stochastic
from ppl_ext.fitting.calls import check_guide, check_model, refuse_guide_by_position
from ppl_ext.fitting.settings import read_optimizer

LINE = "fit(rng_key, model"
RESERVED = ("optimizer", "num_starts")


class Guide:
    """What a host's guides have in common."""


class HostOptimizer:
    """What a host's optimisers have in common."""


def model(y):
    return y


def takes_num_starts(y, num_starts=3):
    return y, num_starts


def silent(*args):
    return args


def read(optimizer, num_starts=4):
    return read_optimizer(optimizer, num_starts, 4, (HostOptimizer,), LINE)


def check(model, *args):
    check_model(model, args, host="numpyro", line=LINE, reserved=RESERVED)


def place(model, *args, **kwargs):
    refuse_guide_by_position(model, args, kwargs, guides=(Guide,), line=LINE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check(3), r"model is a int; .*numpyro.sample.* fit\(rng_key, model, \*args\)"),
        (
            lambda: check(takes_num_starts, 1.0),
            r"'num_starts'.*fit\(rng_key, functools.partial\(model, num_starts=...\), ...\)",
        ),
        (lambda: check_guide(3, LINE), r"guide is a int.*None.*fit\(rng_key, model, \*args\)"),
        (lambda: place(model, None, 1.0), r"None stands .* fit\(rng_key, model, \*args\)"),
        (lambda: place(model, Guide, 1.0), r"Guide stands .* guide=Guide\)"),
        (lambda: place(model, Guide(), 1.0), r"the guide Guide stands .* guide=guide\)"),
        (lambda: place(model, Guide()), r"the guide Guide stands"),
        (lambda: place(silent, 1.0, Guide()), r"the guide Guide stands"),
        (lambda: place(model, silent, 1.0), r"the guide function stands"),
        (lambda: place(functools.partial(model, 1.0), None), "None stands"),
        (lambda: read(None, 0), r"num_starts = 0; expected a positive whole number"),
        (lambda: read(None, 2.5), r"num_starts = 2.5; .*num_starts=4"),
        (lambda: read(None, True), r"num_starts = True"),
        (lambda: read(Stochastic), r"the class Stochastic; .*optimizer=Stochastic\(\)\)"),
        (lambda: read(0.1), r"optimizer is a float; .*optimizer=Stochastic\(\)\)"),
        (
            lambda: read(Deterministic(num_starts=2), 8),
            r"num_starts = 8 beside .*num_starts=2\).*optimizer=Deterministic\(num_starts=8\)\)",
        ),
    ],
)
def test_a_wrong_call_is_refused_with_the_line_that_mends_it(call, message):
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        call()


def test_a_reserved_name_is_fine_where_it_is_bound_or_given_by_position():
    check(functools.partial(takes_num_starts, num_starts=2), 1.0)
    check(functools.partial(takes_num_starts, 1.0, 2))
    check(takes_num_starts, 1.0, 2)


def test_what_the_model_takes_is_no_guide():
    place(model, None)
    place(model, silent)
    place(lambda link, y: y, silent, 1.0)
    place(silent, None, 1.0)


def test_optimizers_are_read():
    optimizer = HostOptimizer()
    assert read(optimizer).optim is optimizer
    assert read(None) is None
    settings = Deterministic(num_starts=2)
    assert read(settings) is settings
    assert read(settings, 2) is settings
