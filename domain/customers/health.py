"""Reading the health of customers out of the answer of a customer-success system.

A mapping says where things stand, as RFC 6901 pointers: which list holds the customers, and where in each of its items
the customer and the score are. A score on whatever scale becomes one from 0 (about to leave) to 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer

MOST_READINGS: Final = 50_000

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_LONGEST_POINTER: Final = 500
_KNOWN: Final = frozenset({"items", "customer", "channel", "score", "lowest", "highest", "at", "next"})


@dataclass(frozen=True, slots=True)
class HealthMapping:
    """`customer` points at a customer id, or at an address on `channel` where one is named."""

    items: str
    customer: str
    score: str
    channel: Channel | None = None
    lowest: float = 0.0
    highest: float = 1.0
    at: str | None = None
    """Where an item says when it was scored (RFC 3339); the time of the pull without it."""
    next: str | None = None
    """Where an answer says the URL of its next page."""


@dataclass(frozen=True, slots=True)
class HealthReading:
    customer: str
    score: float
    at: datetime


@dataclass(frozen=True, slots=True)
class HealthPage:
    """`unreadable` items were passed over; `next` is the next page as the answer named it."""

    readings: tuple[HealthReading, ...]
    unreadable: int
    next: str | None


class NotAHealthAnswer(ValueError):  # noqa: N818 -- says what is wrong
    """The answer has no list where the mapping says that it is."""


def mapping_from(document: Mapping[str, Json], *at: str | int) -> HealthMapping:
    """Read a mapping as an admin writes it.

    Raises:
        InvalidInput: every part that has no meaning is named.
    """
    problems = [FieldProblem(pointer(*at, name), "no such field") for name in document if name not in _KNOWN]

    def path(name: str, *, needed: bool) -> str | None:
        value = document.get(name)
        if value is None and not needed:
            return None
        if not isinstance(value, str) or len(value) > _LONGEST_POINTER or (value and not value.startswith("/")):
            problems.append(FieldProblem(pointer(*at, name), 'a JSON pointer such as "/data/0/score"'))
            return ""
        return value

    def bound(name: str, default: float) -> float:
        value = _number(document.get(name, default))
        if value is None:
            problems.append(FieldProblem(pointer(*at, name), "a number"))
            return default
        return value

    channel = document.get("channel")
    known = {one.value: one for one in Channel}
    if channel is not None and (not isinstance(channel, str) or channel not in known):
        problems.append(FieldProblem(pointer(*at, "channel"), "no such channel"))
    mapping = HealthMapping(
        items=path("items", needed=True) or "",
        customer=path("customer", needed=True) or "",
        score=path("score", needed=True) or "",
        channel=known.get(channel) if isinstance(channel, str) else None,
        lowest=bound("lowest", 0.0),
        highest=bound("highest", 1.0),
        at=path("at", needed=False),
        next=path("next", needed=False),
    )
    if mapping.lowest == mapping.highest and not problems:
        problems.append(FieldProblem(pointer(*at, "highest"), "a scale has two different ends"))
    if problems:
        raise InvalidInput(*problems)
    return mapping


def scaled(score: float, lowest: float, highest: float) -> float | None:
    """The score from 0 to 1; `highest` may be the smaller number where a high score is bad. None outside the scale."""
    share = (score - lowest) / (highest - lowest)
    return share if 0.0 <= share <= 1.0 else None


def read_page(document: Json, mapping: HealthMapping, now: datetime) -> HealthPage:
    """The readings of one answer; an item that can't be read costs none of its neighbours.

    Raises:
        NotAHealthAnswer: there is no list at `mapping.items`.
    """
    items = _at(document, mapping.items)
    if not isinstance(items, list):
        raise NotAHealthAnswer(f"there is no list at {mapping.items or 'the root'}")
    readings = [_reading(item, mapping, now) for item in items[:MOST_READINGS]]
    found = tuple(reading for reading in readings if reading is not None)
    following = None if mapping.next is None else _at(document, mapping.next)
    return HealthPage(found, len(items) - len(found), following if isinstance(following, str) and following else None)


def _reading(item: Json, mapping: HealthMapping, now: datetime) -> HealthReading | None:
    customer, score = _at(item, mapping.customer), _number(_at(item, mapping.score))
    if isinstance(customer, bool) or not isinstance(customer, str | int) or customer == "" or score is None:
        return None
    share = scaled(score, mapping.lowest, mapping.highest)
    if share is None:
        return None
    at = now
    if mapping.at is not None:
        said = _at(item, mapping.at)
        instant = _instant(said) if isinstance(said, str) else None
        if instant is None:
            return None
        at = min(instant, now)
    return HealthReading(str(customer), share, at)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _instant(written: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(written)
    except ValueError:
        return None
    return None if instant.tzinfo is None else instant.astimezone(UTC)


def _at(document: Json, path: str) -> Json:
    """What stands at an RFC 6901 pointer; None when there is nothing."""
    found = document
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isdecimal() and len(key) < 7 and int(key) < len(found):  # noqa: PLR2004 -- six digits
            found = found[int(key)]
        else:
            return None
    return found
