"""A small file of every kind that this package and its worked models read."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ppl_ext.factorization import MatrixFactorization, load_factors, read_ratings, simulate_ratings
from ppl_ext.factorization.data.feature_file import read_feature_file
from ppl_ext.fit_file import SavedFit, read_fit
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution
from ppl_ext.npe.features import Features, ObservedSite
from ppl_ext.npe.filing import SavedNPE
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import LearningLog
from ppl_ext.simulation import BlackBox, open_simulations, run_simulations
from ppl_ext.training.state_file import StateFile

__all__ = ["KINDS", "FileKind"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Args:
        write: Writes one into an empty folder: its path.
        read: Reads it: all its numbers.
        summed: Whether a checksum covers it, so that no damage may go unseen.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Arrays]
    summed: bool = False


def _write_factors(folder: Path) -> Path:
    ratings = simulate_ratings(num_users=12, num_items=8, seed=0).ratings
    factors = MatrixFactorization(2, max_sweeps=5).fit(ratings, progress_bar=False)
    factors.save(folder / "factors.safetensors")
    return folder / "factors.safetensors"


def _read_factors(path: Path) -> Arrays:
    factors = load_factors(path)
    return {"users": factors.users.table, "items": factors.items.table, "elbo": factors.elbo}


def _write_fit(folder: Path) -> Path:
    log = FitLog(np.array([2.0, 1.0]), "converged", True, seconds=0.1, notes=("a note",))
    solution = GaussianSolution(np.zeros(2), np.ones(2), -1.0, 1e-5, 0.01, 256, True, log)
    saved = SavedFit("AutoMeanField", {"mu": (2,)}, {"loc": np.arange(2.0)}, log, solution)
    saved.write(folder / "fit.safetensors", host="pyro", host_version="1.9.1")
    return folder / "fit.safetensors"


def _read_fit(path: Path) -> Arrays:
    saved = read_fit(path, host="pyro", guides={"AutoMeanField"})
    return {**saved.params, "losses": saved.log.losses, "scale": saved.solution.scale}


def _write_npe(folder: Path) -> Path:
    site, x = ObservedSite("x", (1,)), np.random.default_rng(0).normal(size=(200, 1))
    features = Features.read([site], {"x": x})
    frame = Frame.read(x, features.apply({"x": x}), features.layout)
    log = LearningLog(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), "", True, 1.0, 90, 10)
    saved = SavedNPE({"mu": ()}, ["Flow", "MLP"], {"w": np.ones(2)}, features, frame, log, x)
    saved.write(folder / "npe.safetensors", host="pyro", host_version="1.9.1")
    return folder / "npe.safetensors"


def _read_npe(path: Path) -> Arrays:
    saved = SavedNPE.read(path, host="pyro")
    scaling = asdict(saved.features.scalings["x"])
    return {**saved.weights, "simulated": saved.simulated, "frame": saved.frame.weights, **scaling}


def _state_file(path: Path) -> StateFile:
    identity = {"the seed": 0, "settings.step_size": 0.01, "the sites of the model": ["mu", "y"]}
    return StateFile("fit_minibatches", "minibatch checkpoint", path, identity)


def _write_checkpoint(folder: Path) -> Path:
    rng, path = np.random.default_rng(0), folder / "kept.safetensors"
    words = {"step": 7, "epoch": 2, "rng": rng.bit_generator.state, "looks": [1.0, 2.0]}
    parts = {"learner": {"w": rng.normal(size=9)}, "judge": {"phase": rng.normal(size=3)}}
    _state_file(path).write(parts, words)
    return path


def _read_checkpoint(path: Path) -> Arrays:
    parts, _ = _state_file(path).read()
    return {name: array for part in parts.values() for name, array in part.items()}


def _write_table(folder: Path) -> Path:
    def prior(first_row: int, size: int) -> dict[str, np.ndarray]:
        return {"mu": np.arange(first_row, first_row + size, dtype=float)}

    def simulate(values: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(values["mu"], size=3)

    run_simulations(BlackBox(prior, simulate), 20, chunk_size=5, folder=folder / "table")
    return folder / "table"


def _read_table(path: Path) -> Arrays:
    found = open_simulations(path)
    taken = found.take(np.arange(len(found)))
    return {name: np.array(each) for name, each in {**taken.latent, **taken.observed}.items()}


def _write_text(name: str, text: str, encoding: str = "utf-8") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(text.encode(encoding))
        return folder / name

    return write


def _spell_ratings(mark: str, header: str = "", pattern: str = "") -> str:
    rng = np.random.default_rng(0)
    pattern = pattern or mark.join(["{}"] * 4)
    lines = [
        pattern.format(user, item, int(rng.integers(1, 6)), 874_965_758 + 97 * user + item)
        for user in range(1, 9)
        for item in range(10, 15)
    ]
    return header + "\n".join(lines) + "\n"


def _read_ratings(path: Path) -> Arrays:
    found = read_ratings(path)
    users, items = found.user_ids[found.users], found.item_ids[found.items]
    return {"users": users, "items": items, "values": found.values, "times": found.times}


def _read_features(path: Path) -> Arrays:
    frame = read_feature_file(path)
    return {"labels": frame.index.to_numpy(), **{name: frame[name].to_numpy() for name in frame}}


def _write_fcs(folder: Path) -> Path:
    import flowio

    events = np.random.default_rng(0).gamma(2.0, 100.0, size=(20, 4)).astype(np.float32)
    names = ["FSC-A", "B530-A", "R660-A", "Time"]
    spill = {"SPILLOVER": "2,B530-A,R660-A,1,0.1,0.02,1"}
    with (folder / "tube.fcs").open("wb") as file:
        flowio.create_fcs(file, events.ravel(), names, metadata_dict=spill)
    return folder / "tube.fcs"


def _read_fcs(path: Path) -> Arrays:
    from models.cytometry.fcs import read_fcs

    found = read_fcs(path)
    return {"events": found.events, "markers": np.array(found.markers)}


def _read_gates(path: Path) -> Arrays:
    from models.cytometry.reading import read_gates

    labels, populations = read_gates(path, ["tube.fcs"], [20])
    return {"labels": labels, "populations": np.array(populations)}


_ROWS = "".join(
    f"{0.6 + 0.1 * row:.2f},{2.1 + 0.01 * row:.3f},{0.01 + 0.001 * row:.3f}\n" for row in range(20)
)
_ECSV = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: wavelength, unit: um, datatype: float64}
# - {name: depth, unit: '%', datatype: float64}
# - {name: depth_err, unit: '%', datatype: float64}
# delimiter: ','
# meta: !!omap
# - {planet: a planet}
# schema: astropy-2.0
wavelength,depth,depth_err
"""


