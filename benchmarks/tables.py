"""Tables as plain text."""

import math
from collections.abc import Sequence

__all__ = ["format_table", "number"]


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest entry, words to the left and figures to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if cell[:1].isalpha() or not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def number(value: float | None, digits: int = 2) -> str:
    """A figure with ``digits`` decimals, in powers of ten where it is huge, ``-`` for None."""
    if value is None:
        return "-"
    if math.isfinite(value) and abs(value) >= 1e6:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"
