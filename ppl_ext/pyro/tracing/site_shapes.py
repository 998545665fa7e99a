"""Names and shapes of the sites of a model as NumPy and ArviZ see them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from pyro.poutine.util import site_is_factor

from ppl_ext.pyro.tracing.messages import event_dim_of, is_data, plate_layout

__all__ = ["Layout", "read_layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Latent, deterministic and observed sites without the dimensions that only pad.

    Args:
        dims: Names of the leading (plate) dimensions of each site that has some.
        shapes: Shape of each latent and deterministic site.
        observed: The data, by site.
        likelihoods: Shape of the log likelihood of each observed site.
        work: Floats that one run of the model holds at its sites.
    """

    dims: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    observed: Mapping[str, np.ndarray]
    likelihoods: Mapping[str, tuple[int, ...]]
    work: int


def read_layout(sites: Mapping[str, dict], terms: Mapping[str, torch.Tensor]) -> Layout:
    """Reads the layout off the messages of one run.

    Args:
        sites: Messages of all sample sites.
        terms: Their log densities, before they are summed.
    """
    dims, shapes, observed, likelihoods = {}, {}, {}, {}
    for name, msg in sites.items():
        if site_is_factor(msg):
            continue
        value, frames = msg["value"], msg["cond_indep_stack"]
        if is_data(msg):
            value = value.expand(torch.broadcast_shapes(value.shape, msg["fn"].shape()))
            _, likelihoods[name] = plate_layout(name, tuple(terms[name].shape), 0, frames)
        names, shape = plate_layout(name, tuple(value.shape), event_dim_of(msg), frames)
        if names:
            dims[name] = names
        if is_data(msg):
            observed[name] = value.detach().cpu().numpy().reshape(shape)
        else:
            shapes[name] = shape
    work = sum(msg["value"].numel() for msg in sites.values() if not is_data(msg))
    work += sum(term.numel() for term in terms.values())
    return Layout(dims, shapes, observed, likelihoods, work)
