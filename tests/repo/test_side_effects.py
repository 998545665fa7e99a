"""Importing a room changes nothing: each in a fresh process, before and after."""

import subprocess
import sys

import pytest

from tests.hosts import HOST_NAMES
from tests.repo.source import ROOT

COMMON = """
import logging, os, pickle, random, sys, warnings
import numpy as np
import scipy.optimize, scipy.sparse, scipy.stats, tqdm.auto  # what they do is theirs

def common():
    loggers = logging.root.manager.loggerDict
    return {
        "environment": dict(os.environ),
        "random": random.getstate(),
        "numpy random": pickle.dumps(np.random.get_state()),
        "numpy errors": np.geterr(),
        "numpy print": np.get_printoptions(),
        "warning filters": list(warnings.filters),
        "root logger": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "loggers": {
            name: (logger.level, list(logger.handlers), logger.propagate, logger.disabled)
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
        },
        "hooks": (sys.excepthook, sys.displayhook, sys.getrecursionlimit()),
    }
"""

STATE = {
    "pyro": """
import pyro, torch
from pyro.distributions.distribution import Distribution

def state():
    return common() | {
        "torch random": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch validation": torch.distributions.Distribution._validate_args,
        "pyro validation": vars(Distribution).get("_validate_args"),
        "pyro settings": pyro.settings.get(),
        "parameter store": dict(pyro.get_param_store().items()),
        "messengers": list(pyro.poutine.runtime._PYRO_STACK),
        "kl table": dict(torch.distributions.kl._KL_REGISTRY),
        "transforms": dict(torch.distributions.biject_to._registry),
    }
""",
    "numpyro": """
import jax, numpyro
import numpyro.distributions as dist

def state():
    return common() | {
        "jax flags": dict(jax.config.values),
        "numpyro validation": dist.Distribution._validate_args,
        "messengers": list(numpyro.primitives._PYRO_STACK),
        "transforms": dict(dist.transforms.biject_to._registry),
    }
""",
}

COMPARE = """
before = state()
import ppl_ext.{room} as px
for name in dir(px):  # a name is imported when it is first used
    getattr(px, name)
after = state()
for key, value in before.items():
    # What is new in a table, such as the logger of another import, is not a change.
    now = {{k: after[key].get(k) for k in value}} if isinstance(value, dict) else after[key]
    assert value == now, (key, value, now)
"""


@pytest.mark.parametrize("room", HOST_NAMES)
def test_importing_changes_nothing(room):
    script = COMMON + STATE[room] + COMPARE.format(room=room)
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
