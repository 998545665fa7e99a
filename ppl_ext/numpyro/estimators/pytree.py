"""Estimators as pytrees: numbers are settings, arrays are leaves."""

from dataclasses import fields

import jax


def register_estimator(cls):
    """Register a frozen dataclass.

    A field that is a plain number belongs to the structure, so that an estimator within a
    distribution adds no leaf that ``jax.vmap`` would have to map; an array, such as a temperature
    that is annealed within ``jax.jit``, is a leaf.
    """
    names = [field.name for field in fields(cls)]

    def flatten(estimator):
        values = {name: getattr(estimator, name) for name in names}
        settings = tuple((name, value) for name, value in values.items() if _is_setting(value))
        leaves = tuple(value for value in values.values() if not _is_setting(value))
        return leaves, settings

    def unflatten(settings, leaves):
        # Not by the constructor: leaves may be tracers, or stand for something else.
        estimator, remaining, given = object.__new__(cls), iter(leaves), dict(settings)
        for name in names:
            value = given[name] if name in given else next(remaining)
            object.__setattr__(estimator, name, value)
        return estimator

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)
    return cls


def _is_setting(value) -> bool:
    return value is None or isinstance(value, int | float)
