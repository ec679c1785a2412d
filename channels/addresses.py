"""Addresses as they arrive from platforms, brought into the domain's normal form."""

import re
from typing import Final

import phonenumbers

from domain.channels import Channel
from domain.identity.addresses import (
    SITE_USER_PREFIX,
    AddressKind,
    NormalAddress,
    NotAnAddress,
    address_kind,
    normal_email,
    normal_platform_id,
)

_PLATFORM_PREFIX: Final = re.compile(r"^(?:whatsapp|sms|tel|rcs):", re.IGNORECASE)
_WRITTEN_NUMBER: Final = re.compile(r"\+?[\d\s().\-/\u00a0\u2010-\u2015]+")
_E164: Final = re.compile(r"\+[1-9]\d{6,14}")  # ITU-T E.164: at most 15 digits


def normal_address(channel: Channel, raw: str, default_region: str | None = None) -> NormalAddress:
    """The normal form of an address on a channel.

    `default_region` (ISO 3166-1 alpha-2) reads a telephone number written without its country code. Raises
    `NotAnAddress`.
    """
    kind = address_kind(channel)
    if kind is AddressKind.EMAIL:
        return normal_email(raw)
    if kind is AddressKind.PHONE:
        # The WhatsApp Cloud API leaves the plus sign away; its ids always carry the country code.
        return _normal_phone(raw, default_region, always_international=channel is Channel.WHATSAPP)
    if kind is AddressKind.VISITOR and raw.strip().startswith(SITE_USER_PREFIX):
        user_id = normal_platform_id(AddressKind.SITE_USER, raw.strip().removeprefix(SITE_USER_PREFIX))
        return NormalAddress(AddressKind.SITE_USER, SITE_USER_PREFIX + user_id.value)
    return normal_platform_id(kind, raw)


def _normal_phone(raw: str, default_region: str | None, *, always_international: bool) -> NormalAddress:
    written = _PLATFORM_PREFIX.sub("", raw.strip()).strip()
    if not _WRITTEN_NUMBER.fullmatch(written):
        raise NotAnAddress(AddressKind.PHONE, "a telephone number is digits with an optional plus sign")
    if always_international and not written.startswith("+"):
        written = f"+{written}"
    try:
        number = phonenumbers.parse(written, default_region)
    except phonenumbers.NumberParseException as error:
        return _plain_international(written, str(error))
    value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if phonenumbers.is_possible_number(number) and _E164.fullmatch(value):
        return NormalAddress(AddressKind.PHONE, value)
    return _plain_international(written, "no such length in its numbering plan")


def _plain_international(written: str, reason: str) -> NormalAddress:
    # Numbering plans grow faster than any copy of them: a sender whose number is whole but unknown is still a sender.
    digits = "+" + re.sub(r"\D", "", written)
    if written.startswith("+") and _E164.fullmatch(digits):
        return NormalAddress(AddressKind.PHONE, digits)
    raise NotAnAddress(AddressKind.PHONE, reason)
