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


def without_state(pyro: list[str], numpyro: list[str]) -> tuple[list[str], list[str]]:
    """Drop the systematic difference: NumPyro takes key and parameters first, Pyro keeps both.

    Where NumPyro takes a key, Pyro may take a seed.
    """
    if numpyro[:1] == ["rng_key"]:
        numpyro = numpyro[1:]
        pyro = [parameter for parameter in pyro if not parameter.startswith("seed")]
    return pyro, numpyro[1:] if numpyro[:1] == ["params"] else numpyro


def first_paragraph(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def compare_parameters(
    path: str, pyro: ast.FunctionDef, numpyro: ast.FunctionDef
) -> Iterator[str]:
    """Say where two functions take different parameters."""
    ours, theirs = without_state(parameters_of(pyro), parameters_of(numpyro))
    yield from (f"{path}: {each} only in pyro" for each in ours if each not in theirs)
    yield from (f"{path}: {each} only in numpyro" for each in theirs if each not in ours)
    if sorted(ours) == sorted(theirs) and ours != theirs:
        yield f"{path}: order of the parameters"


def compare_docs(path: str, pyro: str, numpyro: str) -> Iterator[str]:
    """Say whether two docstrings begin with another paragraph."""
    if first_paragraph(pyro) != first_paragraph(numpyro):
        yield f"{path}: docstring"


def compare_classes(pyro: PublicName, numpyro: PublicName) -> Iterator[str]:
    """Say where two classes differ: fields and methods."""
    path = pyro.name
    yield from (
        f"{path}.{each}: only in pyro" for each in pyro.fields if each not in numpyro.fields
    )
    yield from (
        f"{path}.{each}: only in numpyro" for each in numpyro.fields if each not in pyro.fields
    )
    for method in sorted(pyro.methods.keys() | numpyro.methods.keys()):
        if method not in numpyro.methods:
            yield f"{path}.{method}: only in pyro"
        elif method not in pyro.methods:
            yield f"{path}.{method}: only in numpyro"
        else:
            pair = pyro.methods[method], numpyro.methods[method]
            yield from compare_parameters(f"{path}.{method}", *pair)
            yield from compare_docs(
                f"{path}.{method}", pyro.doc_of(method), numpyro.doc_of(method)
            )


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
        yield from compare_docs(name, ours.doc, theirs.doc)
        if type(ours.definition) is not type(theirs.definition):
            yield f"{name}: kind"
        elif isinstance(ours.definition, ast.ClassDef):
            yield from compare_classes(ours, theirs)
        elif isinstance(ours.definition, ast.FunctionDef):
            yield from compare_parameters(name, ours.definition, theirs.definition)


def test_rooms_offer_something():
    assert room_names("pyro")
    assert room_names("numpyro")


def test_rooms_mirror_each_other():
    found = set(differences())
    allowed = {line for entry in LEDGER for line in entry["what"]}
    assert not found - allowed, "the rooms differ:\n" + "\n".join(sorted(found - allowed))
    assert not allowed - found, "no longer differs:\n" + "\n".join(sorted(allowed - found))


def test_each_difference_has_a_reason():
    for entry in LEDGER:
        assert entry.keys() == {"what", "reason"}, entry
        assert len(entry["reason"].split()) >= 5, entry
