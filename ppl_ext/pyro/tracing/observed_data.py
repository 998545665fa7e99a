"""The data of observed sites, and what is wrong with them: their shape, type, or values."""

from collections.abc import Mapping

import numpy as np
import torch
from pyro.distributions.hmm import HiddenMarkovModel
from torch.distributions import constraints

from ppl_ext.draws.counts import read_counts
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.run_at_point import has_moving_support, support_of
from ppl_ext.pyro.tracing.sites import Plate, Sites

__all__ = ["find_problem", "read_data"]


def read_data(sites: Sites, messages: Mapping[str, dict]) -> dict[str, np.ndarray]:
    """The data by site, NaN where a mask hides them.

    Args:
        sites: What the model is made of.
        messages: The messages of its first run.
    """
    data = {}
    for site in sites.observed:
        msg = messages[site.name]
        value = msg["value"].detach().expand(site.shape)
        mask = mask_of(msg)
        if mask is not None:
            seen = torch.as_tensor(mask)
            seen = seen.reshape(seen.shape + (1,) * site.event_dim).expand(site.shape)
            value = value if seen.all() else torch.where(seen, value.double(), torch.nan)
        data[site.name] = np.array(value.cpu().numpy().reshape(site.unpadded_shape))
    return read_counts((site.name for site in sites.observed if site.discrete), data)


def find_problem(msg: dict, plates: tuple[Plate, ...]) -> str:
    """Why the data of a site cannot be scored and what to do, empty if they can.

    Args:
        msg: The message of the site, its distribution expanded by the plates.
        plates: The plates around it.
    """
    name, value, kind = msg["name"], msg["value"], type(msg["fn"]).__name__
    if not value.numel():
        return (
            f"observed site {name!r} ({kind}) has data of shape {tuple(value.shape)}, where at "
            "least one value is expected. Pass its data, or leave the site out."
        )
    if not _has_shape(msg, plates):
        return _wrong_shape(msg, plates)
    support = support_of(msg)
    if value.dtype.is_floating_point:
        finite = value.isfinite()
        if not finite.all():
            return (
                f"{int((~finite).sum())} of {finite.numel()} data of observed site {name!r} are "
                "NaN or infinite, where finite numbers are expected. Drop them, or hide them: "
                "with poutine.mask(mask=y.isfinite()), or impute them: obs_mask=y.isfinite()."
            )
    elif support is not None and not support.is_discrete:
        return (
            f"the data of observed site {name!r} are of type {value.dtype}, where floats are "
            f"expected ({kind} is continuous). Convert them: obs=y.float()."
        )
    if support is None or constraints.is_dependent(support) or has_moving_support(msg):
        return ""
    return _outside(msg, support)


def _has_shape(msg: dict, plates: tuple[Plate, ...]) -> bool:
    """Whether no datum is scored twice, as the host does where shapes happen to broadcast.

    Outside of plates a distribution may be shared by more data than it has values.
    """
    fn, given = msg["fn"], tuple(msg["value"].shape)
    event_shape, batch_shape = tuple(fn.event_shape), tuple(fn.batch_shape)
    event = given[len(given) - len(event_shape) :] if event_shape else ()
    batch = given[: len(given) - len(event_shape)]
    if isinstance(fn, HiddenMarkovModel) and event_shape[0] == 1:
        # A homogeneous chain of the host says nothing of its length.
        event, event_shape = event[1:], event_shape[1:]
    if event != event_shape:
        return False
    while len(batch_shape) > len(batch) and batch_shape[0] == 1:
        batch_shape = batch_shape[1:]
    if plates or len(batch) < len(batch_shape):
        return batch == batch_shape
    shared = batch[len(batch) - len(batch_shape) :]
    return all(wanted in (1, size) for wanted, size in zip(batch_shape, shared, strict=True))


def _wrong_shape(msg: dict, plates: tuple[Plate, ...]) -> str:
    name, fn, shape = msg["name"], msg["fn"], tuple(msg["value"].shape)
    kind, expected = type(fn).__name__, tuple(fn.shape())
    around = ", ".join(f"{plate.name!r} of size {plate.subsample_size}" for plate in plates)
    gives = f"its distribution ({kind})"
    if around:
        gives += f" and the plate{'s' if len(plates) > 1 else ''} {around}"
    ones = [axis - len(shape) for axis, size in enumerate(shape) if size == 1]
    cure = f"Give {name!r} that shape"
    if not shape:
        cure = f"Repeat it if that is meant: obs={name}.expand({expected})"
    elif ones and len(shape) > len(fn.batch_shape):
        cure = f"Take the axis away: obs={name}.squeeze({ones[-1]})"
    return (
        f"observed site {name!r} has shape {shape}; expected {expected}, which {gives} "
        f"give{'' if around else 's'}. {cure}, or, where one datum has several values, make them "
        f"one event: {kind}(...).to_event(1)."
    )


def _outside(msg: dict, support: constraints.Constraint) -> str:
    outside = ~support.check(msg["value"])
    mask = mask_of(msg)
    if mask is not None:
        outside = outside & torch.as_tensor(mask)
    if not outside.any():
        return ""
    return (
        f"{int(outside.sum())} of {outside.numel()} data of observed site {msg['name']!r} lie "
        f"outside the support of {type(msg['fn']).__name__} ({support}), where its density is "
        "zero. Drop them, or give the site another distribution."
    )
