"""What counts as a wrong verdict and as a target that is met."""

import pytest
from targets import format_targets
from verdicts import classify

ACCURATE, OFF = {"mean_error": 0.02, "sd_error": 0.01}, {"mean_error": 0.02, "sd_error": 0.3}
RESAMPLE = "good after importance resampling"


@pytest.mark.parametrize(
    ("verdict", "raw", "resampled", "outcome"),
    [
        ("good", ACCURATE, OFF, "good, rightly"),
        ("good", OFF, ACCURATE, "good, WRONGLY"),
        (RESAMPLE, OFF, ACCURATE, "good, rightly"),
        (RESAMPLE, ACCURATE, OFF, "good, WRONGLY"),
        ("not to be trusted", OFF, ACCURATE, "bad, needlessly"),
        ("not to be trusted", OFF, OFF, "bad, rightly"),
    ],
)
def test_a_verdict_is_held_to_the_draws_it_recommends(verdict, raw, resampled, outcome):
    assert classify({"verdict": verdict, "raw": raw, "resampled": resampled}) == outcome


def test_targets_are_judged_against_the_peers_of_the_same_rows():
    ours = {
        **{"problem": "kidscore", "guide": "full rank", "host": "numpyro", "method": "ours"},
        **{"seed": 0, "raw": ACCURATE, "resampled": ACCURATE, "verdict": "good"},
        **{"elbo": -10.0, "gradients": 20_000, "cpu": 0.1, "first_cpu": 1.0},
        **{"loc": [0.0, 1.0], "variance": [1.0, 1.0]},
    }
    long = {**ours, "method": "Adam 0.001, 50,000 steps", "elbo": -9.9, "cpu": 0.2}
    lines = format_targets([ours, long]).splitlines()
    states = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines[2:-1]}
    assert states == {
        "raw full-rank draws: worst mean, log sd": "met",
        "resampled full-rank draws: worst mean, log sd": "met",
        "CPU s of a run against 50,000 steps": "NOT MET",
        "ELBO of full rank, worst seed": "NOT MET",
        "verdict on full rank": "met",
        "gradients": "NOT MET",
        "the same answer from every seed": "met",
    }


def test_a_failed_run_fails_its_seeds_and_hides_nothing():
    failed = {
        **{"problem": "kidscore", "guide": "full rank", "host": "numpyro", "method": "ours"},
        **{"seed": 0, "failure": "out of time"},
    }
    report = format_targets([failed])
    assert "1 failed of 1" in report
    assert report.endswith("0 of 2 met, 0 missed by less than the reference's noise")
