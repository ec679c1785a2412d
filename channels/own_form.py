"""What a message in our own form must keep to, whichever door it came through."""

import re
from dataclasses import dataclass
from typing import Final

from channels.adapter import Attachment, ChannelError

LONGEST_TEXT: Final = 100_000
LONGEST_HTML: Final = 500_000
LONGEST_SUBJECT: Final = 998
LONGEST_ID: Final = 998
LONGEST_NAME: Final = 200
MOST_ATTACHMENTS: Final = 50
LARGEST_ATTACHMENT: Final = 25 * 1024 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fault:
    pointer: str
    """Where in the message, as a JSON pointer (RFC 6901)."""
    reason: str


class InvalidMessage(ChannelError):  # noqa: N818 - says what it is
    """The message breaks our form; nothing of it was taken."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.reason}" for fault in faults))
        self.faults = faults


def id_faults(pointer: str, value: str | None) -> list[Fault]:
    """An id is compared and logged, so it is one printable line of bounded length."""
    if value is None:
        return []
    if not value.strip():
        return [Fault(pointer, "must not be empty")]
    if len(value) > LONGEST_ID:
        return [Fault(pointer, f"must not be longer than {LONGEST_ID} characters")]
    if _CONTROL.search(value):
        return [Fault(pointer, "must not hold control characters")]
    return []


def length_faults(pointer: str, value: str | None, longest: int) -> list[Fault]:
    if value is not None and len(value) > longest:
        return [Fault(pointer, f"must not be longer than {longest} characters")]
    return []


def content_faults(text: str, html: str | None, attachments: tuple[Attachment, ...]) -> list[Fault]:
    faults = length_faults("/text", text, LONGEST_TEXT) + length_faults("/html", html, LONGEST_HTML)
    if not text.strip() and not (html or "").strip() and not attachments:
        faults.append(Fault("/text", "must not be empty without html or attachments"))
    if len(attachments) > MOST_ATTACHMENTS:
        faults.append(Fault("/attachments", f"must not be more than {MOST_ATTACHMENTS}"))
    for position, attachment in enumerate(attachments):
        if attachment.size > LARGEST_ATTACHMENT:
            faults.append(Fault(f"/attachments/{position}", f"must not be larger than {LARGEST_ATTACHMENT} bytes"))
    return faults
