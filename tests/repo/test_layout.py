"""The rules of the house that a reader of the source can see."""

import ast
import re
import tomllib
from collections import Counter

from tests.repo.source import ROOT, dotted, hall_files, parse, tracked_files

CODE = tracked_files("*.py")
LIBRARY = tracked_files("ppl_ext/*.py")
LONGEST = {True: 250, False: 400}  # lines of a file of the library, and of any other
MOST_FILES = 15  # in a folder of the library, its __init__ apart
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
# Folders of one machine, and addresses of package indices; spelled so as not to find itself.
MACHINE = re.compile(
    r"(?<![\w.:/-])/(?:work|tmp|root|opt|home|Users)/\w"
    r"|[p]ypi\.org|pythonhosted\.[o]rg|\.pytorch\.[o]rg"
)


def test_no_relative_imports():
    assert not [
        f"{dotted(path)}:{node.lineno}"
        for path in CODE
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def test_names_say_something():
    assert not [
        path for path in CODE if EMPTY_WORDS & set(path.relative_to(ROOT).with_suffix("").parts)
    ]


def test_files_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert not {
        dotted(path): length
        for path, length in lengths.items()
        if length > LONGEST[path in LIBRARY]
    }


def test_folders_are_small():
    sizes = Counter(path.parent for path in LIBRARY if path.name != "__init__.py")
    assert not {folder: size for folder, size in sizes.items() if size > MOST_FILES}


def test_no_function_shares_the_name_of_its_module():
    assert not [
        dotted(path)
        for path in LIBRARY
        for node in parse(path).body
        if isinstance(node, ast.FunctionDef) and node.name == dotted(path).rpartition(".")[2]
    ]


def test_the_library_swallows_nothing():
    assert not [
        f"{dotted(path)}:{node.lineno}"
        for path in LIBRARY
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]


def test_scripts_are_not_called_like_a_host():
    taken = {"pyro.py", "numpyro.py", "torch.py", "jax.py"}
    assert not [path for path in CODE if path.name in taken]


def test_no_file_knows_one_machine():
    found = []
    for path in tracked_files():
        if path.suffix in {".png", ".safetensors", ".npz"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_the_import_contract_lists_the_whole_hall():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    package = ROOT / "ppl_ext"
    hall = {
        ".".join(dotted(path).split(".")[:2]) for path in hall_files() if path.parent != package
    }
    hall |= {dotted(path) for path in hall_files() if path.parent == package} - {"ppl_ext"}
    assert sorted(contract["source_modules"]) == sorted(hall)
