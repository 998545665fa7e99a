"""What the host means by an assertion that failed, read from where it was raised."""

from types import FrameType
from typing import NoReturn

import numpyro
from numpyro.infer.reparam import Reparam

__all__ = ["plate_that_raised", "raise_reparam"]

_SCAN = "numpyro.contrib.control_flow.scan"


def raise_reparam(caller: str, error: AssertionError) -> NoReturn:
    """Raise for a site of the host's scan that is reparametrised outside of it, else as it was."""
    frames = _frames_of(error)
    last = frames[-1].f_locals
    scanned = any(frame.f_globals.get("__name__") == _SCAN for frame in frames)
    if not scanned or not isinstance(last.get("self"), Reparam):
        raise error
    kind, name = type(last["self"]).__name__, last.get("name")
    raise ValueError(
        f"{caller}: site '{name}' stands inside scan and {kind} around it, where the site comes "
        "with a value; expected the handler inside of the step. Write there: with "
        f"handlers.reparam(config={{'{name}': {kind}(...)}}): numpyro.sample('{name}', ...)."
    ) from error


def plate_that_raised(error: AssertionError) -> str:
    """Name of the plate whose constructor raised, empty if it was none."""
    raised = [frame.f_locals.get("self") for frame in _frames_of(error)]
    plates = [getattr(each, "name", "") for each in raised if isinstance(each, numpyro.plate)]
    return plates[-1] if plates else ""


def _frames_of(error: AssertionError) -> list[FrameType]:
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames
