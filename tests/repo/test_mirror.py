"""Both rooms offer the same names, with the same parameters and the same first paragraph.

Where they have to differ, ``mirror_ledger.toml`` says so and why; a line of it that no longer
differs fails as well.
"""

import ast
import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.repo.source import PublicName, room_names

LEDGER = tomllib.loads((Path(__file__).parent / "mirror_ledger.toml").read_text(encoding="utf-8"))[
    "difference"
]


def parameters_of(function: ast.FunctionDef) -> list[str]:
    """Spell out the parameters with their defaults, the instance apart."""
    arguments = copy.deepcopy(function.args)
    for node in ast.walk(arguments):
        if isinstance(node, ast.arg):
            node.annotation = None
    parameters = [each for each in ast.unparse(arguments).split(", ") if each]
    return parameters[1:] if parameters[:1] in (["self"], ["cls"]) else parameters


def without_randomness(pyro: list[str], numpyro: list[str]) -> tuple[list[str], list[str]]:
    """Drop the one systematic difference: a key that comes first in NumPyro, a seed in Pyro."""
    if numpyro[:1] == ["rng_key"]:
        numpyro = numpyro[1:]
        pyro = [parameter for parameter in pyro if not parameter.startswith("seed")]
    return pyro, numpyro


def first_paragraph(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def compare(path: str, pyro: ast.FunctionDef, numpyro: ast.FunctionDef) -> Iterator[str]:
    """Say where two functions differ."""
    parameters = without_randomness(parameters_of(pyro), parameters_of(numpyro))
    if parameters[0] != parameters[1]:
        lists = " | ".join(", ".join(each) for each in parameters)
        yield f"{path}: parameters {lists}"
    docs = [first_paragraph(ast.get_docstring(each) or "") for each in (pyro, numpyro)]
    if docs[0] != docs[1]:
        yield f"{path}: docstring"


def compare_classes(pyro: PublicName, numpyro: PublicName) -> Iterator[str]:
    """Say where two classes differ: fields, methods, docstrings."""
    if first_paragraph(pyro.doc) != first_paragraph(numpyro.doc):
        yield f"{pyro.name}: docstring"
    if pyro.fields != numpyro.fields:
        yield f"{pyro.name}: fields {', '.join(pyro.fields)} | {', '.join(numpyro.fields)}"
    for method in sorted(pyro.methods.keys() | numpyro.methods.keys()):
        if method not in numpyro.methods:
            yield f"{pyro.name}.{method}: only in pyro"
        elif method not in pyro.methods:
            yield f"{pyro.name}.{method}: only in numpyro"
        else:
            pair = pyro.methods[method], numpyro.methods[method]
            yield from compare(f"{pyro.name}.{method}", *pair)


def differences() -> Iterator[str]:
    """Walk both rooms."""
    pyro, numpyro = (
        {name.name: name for name in room_names(room)} for room in ("pyro", "numpyro")
    )
    yield from (f"{name}: only in pyro" for name in pyro.keys() - numpyro.keys())
    yield from (f"{name}: only in numpyro" for name in numpyro.keys() - pyro.keys())
    for name in pyro.keys() & numpyro.keys():
        ours, theirs = pyro[name], numpyro[name]
        module = ours.module.replace("ppl_ext.pyro", "ppl_ext.numpyro")
        if module != theirs.module:
            yield f"{name}: module {ours.module} | {theirs.module}"
        if type(ours.definition) is not type(theirs.definition):
            yield f"{name}: kind"
        elif isinstance(ours.definition, ast.ClassDef):
            yield from compare_classes(ours, theirs)
        elif isinstance(ours.definition, ast.FunctionDef):
            yield from compare(name, ours.definition, theirs.definition)


def test_rooms_offer_something():
    assert room_names("pyro")
    assert room_names("numpyro")


def test_rooms_mirror_each_other():
    found, allowed = set(differences()), {entry["what"] for entry in LEDGER}
    assert not found - allowed, "the rooms differ:\n" + "\n".join(sorted(found - allowed))
    assert not allowed - found, "no longer differs:\n" + "\n".join(sorted(allowed - found))


def test_each_difference_has_a_reason():
    for entry in LEDGER:
        assert entry.keys() == {"what", "reason"}, entry
        assert len(entry["reason"].split()) >= 5, entry
