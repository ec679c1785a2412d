"""Text from outside that our database and our JSON can hold."""

import re
from typing import Final

_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_BREAK: Final = re.compile(r"\r\n?|[\u2028\u2029\x85]")
_BLANKS: Final = re.compile(r"\s+")


def storable_text(text: str) -> str:
    """The text without control characters (PostgreSQL takes no NUL) and lone surrogates, lines ended by newlines."""
    whole = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return _UNPRINTABLE.sub("", _LINE_BREAK.sub("\n", whole))


def one_line(text: str) -> str:
    """The text on a single line, as a header or a name must be."""
    return _BLANKS.sub(" ", storable_text(text)).strip()
