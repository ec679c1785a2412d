"""What a person wrote in a reply, without what their mail program quoted."""

import re
from typing import Final

from mailparser_reply import EmailReplyParser

_LANGUAGES: Final = ("en", "de", "fr", "es", "it", "nl", "pl", "sv", "da")
_LOOKED_AT: Final = 20_000
"""Characters searched for the line that opens the quotation."""
_LONGEST_OPENING_LINE: Final = 200
_MASK: Final = "\ue000"
_MASKED: Final = re.compile(f"{_MASK}(\\d+){_MASK}")
_SIGNATURE: Final = re.compile(r"\n--[ ]?\n.*\Z", re.DOTALL)
_SENT_FROM: Final = re.compile(r"\n\s*(?:Sent from my|Get Outlook for|Gesendet von|Envoyé de mon)[^\n]{0,60}\Z")


def written_text(full_text: str) -> str:
    """The newest part of a mail text; the whole of it when nothing in it looks quoted, or everything does."""
    text = full_text.replace(_MASK, "").strip()
    lines = text.split("\n")
    # The library's rules are regular expressions whose time grows with the cube of a line, and a stranger chooses the
    # line. The line that opens a quotation is short, so long ones are laid aside meanwhile.
    masked = "\n".join(_masked(line, number) for number, line in enumerate(lines))
    end = masked.rfind("\n", 0, _LOOKED_AT) if len(masked) > _LOOKED_AT else len(masked)
    written = _newest(masked[:end], masked[end:])
    return _MASKED.sub(lambda found: lines[int(found.group(1))].lstrip("> "), written) or text


def _masked(line: str, number: int) -> str:
    if len(line) <= _LONGEST_OPENING_LINE:
        return line
    return f"{'> ' if line.startswith('>') else ''}{_MASK}{number}{_MASK}"


def _newest(text: str, beyond: str) -> str:
    parts = EmailReplyParser(languages=list(_LANGUAGES)).read(text).replies
    if not any(part.headers for part in parts):
        # The library takes the indentation away; where it found no quotation, the text stays as it was written.
        return _unsigned(text + beyond)
    opened = [bool(part.headers) for part in parts]
    contents = [part.content for part in parts]
    contents[-1] += beyond
    own = [
        _between_quotes(content) if quoted else _unsigned(content)
        for content, quoted in zip(contents, opened, strict=True)
    ]
    return "\n\n".join(part for part in own if part)


def _between_quotes(passage: str) -> str:
    """What stands under or between lines quoted with `>`: an answer below the quotation or inside it.

    A passage without such lines is quoted as a whole, which is how Outlook does it.
    """
    lines = passage.splitlines()
    first_quoted = next((number for number, line in enumerate(lines) if line.startswith(">")), len(lines))
    own = "\n".join(line for line in lines[first_quoted:] if not line.startswith(">"))
    return _unsigned(own)


def _unsigned(text: str) -> str:
    return _SENT_FROM.sub("", _SIGNATURE.sub("", "\n" + text.strip())).strip()
