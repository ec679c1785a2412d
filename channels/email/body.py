"""The readable text, the HTML and the files of a message, whatever its parts look like."""

import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Final

from channels.adapter import Attachment
from channels.email.charsets import text_in_charset
from channels.email.headers import decoded
from channels.html import safe_html, text_of_html
from channels.plain_text import storable_text

_NOT_IN_FILE_NAME: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_LONGEST_FILE_NAME: Final = 150
_MOST_PARTS: Final = 500
"""More parts than any person's message has; the rest is not looked at."""


@dataclass(frozen=True, slots=True)
class Body:
    text: str
    html: str | None
    attachments: tuple[Attachment, ...]


@dataclass(slots=True)
class _Found:
    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)


def body_of(message: Message) -> Body:
    """The text is that of the HTML where no plain text was sent."""
    found = _Found()
    for part in _leaves(message):
        if _is_file(part):
            found.attachments.append(_attachment(part, len(found.attachments) + 1))
        elif part.get_content_type() == "text/html":
            found.htmls.append(_text(part))
        else:
            found.texts.append(_text(part))
    html = "\n".join(found.htmls).strip()
    text = "\n\n".join(text.strip("\n") for text in found.texts if text.strip())
    return Body(text or text_of_html(html), safe_html(html) if html else None, tuple(found.attachments))


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that hold content; a message inside the message is one part, not its parts."""
    waiting = [message]
    for _ in range(_MOST_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        if part.is_multipart() and part.get_content_maintype() != "message":
            waiting.extend(reversed(_children(part)))
        else:
            yield part


def _is_file(part: Message) -> bool:
    if part.get_content_disposition() == "attachment" or part.get_content_maintype() == "message":
        return True
    return part.get_content_type() not in {"text/plain", "text/html"} or _raw_file_name(part) is not None


def _text(part: Message) -> str:
    return storable_text(text_in_charset(_content(part), _parameter(part, "charset")))


def _attachment(part: Message, number: int) -> Attachment:
    content_type = part.get_content_type()
    content = _content(part)
    extension = ".eml" if content_type == "message/rfc822" else mimetypes.guess_extension(content_type) or ".bin"
    name = file_name(_raw_file_name(part) or "") or f"attachment-{number}{extension}"
    return Attachment(name=name, content_type=content_type, size=len(content), content=content)


def file_name(raw: str) -> str:
    """The last part of a path a stranger sent, without what a file system or a shell would read into it."""
    name = decoded(raw).replace("\\", "/").rpartition("/")[2]
    name = _NOT_IN_FILE_NAME.sub("_", name).strip(" .")
    if len(name) <= _LONGEST_FILE_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    kept = f"{dot}{extension}" if dot and len(extension) <= 10 else ""  # noqa: PLR2004 - no real extension is longer
    return (stem or name)[: _LONGEST_FILE_NAME - len(kept)] + kept


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _content(part: Message) -> bytes:
    if part.is_multipart():
        # A message in the message, or the blocks of a delivery report.
        return b"\n".join(child.as_bytes() for child in _children(part))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _raw_file_name(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except (LookupError, ValueError, TypeError):
        return "unnamed"
    return str(name) if name is not None else None


def _parameter(part: Message, name: str) -> str | None:
    try:
        value = part.get_param(name)
    except (LookupError, ValueError, TypeError):
        return None
    if isinstance(value, tuple):
        return value[2]
    return str(value) if value is not None else None
