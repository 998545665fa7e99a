"""Every public name says what it is, what it takes, and shows itself at work."""

import ast

import pytest

from tests.repo.source import ROOMS, PublicName, hall_names, room_names

NAMES = {
    f"{name.module}.{name.name}": name
    for name in [*hall_names(), *(each for room in ROOMS for each in room_names(room))]
}
DEFINED = {path: name for path, name in NAMES.items() if name.definition}


def takes_arguments(name: PublicName) -> bool:
    """Say whether a user has to know of parameters: of a function, a constructor, or fields."""
    if isinstance(name.definition, ast.ClassDef):
        constructor = name.methods.get("__init__")
        return bool(name.fields) or (constructor is not None and len(constructor.args.args) > 1)
    return bool(name.definition.args.args or name.definition.args.kwonlyargs)


def test_there_are_public_names():
    assert len(DEFINED) > 10


@pytest.mark.parametrize("path", DEFINED)
def test_docstring_is_complete(path):
    name = DEFINED[path]
    assert ">>> " in name.doc, f"{path}: no example in its docstring"
    assert "+SKIP" not in name.doc, f"{path}: an example that does not run"
    headings = [line.strip() for line in name.doc.splitlines()]
    if takes_arguments(name):
        assert {"Args:", "Attributes:"} & set(headings), f"{path}: its arguments are not explained"
    order = [
        heading
        for heading in headings
        if heading in ("Args:", "Returns:", "Raises:", "Example:", "References:")
    ]
    fixed = sorted(order, key=["Args:", "Returns:", "Raises:", "Example:", "References:"].index)
    assert order == fixed, f"{path}: sections out of order: {order}"


@pytest.mark.parametrize("path", DEFINED)
def test_public_methods_are_documented(path):
    silent = [
        method
        for method in DEFINED[path].methods
        if method != "__init__" and not DEFINED[path].doc_of(method)
    ]
    assert not silent, f"{path}: no docstring for {', '.join(silent)}"
