"""A text file in pieces of whole lines, which end where an editor ends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_text", "cut_pieces"]

# How files of gzip, zip, bzip2, xz and zstd begin.
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd")


def cut_pieces(path: Path, size: int) -> Iterator[bytes]:
    """Whole lines, some at a time; lines end where an editor ends them."""
    with path.open("rb") as file:
        block = file.read(max(size, 8))
        if block.startswith(_PACKED):
            raise ValueError(
                f"read_ratings: '{path.name}' is compressed; expected text. Unpack it first: "
                f"gunzip {path.name}, or unzip."
            )
        block = block.removeprefix(b"\xef\xbb\xbf")
        while block:
            # A return at the end may be the first half of a line's end.
            held = b"\r" if block.endswith(b"\r") else b""
            block = _end_lines(block.removesuffix(held))
            cut = block.rfind(b"\n") + 1
            if cut:
                yield block[:cut]
            more = file.read(size)
            block = block[cut:] + held + more
            if not more:
                if block:
                    yield _end_lines(block)
                return


def _end_lines(block: bytes) -> bytes:
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block


def check_text(path: Path, piece: bytes, number: int) -> None:
    """Refuse what is no text; ``number`` lines came before it."""
    if b"\0" in piece:
        at = number + piece.count(b"\n", 0, piece.index(b"\0")) + 1
        raise ValueError(
            f"read_ratings: line {at} of '{path.name}' has a NUL character; expected text. Take "
            f"such out: tr -d '\\000' < {path.name}; a file in UTF-16 is converted by iconv."
        )
    if piece.isascii():
        return
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        at = number + piece.count(b"\n", 0, error.start)
        raise ValueError(
            f"read_ratings: '{path.name}' is no UTF-8 text after line {at} ({error.reason}); "
            "expected text. If it is text in another encoding, convert it: iconv -f latin1 -t "
            "utf-8."
        ) from error
