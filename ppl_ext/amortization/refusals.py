"""What an amortized guide refuses, in words that both rooms share."""

from __future__ import annotations

from typing import Any

from ppl_ext.amortization.layout import CONTEXT_DIM, RowLayout

__all__ = [
    "check_batch",
    "check_family",
    "check_local_flow",
    "name_local_family",
    "refuse_local",
    "refuse_no_shared",
    "refuse_ties",
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
        >>> check_family("shared", "full_rank")
    """
    if family not in ("mean_field", "full_rank"):
        raise ValueError(
            f"AutoAmortized: {what}={family!r}; expected 'mean_field' or 'full_rank'. Write "
            f"AutoAmortized(model, {what}='full_rank')."
        )


def name_local_family(local: Any) -> str:
    """The family of local sites: of Gaussians, or of flows.

    Args:
        local: The argument: its name, or a function that makes a flow.

    Raises:
        ValueError: It is something else.

    Example:
        >>> name_local_family("mean_field"), name_local_family(lambda dim, context_dim: ...)
        ('mean_field', 'flow')
    """
    if callable(local):
        return "flow"
    if local not in ("mean_field", "full_rank", "flow"):
        raise ValueError(
            f"AutoAmortized: local={local!r}; expected 'mean_field', 'full_rank' or 'flow', or a "
            "function (dim, context_dim) -> conditional flow. Write AutoAmortized(model, "
            "local='full_rank')."
        )
    return str(local)


def check_local_flow(flow: Any, dim: int) -> None:
    """Refuse what is no flow of the local coordinates given a context.

    Args:
        flow: What ``local=`` has made.
        dim: Number of local coordinates.

    Raises:
        ValueError: It is none, or of other dimensions.

    Example:
        >>> from types import SimpleNamespace as Flow
        >>> check_local_flow(Flow(dim=2, context_dim=CONTEXT_DIM), 2)
    """
    found = getattr(flow, "dim", None), getattr(flow, "context_dim", None)
    if found != (dim, CONTEXT_DIM):
        raise ValueError(
            f"AutoAmortized: local= made a {type(flow).__name__} of (dim, context_dim) = {found}; "
            f"expected a flow of {(dim, CONTEXT_DIM)}. Write local=lambda dim, context_dim: "
            "flows.CouplingFlow(dim, context_dim)."
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
            f"most as many as there are. Write subsample_size=min({subsample_size}, {size}); "
            f"where it follows data, give at most {size} rows at a time: guide.median(x[:{size}])."
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


def refuse_no_shared(layout: RowLayout, line: str) -> None:
    """Refuse to show the posterior of shared sites where there are none.

    Args:
        layout: The sites.
        line: The call that shows the local ones.

    Raises:
        ValueError: There are none.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> refuse_no_shared(RowLayout("rows", -1, (z,), (z,), (), {}), "guide.local_posterior()")
    """
    if not layout.shared:
        raise ValueError(
            f"AutoAmortized: all latent sites lie in plate '{layout.plate}'; expected one outside "
            f"of it. Use {line}."
        )


def refuse_ties(layout: RowLayout, tied: bool) -> None:
    """Refuse to tell rows apart that something outside of their plate ties together.

    Args:
        layout: The sites.
        tied: Whether the density of a site outside of the plate hangs on local sites.

    Raises:
        ValueError: It does.

    Example:
        >>> from ppl_ext.amortization.layout import FlatSite
        >>> z = FlatSite("z", (2,), 1, 1, plates=("rows",), start=0, stop=2)
        >>> refuse_ties(RowLayout("rows", -1, (z,), (), (), {}), tied=False)
    """
    if tied:
        names = ", ".join(f"'{site.name}'" for site in layout.local)
        raise ValueError(
            f"AutoAmortized.refine: what is sampled outside of plate '{layout.plate}' hangs on "
            f"{names} in it; expected rows that are independent given the sites outside. Put "
            "into the plate what belongs to a row, or fit all rows together: px.fit(...)."
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
