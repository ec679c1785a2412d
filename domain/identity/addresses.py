"""The normal form of a customer's address: two spellings of one address compare equal.

The rules here need nothing but the standard library. Telephone numbers need the numbering plans of the world, so
`channels.addresses` brings those into the form this module declares.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.channels import Channel


class AddressKind(StrEnum):
    """What an address is; one kind may serve several channels, which is what lets SMS and WhatsApp meet."""

    EMAIL = "email"
    PHONE = "phone"
    VISITOR = "visitor"
    SITE_USER = "site_user"
    VIDEO = "video"
    MESSENGER = "messenger"
    INSTAGRAM = "instagram"
    X = "x"
    TELEGRAM = "telegram"
    SLACK = "slack"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class NormalAddress:
    kind: AddressKind
    value: str


class NotAnAddress(ValueError):  # noqa: N818 - says what is wrong
    """The text can't be an address of this kind."""

    def __init__(self, kind: AddressKind, reason: str) -> None:
        super().__init__(f"not an address of kind {kind}: {reason}")
        self.kind = kind
        self.reason = reason


SITE_USER_PREFIX: Final = "user:"
"""Marks a web chat sender the customer's own site vouches for; everything else there is an anonymous visitor."""

_KIND_OF_CHANNEL: Final = {
    Channel.EMAIL: AddressKind.EMAIL,
    Channel.WEB_CHAT: AddressKind.VISITOR,
    Channel.SMS: AddressKind.PHONE,
    Channel.WHATSAPP: AddressKind.PHONE,
    Channel.VOICE: AddressKind.PHONE,
    Channel.VIDEO: AddressKind.VIDEO,
    Channel.MESSENGER: AddressKind.MESSENGER,
    Channel.INSTAGRAM: AddressKind.INSTAGRAM,
    Channel.X: AddressKind.X,
    Channel.TELEGRAM: AddressKind.TELEGRAM,
    Channel.SLACK: AddressKind.SLACK,
    Channel.WEBHOOK: AddressKind.WEBHOOK,
}

_LONGEST_EMAIL: Final = 254  # RFC 5321, section 4.5.3.1, less the angle brackets
_LONGEST_LOCAL_PART: Final = 64
_LONGEST_DOMAIN: Final = 253
_LONGEST_PLATFORM_ID: Final = 255
_UNSPOKEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_LOCAL_PART: Final = re.compile(r'[()<>\[\]:;@\\,"]')
_DOMAIN_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def address_kind(channel: Channel) -> AddressKind:
    """The kind of address customers have on a channel; a signed-in web chat user is a `SITE_USER` instead."""
    return _KIND_OF_CHANNEL[channel]


def normal_email(raw: str) -> NormalAddress:
    """An e-mail address in lower case, its domain in the ASCII form of IDNA.

    RFC 5321 lets local parts differ by case; no mailbox in use does, so matching ignores it. Dots and plus tags are
    kept: what they mean is each provider's business, and guessing wrong would join two people.
    """
    address = raw.strip()
    local_part, at, domain = address.rpartition("@")
    if not at or not local_part or not domain:
        raise NotAnAddress(AddressKind.EMAIL, "it needs a name, an @ and a domain")
    if _UNSPOKEN.search(address):
        raise NotAnAddress(AddressKind.EMAIL, "it holds a space or a control character")
    if _NOT_IN_LOCAL_PART.search(local_part):
        raise NotAnAddress(AddressKind.EMAIL, "its name holds a character that needs quoting")
    value = f"{local_part.lower()}@{_ascii_domain(domain)}"
    if len(local_part.lower().encode()) > _LONGEST_LOCAL_PART or len(value.encode()) > _LONGEST_EMAIL:
        raise NotAnAddress(AddressKind.EMAIL, "it is too long")
    return NormalAddress(AddressKind.EMAIL, value)


def normal_platform_id(kind: AddressKind, raw: str) -> NormalAddress:
    """A platform's opaque id, taken as it is: case may carry meaning, so only the blanks around it go."""
    value = raw.strip()
    if not value:
        raise NotAnAddress(kind, "it is empty")
    if len(value) > _LONGEST_PLATFORM_ID:
        raise NotAnAddress(kind, "it is too long")
    if _UNSPOKEN.search(value):
        raise NotAnAddress(kind, "it holds a space or a control character")
    return NormalAddress(kind, value)


def _ascii_domain(domain: str) -> str:
    if len(domain) > _LONGEST_DOMAIN:
        raise NotAnAddress(AddressKind.EMAIL, "its domain is too long")
    try:
        ascii_domain = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise NotAnAddress(AddressKind.EMAIL, "its domain can't be written in IDNA") from error
    if not all(_DOMAIN_LABEL.fullmatch(label) for label in ascii_domain.split(".")):
        raise NotAnAddress(AddressKind.EMAIL, "its domain is malformed")
    return ascii_domain
