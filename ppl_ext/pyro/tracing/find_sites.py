"""The first run of a model: its sites are found, and what no density can have is refused."""

import inspect
from collections.abc import Callable

import torch
from pyro.poutine.util import site_is_subsample
from torch.distributions import constraints

from ppl_ext.pyro.tracing.messages import has_moving_support, support_of, transform_of
from ppl_ext.pyro.tracing.run_at_point import StochasticOnlyError, Visit

__all__ = ["check_data", "visit_model"]


def visit_model(
    run: Callable, model: Callable, args: tuple, kwargs: dict
) -> tuple[Visit, list[str]]:
    """Runs a model at a first point.

    Args:
        run: The model, its arguments bound.
        model: The model itself, for the names of its arguments.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        The visit, its point filled, and the names of the model's learnable parameters.
    """
    # Zero lies within every support, but a matrix of the model may be singular just there.
    generator = torch.Generator().manual_seed(0)
    for attempt in range(10):
        try:
            with _FirstVisit(generator if attempt else None) as visit:
                run()
        except torch.linalg.LinAlgError:
            if attempt == 9:
                raise
            continue
        except RuntimeError as error:
            integers = _integer_arguments(model, args, kwargs)
            if integers and "type" in str(error):
                raise ValueError(
                    f"trace_density: the model stopped with {str(error)!r}, and its arguments "
                    f"{integers} are integers where floats are expected. Convert them: "
                    f"{integers[0]}={integers[0]}.float()."
                ) from error
            raise
        return visit, visit.params
    raise AssertionError("unreachable")


class _FirstVisit(Visit):
    """Visits a model of unknown structure: fills its point as it goes and refuses what it must."""

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__({})
        self.generator = generator
        self.params: list[str] = []

    def unconstrained(self, msg: dict) -> torch.Tensor:
        transform = transform_of(msg, "trace_density")
        shape = transform.inverse_shape(msg["fn"].shape())
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
        if site_is_subsample(msg):
            _check_plate(msg)
        super()._pyro_sample(msg)

    def _pyro_param(self, msg: dict) -> None:
        self.params.append(msg["name"])


def _check_plate(msg: dict) -> None:
    name, size, value = msg["name"], msg["fn"].size, msg["value"]
    if size == 0:
        raise ValueError(
            f"trace_density: plate {name!r} is empty (size 0), where at least one row is "
            "expected. Check the data passed to the model: len(data) is 0."
        )
    batch = msg["fn"].subsample_size if value is None else len(value)
    if batch is not None and batch != size:
        raise StochasticOnlyError(
            f"trace_density: plate {name!r} subsamples ({batch} of {size} rows), where all rows "
            f"are expected. Drop the subsampling: pyro.plate({name!r}, {size}); or keep it and "
            "use fit(model, guide, ..., optimizer=Stochastic())."
        )


def check_data(msg: dict, caller: str) -> None:
    """Refuses data that are empty, not finite, of the wrong type or outside of the support."""
    name, value, kind = msg["name"], msg["value"], type(msg["fn"]).__name__
    if not value.numel():
        raise ValueError(
            f"{caller}: observed site {name!r} ({kind}) has data of shape {tuple(value.shape)}, "
            "where at least one value is expected. Pass its data, or leave the site out."
        )
    support = support_of(msg)
    if value.dtype.is_floating_point:
        # Also under a mask: the masked rows would still make the gradient NaN.
        finite = value.isfinite()
        if not finite.all():
            raise ValueError(
                f"{caller}: {int((~finite).sum())} of {finite.numel()} data of observed site "
                f"{name!r} are NaN or infinite, where finite numbers are expected. Drop them, or "
                "hide them: with poutine.mask(mask=y.isfinite()) and obs=y.nan_to_num()."
            )
    elif support is not None and not support.is_discrete:
        raise ValueError(
            f"{caller}: the data of observed site {name!r} are of type {value.dtype}, where "
            f"floats are expected ({kind} is continuous). Convert them: obs=y.float()."
        )
    if support is None or constraints.is_dependent(support) or has_moving_support(msg):
        return
    outside = ~support.check(value)
    for mask in (msg["mask"], getattr(msg["fn"], "_mask", None)):
        if mask is not None:
            outside = outside & torch.as_tensor(mask)
    if outside.any():
        raise ValueError(
            f"{caller}: {int(outside.sum())} of {outside.numel()} data of observed site {name!r} "
            f"lie outside the support of {kind} ({support}), where its density is zero. Drop "
            "them, or give the site another distribution."
        )


def _integer_arguments(model: Callable, args: tuple, kwargs: dict) -> list[str]:
    try:
        named = inspect.signature(model).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a callable without a readable signature
        named = {f"args[{k}]": value for k, value in enumerate(args)} | kwargs
    return [
        name
        for name, value in named.items()
        if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point
    ]
