"""What both rooms refuse, and say, of trainings on minibatches."""

from __future__ import annotations

from collections.abc import Mapping

from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.streams import Stream

__all__ = [
    "refuse_plates",
    "refuse_row_parameters",
    "refuse_unequal_parts",
    "say_process_is_gone",
]


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
