"""What an amortized guide refuses, in words that both rooms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ppl_ext.amortization.layout import RowLayout

__all__ = [
    "check_batch",
    "check_encoded",
    "check_family",
    "check_features",
    "refuse_features",
    "refuse_local",
    "refuse_nothing_to_read",
    "require_layout",
]


def check_family(what: str, family: Any) -> None:
    """Refuse what is no family of Gaussians.

    Args:
        what: Name of the argument.
        family: Its value.

    Raises:
        ValueError: It is another one.

    Example:
        >>> check_family("local", "full_rank")
    """
    if family not in ("mean_field", "full_rank"):
        raise ValueError(
            f"AutoAmortized: {what}={family!r}; expected 'mean_field' or 'full_rank'. Write "
            f"AutoAmortized(model, {what}='full_rank')."
        )


def check_batch(plate: str, size: int, subsample_size: int | None) -> None:
    """Refuse a plate that is to show more rows than it has.

    Args:
        plate: Its name.
        size: Rows that it has.
        subsample_size: Rows that it shows; None for all.

    Raises:
        ValueError: They are more.

    Example:
        >>> check_batch("rows", 100, 10)
    """
    if subsample_size is not None and subsample_size > size:
        raise ValueError(
            f"AutoAmortized: plate '{plate}' draws {subsample_size} of {size} rows; expected at "
            f"most as many as there are. Write subsample_size=min({subsample_size}, {size})."
        )


def check_encoded(shape: Sequence[int], rows: int, layout: RowLayout, family: str) -> None:
    """Refuse what an encoder gave if it is no row of numbers for each row of the plate.

    Args:
        shape: Shape of what it gave.
        rows: Rows that it was given.
        layout: The sites.
        family: Family of the local Gaussian.

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
        dim = layout.local_dim
        more = f" and {width - 2 * dim} below the diagonal" if width > 2 * dim else ""
        raise ValueError(
            f"AutoAmortized: the encoder gave an array of shape {tuple(shape)} for {rows} rows of "
            f"plate '{layout.plate}'; expected ({rows}, {width}): {dim} locations, {dim} scales"
            f"{more} for {names}. Give its last layer {width} outputs, or leave encoder= out."
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


def refuse_local(name: str, *, moving: bool, masked: bool, mask: str) -> None:
    """Refuse a latent site that a Gaussian of fixed coordinates cannot follow.

    Args:
        name: The site.
        moving: Whether its support depends on other sites.
        masked: Whether a mask lies on it.
        mask: The host's handler of masks.

    Raises:
        ValueError: Either is the case.

    Example:
        >>> refuse_local("z", moving=False, masked=False, mask="handlers.mask")
    """
    if moving:
        raise ValueError(
            f"AutoAmortized: the support of site '{name}' depends on other sites; expected a "
            "fixed one. Sample it from a fixed interval and scale it."
        )
    if masked:
        raise ValueError(
            f"AutoAmortized: latent site '{name}' is masked, so that nothing tells where it lies; "
            f"expected a mask of observed sites alone. Put {mask} around the sites with obs=."
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


def require_layout(layout: RowLayout | None, line: str) -> RowLayout:
    """The sites of a model that has been looked at.

    Args:
        layout: The sites; None before the model was seen.
        line: The call that looks at it.

    Raises:
        RuntimeError: It was not.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> require_layout(RowLayout("rows", -1, (z,), (), (), {}), "guide.setup()").plate
        'rows'
    """
    if layout is None:
        raise RuntimeError(
            "AutoAmortized: the guide has not seen the model yet; expected a set-up before its "
            f"parameters are used. Write {line}."
        )
    return layout
