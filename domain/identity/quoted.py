"""Addresses that stand in what a customer wrote: they may be theirs, or anybody's."""

import re
from typing import Final

from domain.identity.addresses import AddressKind, NormalAddress, NotAnAddress, normal_email

MOST_QUOTED: Final = 5
"""A message that names more addresses than this is a list; the first ones are looked at."""

_LONGEST_READ: Final = 20_000
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
# Only with its country code: without it a number is nobody's in particular.
_PHONE: Final = re.compile(r"(?<![\w+])\+[1-9](?:[ \-./]?\d){6,14}(?!\d)")


def quoted_addresses(text: str) -> tuple[NormalAddress, ...]:
    """The e-mail addresses and international telephone numbers in a text, in their order, each once."""
    if "@" not in text and "+" not in text:
        return ()
    read = text[:_LONGEST_READ]
    found: list[tuple[int, NormalAddress]] = []
    for match in _EMAIL.finditer(read):
        try:
            found.append((match.start(), normal_email(match.group().strip(".'`"))))
        except NotAnAddress:
            continue
    found += [
        (match.start(), NormalAddress(AddressKind.PHONE, "+" + re.sub(r"\D", "", match.group())))
        for match in _PHONE.finditer(read)
    ]
    return tuple(dict.fromkeys(address for _, address in sorted(found, key=lambda place: place[0])))[:MOST_QUOTED]
