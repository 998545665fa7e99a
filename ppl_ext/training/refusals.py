"""What both rooms refuse, and say, of trainings on minibatches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Stream

__all__ = [
    "check_objects",
    "find_rows_plate",
    "refuse_missing_rows",
    "refuse_plates",
    "refuse_row_draws",
    "refuse_row_parameters",
    "refuse_unequal_parts",
    "say_nothing_is_finite",
    "say_process_is_gone",
    "say_wrong_optimizer",
]


def check_objects(
    model: Any, guide: Any, elbo: Any, settings: Any, *, objective: type, line: str
) -> None:
    """Refuse arguments that are no objects of their kind, a class among them.

    Args:
        model: The model.
        guide: The guide.
        elbo: The objective, or None.
        settings: How to train, or None.
        objective: The host's class of objectives.
        line: A right call.

    Raises:
        TypeError: One is something else.
    """
    for name, value, expected, holds in (
        ("model", model, "a function", callable(model)),
        ("guide", guide, "a guide, such as AutoAmortized(model)", callable(guide)),
        ("elbo", elbo, "an objective, such as elbo=Trace_ELBO()", isinstance(elbo, objective)),
        (
            "settings",
            settings,
            "settings=MinibatchSettings(...)",
            isinstance(settings, MinibatchSettings),
        ),
    ):
        if name in ("elbo", "settings") and value is None:
            continue
        kind = isinstance(value, type)
        if kind or not holds:
            found = f"the class {value.__name__}" if kind else f"a {type(value).__name__}"
            raise TypeError(
                f"fit_minibatches: {name} is {found}; expected {expected}. The order is {line}."
            )


def say_wrong_optimizer(optim: Any, expected: str, line: str) -> TypeError:
    """The error of an optimiser that a room cannot train with.

    Args:
        optim: What was given.
        expected: What was expected.
        line: Right settings.
    """
    kind = isinstance(optim, type)
    found = f"the class {optim.__name__}" if kind else f"a {type(optim).__name__}"
    return TypeError(
        f"fit_minibatches: settings.optim is {found}; expected {expected}. Write "
        f"MinibatchSettings(optim={line})."
    )


def refuse_plates(
    source: Minibatches | Stream, rows: int, plates: Mapping[str, tuple[int, int]]
) -> None:
    """Refuse a model whose plate takes a batch for all data.

    Args:
        source: The batches.
        rows: Rows that the model was shown.
        plates: ``{plate: (rows of all data, rows that it shows)}``.

    Raises:
        ValueError: A plate has as many rows as the model was shown, and there are more.
    """
    if not isinstance(source, Minibatches) or source.num_rows == rows:
        return
    if any(shown < size for size, shown in plates.values()):
        return
    for name, (size, _) in plates.items():
        if size == rows:
            raise ValueError(
                f"fit_minibatches: plate '{name}' of the model has {rows} rows, those of the "
                f"batch that it was shown, where the data have {source.num_rows:,}; expected "
                "those, or what all rows share would be fitted to one batch. Write "
                f"plate('{name}', {source.num_rows}, subsample_size=len(x))."
            )


def refuse_row_parameters(
    guide: str, around: Mapping[str, set[str]], plates: Mapping[str, tuple[int, int]]
) -> None:
    """Refuse a guide that has numbers for every row of a plate, which meet other rows each time.

    Args:
        guide: Name of its class.
        around: ``{latent site of the guide: the plates around it}``.
        plates: See `refuse_plates`.

    Raises:
        ValueError: A site lies in a plate that shows some of its rows.
    """
    some = {name for name, (size, shown) in plates.items() if shown < size}
    if found := sorted(site for site, inside in around.items() if inside & some):
        raise ValueError(
            f"fit_minibatches: {guide} has numbers for single rows of the sites {found}, and does "
            "not know which rows a batch holds; expected a guide that reads them from the batch. "
            "Write AutoAmortized(model)."
        )


def find_rows_plate(plates: Mapping[str, tuple[int, int]]) -> str | None:
    """The plate that a batch has some rows of; None where it has all of every plate.

    Args:
        plates: See `refuse_plates`.

    Raises:
        NotImplementedError: There are several.
    """
    some = sorted(name for name, (size, shown) in plates.items() if shown < size)
    if len(some) > 1:
        raise NotImplementedError(
            f"MinibatchFit.draws: the plates {some} show some of their rows; expected one, since "
            "a pass through the batches meets every row of one plate, and not every pair of two."
        )
    return some[0] if some else None


def refuse_row_draws(plate: str | None, drawn: Mapping[str, set[str]], latent: set[str]) -> None:
    """Refuse latent sites that belong to rows, or that the guide has not drawn.

    Args:
        plate: The plate of the rows.
        drawn: ``{latent site of the guide: the plates around it}``.
        latent: Latent sites of the model.

    Raises:
        ValueError: There are some.
    """
    if found := sorted(name for name, around in drawn.items() if plate in around):
        raise ValueError(
            f"MinibatchFit.draws: the sites {found} belong to the rows of plate '{plate}', whose "
            "draws would be as many as the data; expected latent sites that all rows share. For "
            "some rows: guide.refine(...) says what the encoder loses, from_svi(...) draws them."
        )
    if missing := sorted(latent - set(drawn)):
        raise ValueError(
            f"MinibatchFit.draws: the guide does not draw the latent sites {missing} of the "
            "model, whose density would be that of one draw from the prior; expected all of "
            "them. Draw them in the guide, or sum them out in the model (MixtureSameFamily)."
        )


def refuse_missing_rows(plate: str | None, size: int, seen: int) -> None:
    """Refuse batches that are not all rows once.

    Args:
        plate: The plate of the rows.
        size: Its rows.
        seen: Rows of the batches.

    Raises:
        ValueError: They are other rows.
    """
    if seen != size:
        rows = f"plate '{plate}' of the model has {size:,}" if plate else "the model shows all"
        raise ValueError(
            f"MinibatchFit.draws: the batches have {seen:,} rows, and {rows}; expected every row "
            "once, those that were held out among them, since a log density is that of all data. "
            "Write fit.draws(..., Minibatches(x, batch_size=1000)), without split."
        )


def refuse_unequal_parts(rows: int, num_parts: int) -> None:
    """Refuse a batch that cannot be divided into parts of one size.

    Args:
        rows: Rows of the batch.
        num_parts: Parts.

    Raises:
        ValueError: It cannot.
    """
    if rows % num_parts:
        raise ValueError(
            f"fit_minibatches: a batch has {rows} rows and num_parts = {num_parts}; expected "
            "parts of equal size. Write Minibatches(x, batch_size="
            f"{max(1, rows // num_parts) * num_parts})."
        )


def say_nothing_is_finite(
    step: int, settings: MinibatchSettings, step_size: float
) -> FloatingPointError:
    """The error of a training that is lost.

    Args:
        step: Where it was.
        settings: How to train.
        step_size: The last one.
    """
    remedy = "step of the optimiser that is given as optim"
    if settings.optim is None:
        remedy = f"step: MinibatchSettings(step_size={step_size / 10:.1g})"
    return FloatingPointError(
        f"fit_minibatches: no loss is finite any more at step {step:,}; expected finite ones. "
        f"Lower the {remedy}, or look for extreme data and supports that do not fit."
    )


def say_process_is_gone(step: int) -> RuntimeError:
    """The error of a process that another one has left.

    Args:
        step: Where it was.
    """
    return RuntimeError(
        f"fit_minibatches: another process is gone at about step {step:,}, so that this one ends "
        "too. Start all of them again with the same checkpoint=: its file is whole, and they go "
        "on from it."
    )
