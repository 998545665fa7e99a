"""What an encoder reads and gives, checked in words that both rooms share."""

from __future__ import annotations

from collections.abc import Sequence

from ppl_ext.amortization.layout import RowLayout

__all__ = [
    "check_alike",
    "check_encoded",
    "check_features",
    "refuse_features",
    "refuse_nothing_to_read",
]


def check_alike(first: RowLayout | None, now: RowLayout) -> None:
    """Refuse data in which a row has other coordinates than it had at first.

    Args:
        first: The sites when the guide saw the model first; None if this is then.
        now: The sites with these data.

    Raises:
        ValueError: A local site has another shape.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> layout = RowLayout("rows", -1, (z,), (), (("x", 0),), {})
        >>> check_alike(layout, layout)
    """
    known = {} if first is None else {site.name: site.shape for site in first.local}
    for site in now.local:
        if known.get(site.name, site.shape) != site.shape:
            inner = [name for name in site.plates if name != now.plate]
            raise ValueError(
                f"AutoAmortized: a row of site '{site.name}' has shape {site.shape}, and had "
                f"{known[site.name]} when the guide was set up; expected the same in plates "
                f"{inner}: only plate '{now.plate}' may grow. Pad the data and mask the observed "
                "sites, or make another guide."
            )


def check_encoded(shape: Sequence[int], rows: int, layout: RowLayout, family: str) -> None:
    """Refuse what an encoder gave if it is no row of numbers for each row of the plate.

    Args:
        shape: Shape of what it gave.
        rows: Rows that it was given.
        layout: The sites.
        family: Family of the local sites.

    Raises:
        ValueError: It has another shape.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> check_encoded((7, 5), 7, RowLayout("rows", -1, (z,), (), (), {}), "full_rank")
    """
    width = layout.num_outputs(family)
    if tuple(shape) != (rows, width):
        names = ", ".join(f"'{site.name}'" for site in layout.local)
        outputs = layout.list_outputs(family)
        listed = ", ".join(f"{count} {name}" for name, count in outputs.items() if count)
        raise ValueError(
            f"AutoAmortized: the encoder gave an array of shape {tuple(shape)} for {rows} rows of "
            f"plate '{layout.plate}'; expected ({rows}, {width}): {listed} "
            f"for {names}. Give its last layer {width} outputs, or leave encoder= out."
        )


def check_features(shape: Sequence[int], layout: RowLayout, size: int, rows: int) -> None:
    """Refuse features that do not have an entry for each row.

    Args:
        shape: Shape of what ``features=`` gave.
        layout: The sites.
        size: Rows of the plate.
        rows: Rows that are shown.

    Raises:
        ValueError: They have another length.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> check_features((100, 3), RowLayout("rows", -1, (z,), (), (), {}), 100, 10)
    """
    if not len(shape) or shape[0] not in (size, rows):
        raise ValueError(
            f"AutoAmortized: features= gave an array of shape {tuple(shape)}; expected one entry "
            f"for each of the {size} rows of plate '{layout.plate}'. Give all rows: the guide "
            "takes those of the minibatch."
        )


def refuse_features(count: int) -> None:
    """Refuse features that are not numbers.

    Args:
        count: How many are not finite.

    Raises:
        ValueError: There is one.

    Example:
        >>> refuse_features(0)
    """
    if count:
        raise ValueError(
            f"AutoAmortized: features= gave {count} values that are not finite; expected numbers. "
            "Fill them in, and add flags of what is there."
        )


def refuse_nothing_to_read(layout: RowLayout) -> None:
    """Refuse a plate whose rows have no data.

    Args:
        layout: The sites.

    Raises:
        ValueError: No observed site lies in the plate.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> refuse_nothing_to_read(RowLayout("rows", -1, (z,), (), (("x", 0),), {}))
    """
    if not layout.observed:
        raise ValueError(
            f"AutoAmortized: plate '{layout.plate}' has no observed site to read; expected data. "
            "Write features=lambda *args: ..., a function of the model's arguments."
        )
