"""Find out what a model is made of, by running it once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from pyro.distributions import Delta
from pyro.poutine.util import site_is_factor, site_is_subsample

from ppl_ext.pyro.tracing.data.ordinary_data import OrdinaryData
from ppl_ext.pyro.tracing.enumeration.marks import find_obstacle, is_marked
from ppl_ext.pyro.tracing.observed_data import find_problem
from ppl_ext.pyro.tracing.run_at_point import (
    Visit,
    bijection_of,
    is_circular,
    is_data,
    is_deterministic,
    support_of,
    without_wrappers,
)
from ppl_ext.pyro.tracing.sites import DeterministicSite, Latent, Observed, Plate, Sites

__all__ = ["FirstVisit", "describe_latent", "trace_sites"]

_ATTEMPTS = 10


class FirstVisit(Visit):
    """Visits a model of unknown structure and fills its point as it goes.

    A latent site without a bijection to unconstrained space is drawn from its prior.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        generator: What the point is drawn with; None for the middle of unconstrained space.

    Attributes:
        plates: Full size of every plate and its size in this run.
        params: Names of the learnable parameters.
    """

    def __init__(self, caller: str, generator: torch.Generator | None = None) -> None:
        super().__init__({}, caller)
        self.generator = generator
        self.plates: dict[str, tuple[int, int]] = {}
        self.params: list[str] = []

    @property
    def num_floats(self) -> int:
        """Floats that the sites hold, data left out."""
        values = [msg["value"] for msg in self.sites.values() if not is_data(msg)]
        return sum(each.numel() for each in (*values, *self.terms.values()))

    def unconstrained(self, msg: dict) -> torch.Tensor:
        """A new part of the point for one latent site."""
        shape = bijection_of(msg).inverse_shape(msg["fn"].shape())
        try:
            like = msg["fn"].sample()
        except NotImplementedError:  # ImproperUniform
            like = torch.empty(())
        piece = like.new_zeros(shape)
        if self.generator is not None:
            # Drawn on the CPU, where the generator lives.
            piece += 4 * torch.rand(shape, generator=self.generator).to(piece) - 2
        self.point[msg["name"]] = piece
        return piece

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg) and msg["fn"].size == 0:
            raise ValueError(
                f"{self.caller}: plate {msg['name']!r} is empty (size 0), where at least one row "
                "is expected. Check the data passed to the model: len(data) is 0."
            )
        if site_is_subsample(msg) or msg["is_observed"]:
            return
        if bijection_of(msg) is not None:
            super()._pyro_sample(msg)
            return
        try:
            msg["value"] = msg["fn"].sample()
        except NotImplementedError:  # as VonMises3D; whoever follows it draws it
            msg["value"] = torch.zeros(msg["fn"].shape())
        msg["done"] = True

    def _pyro_post_sample(self, msg: dict) -> None:
        if site_is_subsample(msg):
            self.plates[msg["name"]] = (msg["fn"].size, len(msg["value"]))
        elif msg["is_observed"] or msg["name"] in self.point:
            self._score(msg)
        else:
            self.sites[msg["name"]] = msg

    def _score(self, msg: dict) -> None:
        try:
            super()._pyro_post_sample(msg)
        except (RuntimeError, IndexError) as error:  # classes that the distribution has not
            problem = find_problem(msg, _plates_around(msg)) if is_data(msg) else ""
            if not problem:
                raise
            raise ValueError(f"{self.caller}: {problem}") from error

    def _pyro_param(self, msg: dict) -> None:
        self.params.append(msg["name"])


def trace_sites(
    caller: str, model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Sites, FirstVisit]:
    """Run a model once at the middle of unconstrained space and say what it is made of.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        model: Pyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        The sites, and the run itself.

    Raises:
        ValueError: A plate is empty, or the model stopped over integer arguments.
    """
    # Zero lies within every support, but a matrix of the model may be singular just there.
    generator = torch.Generator().manual_seed(0)
    for attempt in range(_ATTEMPTS):
        try:
            with FirstVisit(caller, generator if attempt else None) as visit, OrdinaryData():
                model(*args, **kwargs)
            break
        except torch.linalg.LinAlgError:
            if attempt == _ATTEMPTS - 1:
                raise
        except RuntimeError as error:
            integers = _integer_arguments(model, args, kwargs)
            if integers and "type" in str(error):
                raise ValueError(
                    f"{caller}: the model stopped with {str(error)!r}, and its arguments "
                    f"{integers} are integers where floats are expected. Convert them: "
                    f"{integers[0]}={integers[0]}.float()."
                ) from error
            raise
    return _describe(visit), visit


def describe_latent(msg: dict) -> Latent:
    """What a message, or the node of a trace, says about a latent site."""
    transform, support = bijection_of(msg), support_of(msg)
    shape = tuple(msg["fn"].shape())
    return Latent(
        name=msg["name"],
        distribution=type(msg["fn"]).__name__,
        shape=shape,
        event_dim=msg["fn"].event_dim,
        unconstrained_shape=None if transform is None else tuple(transform.inverse_shape(shape)),
        transform=transform,
        plates=_plates_around(msg),
        discrete=support is not None and bool(support.is_discrete),
        support="" if support is None else str(support),
        determined=isinstance(without_wrappers(msg["fn"]), Delta),
        circular=is_circular(msg["fn"]),
        enumerated=is_marked(msg),
        obstacle=find_obstacle(msg),
    )


def _describe(visit: FirstVisit) -> Sites:
    latents, observed, deterministics, dims = [], [], [], {}
    for name, msg in visit.sites.items():
        plates = _plates_around(msg)
        dims |= {plate.name: plate.dim for plate in plates}
        if is_deterministic(msg):
            shape = tuple(msg["value"].shape)
            event_dim = _event_dim_of_deterministic(msg, plates)
            deterministics.append(DeterministicSite(name, shape, plates, event_dim))
        elif is_data(msg):
            observed.append(_describe_observed(msg, visit.terms[name], plates))
        elif not site_is_factor(msg):
            latents.append(describe_latent(msg))
    return Sites(
        latents=tuple(latent for latent in latents if not latent.enumerated),
        observed=tuple(observed),
        deterministics=tuple(deterministics),
        plates=tuple(Plate(n, dims.get(n), *sizes) for n, sizes in visit.plates.items()),
        parameters=tuple(visit.params),
        enumerated=tuple(latent for latent in latents if latent.enumerated),
        first_free_dim=-1 - max(_count_dims(visit, dims), default=0),
    )


def _count_dims(visit: FirstVisit, dims: Mapping[str, int]) -> Iterator[int]:
    """Numbers of dimensions that plates and sites take."""
    yield from (-dim for dim in dims.values())
    yield from (len(msg["fn"].batch_shape) for msg in visit.sites.values())
    yield from (term.dim() for term in visit.terms.values())


def _describe_observed(msg: dict, term: torch.Tensor, plates: tuple[Plate, ...]) -> Observed:
    fn, support = msg["fn"], support_of(msg)
    return Observed(
        name=msg["name"],
        distribution=type(fn).__name__,
        shape=tuple(torch.broadcast_shapes(msg["value"].shape, fn.shape())),
        event_dim=fn.event_dim,
        plates=plates,
        discrete=support is not None and bool(support.is_discrete),
        problem=find_problem(msg, plates),
        log_prob_shape=tuple(term.shape),
        weighted=bool((torch.as_tensor(msg["scale"]) != 1).any()),
    )


def _plates_around(msg: dict) -> tuple[Plate, ...]:
    frames = [frame for frame in msg["cond_indep_stack"] if frame.vectorized]
    return tuple(
        Plate(frame.name, frame.dim, frame.full_size or frame.size, frame.size)
        for frame in sorted(frames, key=lambda frame: frame.dim)
    )


def _event_dim_of_deterministic(msg: dict, plates: tuple[Plate, ...]) -> int:
    """Event dimensions of a value; where the site does not tell, matched against its plates."""
    value, event_dim = msg["value"], msg["fn"].event_dim
    if not plates or event_dim != value.dim():
        return event_dim
    for guess in range(value.dim()):
        batch = value.shape[: value.dim() - guess]
        if all(-p.dim <= len(batch) and batch[p.dim] == p.subsample_size for p in plates):
            return guess
    return event_dim


def _integer_arguments(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[str]:
    try:
        named = inspect.signature(model).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a callable without a readable signature
        named = {f"args[{k}]": value for k, value in enumerate(args)} | dict(kwargs)
    return [
        name
        for name, value in named.items()
        if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point
    ]
