"""A posterior of posteriordb: its data as arrays a model takes, and its reference moments.

The models are those of the Stan programs (github.com/stan-dev/posteriordb), on raw data: nothing
is standardised, predictors and outcomes come as users have them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NAMES", "Problem", "ports", "read"]

# Steps of the fourth-order Runge-Kutta scheme from one observation time to the next. The first
# interval is graded towards zero, where the level rises through K_m at once. Relative error below
# 1e-6 at every point within 15 nats of the best fit (against LSODA at 1e-11).
ABSORPTION_STEPS = 20
ELIMINATION_STEPS = 3


@dataclass(frozen=True)
class Problem:
    """One posterior to fit: a model of one host, its arguments, and the truth.

    Args:
        name: Short name, that of the data file.
        model: The model, to be called as ``model(**kwargs)``.
        kwargs: Its arguments as arrays of the host.
        names: Reference parameters such as ``beta[2]`` (counted from one) or ``sigma``.
        mean: Reference posterior mean per name.
        sd: Reference posterior standard deviation per name.
    """

    name: str
    model: Callable[..., None]
    kwargs: Mapping[str, Any]
    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray

    def extract(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Collect ``values[site][draw, ...]`` as ``array[draw, name]``."""
        return np.stack([column(values, name) for name in self.names], axis=1)


def column(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    site, _, index = name.removesuffix("]").partition("[")
    draws = np.asarray(values[site], dtype=float)
    return draws[:, int(index) - 1] if index else draws


def read(folder: str | Path, name: str) -> dict[str, Any]:
    """Read one data file: posterior, data, names, mean and sd."""
    return json.loads((Path(folder) / f"{name}.json").read_text())


def ports(
    models: Mapping[str, Callable[..., None]], to_array: Callable[[np.ndarray], Any]
) -> dict[str, Callable[[Mapping[str, Any]], Problem]]:
    """Pair each model of a host with its data: name -> (content of a data file -> Problem)."""

    def port(name: str) -> Callable[[Mapping[str, Any]], Problem]:
        def build(content: Mapping[str, Any]) -> Problem:
            arguments = PREPARE[name](content["data"])
            return Problem(
                name=name,
                model=models[name],
                kwargs={
                    key: to_array(value) if isinstance(value, np.ndarray) else value
                    for key, value in arguments.items()
                },
                names=tuple(content["names"]),
                mean=np.asarray(content["mean"]),
                sd=np.asarray(content["sd"]),
            )

        return build

    return {name: port(name) for name in NAMES}


def floats(data: Mapping[str, Any], *keys: str) -> dict[str, np.ndarray]:
    return {key: np.asarray(data[key], dtype=float) for key in keys}


def mesquite(data: Mapping[str, Any]) -> dict[str, Any]:
    columns = ("diam1", "diam2", "canopy_height", "total_height", "density", "group")
    predictors = np.column_stack([np.ones(data["N"]), *(data[key] for key in columns)])
    return {"predictors": predictors, "outcome": np.asarray(data["weight"], dtype=float)}


def ar_k(data: Mapping[str, Any]) -> dict[str, Any]:
    series, order = np.asarray(data["y"], dtype=float), data["K"]
    lags = np.column_stack([series[order - lag : -lag] for lag in range(1, order + 1)])
    return {"lags": lags, "y": series[order:]}


def garch(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**floats(data, "y"), "first_scale": float(data["sigma1"])}


def diamonds(data: Mapping[str, Any]) -> dict[str, Any]:
    predictors = np.asarray(data["X"], dtype=float)[:, 1:]
    return {"predictors": predictors - predictors.mean(0), **floats(data, "Y")}


def one_compartment(data: Mapping[str, Any]) -> dict[str, Any]:
    times = np.asarray(data["times"], dtype=float)
    absorption = times[0] * np.linspace(0, 1, ABSORPTION_STEPS + 1) ** 4
    elimination = np.interp(
        np.arange(1, ELIMINATION_STEPS * (len(times) - 1) + 1) / ELIMINATION_STEPS,
        np.arange(len(times)),
        times,
    )
    grid = np.concatenate([absorption, elimination])
    return {
        "dose": float(data["D"]),
        "volume": float(data["V"]),
        "grid": grid,
        "observed": np.searchsorted(grid, times - 1e-9),
        **floats(data, "C_hat"),
    }


def radon(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_counties": data["J"],
        "county": np.asarray(data["county_idx"]) - 1,
        **floats(data, "log_uppm", "floor_measure", "log_radon"),
    }


PREPARE: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "kidscore": lambda data: floats(data, "kid_score", "mom_iq", "mom_hs"),
    "mesquite": mesquite,
    "arK": ar_k,
    "garch11": garch,
    "hmm": lambda data: floats(data, "y"),
    "diamonds": diamonds,
    "radon_nc": radon,
    "radon_c": radon,
    "eight_nc": lambda data: floats(data, "y", "sigma"),
    "eight_c": lambda data: floats(data, "y", "sigma"),
    "gp_pois": lambda data: floats(data, "x", "k"),
    "one_comp": one_compartment,
}
NAMES = tuple(PREPARE)
