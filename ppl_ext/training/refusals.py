"""Models and guides that minibatches would lead to a wrong answer without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.streams import Stream

__all__ = ["refuse_plates", "refuse_row_parameters"]


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


def refuse_row_parameters(sites: Iterable[str], guide: str) -> None:
    """Refuse a guide that has numbers for every row of a plate, which meet other rows each time.

    Args:
        sites: Latent sites of the guide in plates that show some of their rows.
        guide: Name of its class.

    Raises:
        ValueError: There are some.
    """
    if found := sorted(sites):
        raise ValueError(
            f"fit_minibatches: {guide} has numbers for single rows of the sites {found}, and does "
            "not know which rows a batch holds; expected a guide that reads them from the batch. "
            "Write AutoAmortized(model)."
        )
