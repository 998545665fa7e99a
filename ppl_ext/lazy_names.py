"""Names of a package that are loaded when they are first used."""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["load_when_used"]


def load_when_used(
    package: dict[str, Any],
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    r"""Make the ``__getattr__`` and the ``__dir__`` of a package.

    What the package offers stands in its file once, as the imports below ``if TYPE_CHECKING:``,
    where type checkers and editors read it. Here each of them is carried out when its name is
    first asked for, and ``dir`` lists these names alone. Not for names that an import registers
    somewhere: nobody may ever ask for them.

    Args:
        package: Its ``globals()``.

    Returns:
        The two functions (PEP 562).

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "__init__.py")
        ...     _ = path.write_text("if TYPE_CHECKING:\n    from math import pi, tau")
        ...     find, names = load_when_used({"__name__": "circle", "__file__": str(path)})
        >>> names(), round(find("pi"), 2)
        (['pi', 'tau'], 3.14)
    """
    homes = {
        alias.asname or alias.name: (str(statement.module), alias.name)
        for branch in ast.parse(Path(package["__file__"]).read_text(encoding="utf-8")).body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module '{package['__name__']}' has no attribute '{name}'")
        home, original = homes[name]
        if home == package["__name__"]:
            found: object = import_module(f"{home}.{original}")
        else:
            found = getattr(import_module(home), original)
        package[name] = found  # next time Python finds it by itself
        return found

    return find, lambda: sorted(homes)
