"""What may stay of a stranger's HTML, and what it says as plain text."""

from html.parser import HTMLParser
from typing import Final

import nh3

_TAGS: Final = frozenset(nh3.ALLOWED_TAGS - {"img", "map", "area"})
"""No images at all: a remote one tells its owner who read the message and when."""
_ATTRIBUTES: Final = {
    "a": {"href", "title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
}
_SCHEMES: Final = {"http", "https", "mailto", "tel"}
_DROPPED_WITH_CONTENT: Final = {"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"}

_OWN_LINE: Final = frozenset(
    {"address", "article", "blockquote", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"}
    | {"header", "hr", "li", "ol", "p", "pre", "section", "table", "tr", "ul"}
)
_SET_APART: Final = frozenset({"p", "h1", "h2", "h3", "blockquote", "table", "ul", "ol"})


def safe_html(html: str) -> str:
    """The HTML without script, style, forms, images or anything else that loads or runs."""
    return nh3.clean(
        html,
        tags=set(_TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes=set(_SCHEMES),
        clean_content_tags=set(_DROPPED_WITH_CONTENT),
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
    )


def text_of_html(html: str) -> str:
    """What the HTML says, a line per block; quoted passages begin with `> ` as they do in plain text."""
    reader = _TextReader()
    # Sanitising first leaves well-formed markup, so the reader needs no guards against the broken kind.
    reader.feed(safe_html(html))
    reader.close()
    return reader.text()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line = ""
        self._depth = 0
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag == "br":
            self._end_line()
        if tag in _OWN_LINE:
            self._start_block(apart=tag in _SET_APART)
        if tag == "blockquote":
            self._depth += 1
        if tag == "pre":
            self._verbatim += 1
        if tag == "li":
            self._line += "- "
        if tag in {"td", "th"} and self._line and not self._line.endswith(" "):
            self._line += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in _OWN_LINE:
            self._start_block(apart=tag in _SET_APART)
        if tag == "blockquote":
            self._depth = max(0, self._depth - 1)
        if tag == "pre":
            self._verbatim = max(0, self._verbatim - 1)

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            first, *others = data.split("\n")
            self._line += first
            for line in others:
                self._end_line()
                self._line = line
            return
        words = " ".join(data.split())
        if data[:1].isspace() and self._line and not self._line.endswith(" "):
            self._line += " "
        self._line += words
        if words and data[-1:].isspace():
            self._line += " "

    def text(self) -> str:
        if self._line.strip():
            self._end_line()
        return "\n".join(self._lines).strip("\n")

    def _start_block(self, *, apart: bool) -> None:
        if self._line.strip():
            self._end_line()
        self._line = ""
        if apart and self._lines and self._lines[-1].strip("> "):
            self._end_line()

    def _end_line(self) -> None:
        self._lines.append(("> " * self._depth + self._line).rstrip())
        self._line = ""
