"""HTML read by the parser of the standard library, which knows nothing of how it was written."""

import base64
import io
from html.parser import HTMLParser

import matplotlib.image

VOID = {"meta", "img"}
REFERENCES = ("src", "href", "srcset", "data", "action", "background", "poster", "style")


class Page(HTMLParser):
    """A document whose tags are closed in the order in which they were opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.opened, self.tags, self.words, self.pictures = [], set(), [], []
        self.feed(text)
        self.close()
        assert not self.opened, self.opened

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"a script: {name}={value}"
            if name == "src":
                kind, _, data = value.partition(",")
                assert kind == "data:image/png;base64"
                png = base64.b64decode(data, validate=True)
                self.pictures.append(matplotlib.image.imread(io.BytesIO(png), format="png"))
            elif name in REFERENCES:
                assert name == "style"
                assert "url(" not in value
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return "\n".join(self.words)


def read_fragment(shown):
    """Read what a notebook is given, and see that it is no more than text and tables."""
    page = Page(shown)
    assert page.tags <= {"div", "h3", "p", "table", "thead", "tbody", "tr", "th", "td"}
    return page
