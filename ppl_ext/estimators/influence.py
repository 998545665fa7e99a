"""What the discrete sites of a guide have an influence on, from what each term depends on."""

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["find_influence", "order_axes"]

Term = tuple[str, str]  # "guide" or "model", and the name of the site
Sources = Mapping[Term, frozenset[str]]


def find_influence(
    discrete: Sequence[str], sources: Sources, logits: Sources
) -> tuple[dict[str, frozenset[str]], dict[str, tuple[Term, ...]], frozenset[str]]:
    """Follow the discrete sites through each other to all terms of the bound.

    Args:
        discrete: Names of the guide's discrete sites.
        sources: The discrete sites whose values each term depends on.
        logits: The same of the logits alone, at sites whose two terms may be put in as their
            mean; both sides of each.

    Returns:
        The discrete sites that the distribution of each depends on; the terms that each has an
        influence on, through others too; and the sites whose two terms are put in as their mean,
        since the model's logits do not depend on what follows from the site.
    """
    parents = {name: sources["guide", name] - {name} for name in discrete}
    offspring = {name: _trace_descent(name, parents) for name in discrete}
    analytic = frozenset(
        name
        for side, name in logits
        if side == "model" and not logits["model", name] & offspring[name]
    )
    # A mean depends on no value of the site itself, but on what either logits depend on.
    means = {
        (side, name): logits["guide", name] | logits[side, name]
        for side, name in logits
        if name in analytic
    }
    terms = {
        name: tuple(t for t, source in ({**sources, **means}).items() if source & offspring[name])
        for name in discrete
    }
    return parents, terms, analytic


def order_axes(num_axes: int, batch_ndim: int, closed: Iterable[int]) -> tuple[list[int], int]:
    """Order the axes of a site's logits, those of its closed plates first.

    Args:
        num_axes: Number of all axes.
        batch_ndim: Number of axes of the batch, which come first.
        closed: Dimensions of the closed plates, counted from the right of the batch.

    Returns:
        The axes in their new order, and how many are those of closed plates.
    """
    first = sorted(batch_ndim + dim for dim in closed)
    return [*first, *(axis for axis in range(num_axes) if axis not in first)], len(first)


def _trace_descent(name: str, parents: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The site and all discrete sites whose distributions follow from it."""
    found = {name}
    while more := {child for child, its in parents.items() if its & found} - found:
        found |= more
    return frozenset(found)
