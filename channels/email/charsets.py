"""Bytes to text when the label is wrong, missing or made up."""

import codecs
from typing import Final

_WIDER: Final = {
    # What mail programs label with the left they write in the right, as the WHATWG Encoding Standard lists.
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
}
_NOT_FOR_MAIL: Final = frozenset(
    {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"}
)
"""Python codecs that are no character sets of text; some take quadratic time on long input."""


def text_in_charset(content: bytes, charset: str | None) -> str:
    """The content read as labelled when that works, else as `text_of_unknown_charset` reads it."""
    codec = _codec(charset)
    if codec is not None:
        try:
            return content.decode(codec)
        except (LookupError, ValueError):
            pass
    return text_of_unknown_charset(content)


def text_of_unknown_charset(content: bytes) -> str:
    """UTF-8 when it is that, else the Western code page that gives every other byte some letter."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _codec(charset: str | None) -> str | None:
    if not charset:
        return None
    try:
        name = codecs.lookup(charset.strip("\"' ")).name
    except (LookupError, ValueError):
        return None
    return None if name in _NOT_FOR_MAIL else _WIDER.get(name, name)
