"""Headings, sentences, tables and pictures as HTML, for notebooks and for pages of one file.

All text is escaped, for names of sites are a user's. There are no scripts, no style sheets and no
colours: what is shown reads alike on light and dark ground.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape

__all__ = [
    "render_fragment",
    "render_heading",
    "render_page",
    "render_picture",
    "render_sentence",
    "render_table",
]

# Notebooks set cells to the right, stripe rows and take a pair of dollars for a formula.
_UNTOUCHED = "tex2jax_ignore mathjax_ignore"
_TABLE = "border-collapse: collapse; margin: 0.8em 0"
_CELL = "padding: 0.15em 1em 0.15em 0; vertical-align: top; white-space: pre-line; text-align: "
_PAGE = "max-width: 60em; margin: 2em auto; padding: 0 1em; font-family: sans-serif"


def render_heading(text: str, level: int = 3) -> str:
    """A heading.

    Args:
        text: The words.
        level: 1 for that of a page, more for what stands below.

    Returns:
        HTML.

    Example:
        >>> render_heading("a < b")
        '<h3>a &lt; b</h3>'
    """
    return f"<h{level}>{escape(text)}</h{level}>"


def render_sentence(text: str) -> str:
    """A paragraph.

    Args:
        text: The words.

    Returns:
        HTML.

    Example:
        >>> render_sentence("use the draws.")
        '<p>use the draws.</p>'
    """
    return f"<p>{escape(text)}</p>"


def render_table(rows: Iterable[Sequence[str]], heads: Sequence[str] = (), words: int = 2) -> str:
    """A table whose rows begin with their names.

    Args:
        rows: The rows, each a name and its cells; a line feed in a cell stays one.
        heads: The heads of the columns; none if empty.
        words: How many of the first columns hold words, set to the left; numbers follow.

    Returns:
        HTML; empty where there are no rows.

    Example:
        >>> render_table([("mu", "1.00")], heads=("site", "mean"), words=1).count("scope=")
        3
    """

    def place(column: int) -> str:
        return f'style="{_CELL}{"left" if column < words else "right"}"'

    lines = [
        "<tr>"
        + f'<th scope="row" {place(0)}>{escape(name)}</th>'
        + "".join(f"<td {place(at)}>{escape(cell)}</td>" for at, cell in enumerate(cells, 1))
        + "</tr>"
        for name, *cells in rows
    ]
    if not lines:
        return ""
    head = "".join(
        f'<th scope="col" {place(at)}>{escape(text)}</th>' for at, text in enumerate(heads)
    )
    above = f"<thead><tr>{head}</tr></thead>" if head else ""
    body = "\n".join(lines)
    return f'<table style="{_TABLE}">{above}<tbody>\n{body}\n</tbody></table>'


def render_picture(png: bytes, caption: str) -> str:
    """A picture that the page holds itself, above its caption.

    Args:
        png: The picture, a PNG file.
        caption: What it shows.

    Returns:
        HTML.

    Example:
        >>> 'src="data:image/png;base64,' in render_picture(b"...", "marginals")
        True
    """
    words, data = escape(caption), base64.b64encode(png).decode("ascii")
    return (
        f'<figure style="margin: 1em 0"><img style="max-width: 100%" alt="{words}" '
        f'src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'
    )


def render_fragment(parts: Iterable[str]) -> str:
    """What a notebook shows of an object.

    Args:
        parts: Pieces of HTML from this module.

    Returns:
        HTML.

    Example:
        >>> render_fragment([render_sentence("good")]).endswith("<p>good</p></div>")
        True
    """
    return f'<div class="{_UNTOUCHED}">{_join(parts)}</div>'


def render_page(title: str, parts: Iterable[str]) -> bytes:
    """A file that needs no other.

    Args:
        title: The title of the window.
        parts: Pieces of HTML from this module.

    Returns:
        The file.

    Example:
        >>> render_page("Fit", [render_sentence("good")]).splitlines()[0]
        b'<!DOCTYPE html>'
    """
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n</head>\n"
        f'<body style="{_PAGE}">\n{_join(parts)}\n</body>\n</html>\n'
    )
    # A name may hold half of a surrogate pair, which UTF-8 cannot.
    return text.encode("utf-8", errors="xmlcharrefreplace")


def _join(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
