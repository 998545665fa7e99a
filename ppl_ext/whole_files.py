"""Files that appear whole or not at all, one by itself or those of a run together."""

import os
import platform
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["find_target", "replace_file", "replace_outputs"]

_PREFIX = ".ppl_ext-"


def replace_file(called: str, path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file beside its place, and move it there when it is complete.

    A file already there keeps its mode, and a link keeps pointing to it. What calls that were
    killed have left beside it is removed.

    Args:
        called: What a user called, for the messages.
        path: Where to.
        content: The content.

    Raises:
        ValueError: The path is empty.
        FileNotFoundError: There is no such folder.
        IsADirectoryError: The path is a folder.
        OSError: The disk is full, say; the file that was there before is whole.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     replace_file("save", Path(folder, "a.txt"), b"whole")
        ...     Path(folder, "a.txt").read_bytes()
        b'whole'
    """
    target = find_target(called, path)
    mine = f"{_PREFIX}{zlib.crc32(os.fsencode(target.name)):08x}-{_name_machine()}-"
    _remove_orphans(target.parent, mine)
    # A token for each call, since threads share their process' number.
    temporary = target.with_name(f"{mine}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            error.errno,
            f"{called}: '{path}' could not be written ({why}), and what was there before is as it "
            "was; expected room on its disk. Make some, or choose another path",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def find_target(called: str, path: str | os.PathLike[str], name: str = "fit.safetensors") -> Path:
    """The file that a path stands for, or a refusal of one that cannot be written.

    Args:
        called: What a user called, for the messages.
        path: The path.
        name: A file name for the messages.

    Returns:
        The file; where the path is a link, what it points to.

    Raises:
        ValueError: The path is empty.
        FileNotFoundError: There is no such folder.
        IsADirectoryError: The path is a folder.

    Example:
        >>> find_target("save", "")
        Traceback (most recent call last):
            ...
        ValueError: save: the path is empty; expected a file name. Write 'fit.safetensors', say.
    """
    if not os.fspath(path):
        raise ValueError(
            f"{called}: the path is empty; expected a file name. Write '{name}', say."
        )
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(
            f"{called}: '{path}' is a folder; expected a file. Add a name: '{Path(path, name)}'."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{called}: '{path}' is in a folder that does not exist; expected one. Make it first: "
            f"Path({str(Path(path).parent)!r}).mkdir(parents=True)."
        )
    return target


@contextmanager
def replace_outputs(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Write the outputs of a run aside, and move them to their folder when all are complete.

    Where an error ends the block, the folder is as it was.

    Args:
        folder: Where the outputs go.
        names: Names of all that a run may write; those of an earlier run that are not written
            again are removed, as they belong to other results.

    Yields:
        The folder to write to.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replace_outputs(Path(folder), ["a.txt", "b.txt"]) as aside:
        ...         _ = (aside / "a.txt").write_text("whole")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.txt']
    """
    mine = f"{_PREFIX}run-{_name_machine()}-"
    _remove_orphans(folder, mine)
    prefix = f"{mine}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=".tmp", dir=folder) as name:
        new, old = Path(name, "new"), Path(name, "old")
        new.mkdir()
        old.mkdir()
        yield new
        written = [path.name for path in new.iterdir()]
        with ExitStack() as undo:
            for each in {*names, *written}:
                if (folder / each).exists():
                    os.replace(folder / each, old / each)
                    undo.callback(os.replace, old / each, folder / each)
            for each in written:
                os.replace(new / each, folder / each)
                undo.callback(os.replace, folder / each, new / each)
            undo.pop_all()


def _name_machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _remove_orphans(folder: Path, mine: str) -> None:
    for left in folder.glob(f"{mine}*.tmp"):
        number = left.name.removeprefix(mine).partition("-")[0]
        if not number.isdigit() or _is_alive(int(number)):
            continue
        if not left.is_dir():
            left.unlink(missing_ok=True)
        # One that was killed while it moved files holds those of the run before.
        elif not any(left.glob("old/*")):
            shutil.rmtree(left)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
