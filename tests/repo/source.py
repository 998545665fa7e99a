"""The package read as text: which names are public, and what each of them promises.

Reading instead of importing shows what the package itself says, without what a class inherits from
its host, and needs no host.
"""

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ppl_ext"
ROOMS = ("pyro", "numpyro")

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class PublicName:
    """A public name: where a user finds it, where it is defined, and its definition."""

    name: str
    module: str  # dotted, of the definition
    definition: Definition | None  # None for a constant

    @property
    def doc(self) -> str:
        return (self.definition and ast.get_docstring(self.definition)) or ""

    @property
    def lineage(self) -> list[ast.ClassDef]:
        """The class and those of its bases that this package defines."""
        if not isinstance(self.definition, ast.ClassDef):
            return []
        bases = (resolve(ast.unparse(base), locate(self.module)) for base in self.definition.bases)
        return [self.definition, *(each for base in bases for each in base.lineage)]

    @property
    def methods(self) -> dict[str, ast.FunctionDef]:
        """Public methods and properties of a class, those of its host apart."""
        return {
            node.name: node
            for definition in reversed(self.lineage)
            for node in definition.body
            if isinstance(node, ast.FunctionDef)
            and (not node.name.startswith("_") or node.name == "__init__")
        }

    def doc_of(self, method: str) -> str:
        """The docstring of a method, which an override may leave to its base."""
        texts = (
            ast.get_docstring(node)
            for definition in self.lineage
            for node in definition.body
            if isinstance(node, ast.FunctionDef) and node.name == method
        )
        return next(filter(None, texts), "")

    @property
    def fields(self) -> list[str]:
        """Public fields of a dataclass: what its body annotates."""
        return [
            node.target.id
            for definition in reversed(self.lineage)
            for node in definition.body
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and not node.target.id.startswith("_")
        ]


def tracked_files(*patterns: str) -> list[Path]:
    """List the files under version control that match."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dotted(path: Path) -> str:
    """Name the module of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def locate(module: str) -> Path:
    """Find the file of a module of this repository."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def exported(path: Path) -> list[str]:
    """Read ``__all__``."""
    for node in parse(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def statements(path: Path) -> list[ast.stmt]:
    """List the statements of a module, those for type checkers too."""
    nodes = parse(path).body
    branches = (node for node in nodes if isinstance(node, ast.If))
    deferred = [
        each
        for branch in branches
        if ast.unparse(branch.test) == "TYPE_CHECKING"
        for each in branch.body
    ]
    return [*nodes, *deferred]


def resolve(name: str, path: Path) -> PublicName:
    """Follow a name through ``from ... import`` to its definition."""
    for node in statements(path):
        if isinstance(node, Definition) and node.name == name:
            return PublicName(name, dotted(path), node)
        if (
            isinstance(node, ast.ImportFrom)
            and str(node.module).startswith("ppl_ext")
            and name in {a.asname or a.name for a in node.names}
        ):
            original = next(a.name for a in node.names if name == (a.asname or a.name))
            submodule = locate(f"{node.module}.{original}")
            if submodule.exists():  # a module that is itself exported
                return PublicName(name, dotted(submodule), None)
            return resolve(original, locate(str(node.module)))
    return PublicName(name, dotted(path), None)


def room_names(room: str) -> list[PublicName]:
    """List what ``import ppl_ext.<room>`` offers, and its parts."""
    parts = ("", "distributions", "estimators", "factorization")
    inits = [PACKAGE / room / part / "__init__.py" for part in parts]
    return [resolve(name, init) for init in inits for name in exported(init)]


def room_modules(room: str) -> list[str]:
    """Name the modules of a room: importing the room alone would load them when they are used."""
    return [dotted(path) for path in tracked_files(f"ppl_ext/{room}/*.py")]


def hall_files() -> list[Path]:
    """List the files of the hall."""
    return [
        path
        for path in tracked_files("ppl_ext/*.py")
        if path.relative_to(PACKAGE).parts[0] not in ROOMS
    ]


def hall_names() -> list[PublicName]:
    """List what the modules of the hall offer; a package offers what its ``__init__`` does."""
    return [
        resolve(name, path)
        for path in hall_files()
        if path.parent == PACKAGE or (path.name == "__init__.py" and path.parents[1] == PACKAGE)
        for name in exported(path)
    ]