def _read_spectrum(path: Path) -> Arrays:
    from models.exoplanet.spectra import read_spectrum

    found = read_spectrum(path)
    return {"wavelength": found.wavelength, "depth": found.depth, "error": found.error}


def _draw_images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"x_train": (9, 4, 4), "x_test": (3, 4, 4), "y_train": (9,), "y_test": (3,)}
    return {name: rng.integers(10, size=shape, dtype=np.uint8) for name, shape in shapes.items()}


def _write_npz(folder: Path) -> Path:
    np.savez(folder / "images.npz", **_draw_images())
    return folder / "images.npz"


def _write_idx(folder: Path) -> Path:
    from models.vae.reading import FILES

    (folder / "images").mkdir()
    for name, array in zip(FILES, _draw_images().values(), strict=False):
        head = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
        packed = name.startswith("train")
        content = head + array.tobytes()
        path = folder / "images" / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder / "images"


def _read_images(path: Path) -> Arrays:
    from models.vae.reading import read_images

    found = read_images(path)
    return {name: value for name, value in vars(found).items() if isinstance(value, np.ndarray)}


_JSON = '{{"user": "u{}", "item": {}, "rating": {}, "time": {}}}'
_GATES = "cell,population\n" + "".join(f"{cell},type {cell % 3}\n" for cell in range(20))

KINDS: dict[str, FileKind] = {
    "saved factors": FileKind(_write_factors, _read_factors, True),
    "saved fit": FileKind(_write_fit, _read_fit, True),
    "saved NPE": FileKind(_write_npe, _read_npe, True),
    "checkpoint": FileKind(_write_checkpoint, _read_checkpoint, True),
    "simulation table": FileKind(_write_table, _read_table, True),
    "ratings, .csv": FileKind(
        _write_text("r.csv", _spell_ratings(",", 'user,"movie",rating,time\n')), _read_ratings
    ),
    "ratings, tabs": FileKind(_write_text("u.data", _spell_ratings("\t")), _read_ratings),
    "ratings, colons": FileKind(_write_text("ratings.dat", _spell_ratings("::")), _read_ratings),
    "ratings, JSON": FileKind(
        _write_text("r.jsonl", _spell_ratings("", pattern=_JSON)), _read_ratings
    ),
    "features of items": FileKind(
        _write_text(
            "films.csv",
            "film,year,genre\n" + "".join(f"{n},{1950 + n},{'ab'[n % 2]}\n" for n in range(20)),
        ),
        _read_features,
    ),
    "FCS": FileKind(_write_fcs, _read_fcs),
    "gates of cells": FileKind(_write_text("gates.csv", _GATES), _read_gates),
    "spectrum, ECSV": FileKind(_write_text("planet.ecsv", _ECSV + _ROWS), _read_spectrum),
    "spectrum, columns": FileKind(
        _write_text("planet.txt", "wavelength [um],depth [%],error [%]\n" + _ROWS), _read_spectrum
    ),
    "images, .npz": FileKind(_write_npz, _read_images, True),
    "images, idx": FileKind(_write_idx, _read_images),
}
