"""When two customers become one, which of them stays, and what stands against it.

Only proof links by itself: one sender has proved addresses of both. Hints never do, however many there are; they make
a suggestion (`domain.identity.matching`) that a person confirms. Two different proven addresses of one kind are a
conflict, which only somebody with authority overrides.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.identity.addresses import NormalAddress

SEGMENTS: Final = ("standard", "silver", "gold", "platinum")
"""From the least to the most valued."""


class LinkCause(StrEnum):
    PROVEN = "proven"
    """One sender proved addresses of both: nobody was asked."""
    CONFIRMED = "confirmed"
    """A person confirmed a suggestion."""
    BY_HAND = "by_hand"
    """A supervisor or an admin said so."""


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    address: NormalAddress
    verified: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of two customers to be linked."""

    customer_id: str
    created_at: datetime
    identities: tuple[KnownIdentity, ...]

    @property
    def proven(self) -> frozenset[NormalAddress]:
        return frozenset(identity.address for identity in self.identities if identity.verified)


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """Both have proven addresses of a kind, and different ones: they may be two people."""

    kind: str
    addresses: tuple[str, ...]
    """All of both, sorted."""


def conflicts(one: Side, other: Side) -> tuple[Conflict, ...]:
    """What stands against a link, by kind; the same in whatever order the two are given."""
    return conflicts_of(one.proven, other.proven)


def conflicts_of(proven: Collection[NormalAddress], other: Collection[NormalAddress]) -> tuple[Conflict, ...]:
    """What the proven addresses of two customers say against their being one person, by kind."""
    kinds = {address.kind for address in proven} & {address.kind for address in other}
    found = []
    for kind in sorted(kinds):
        mine = {address.value for address in proven if address.kind is kind}
        theirs = {address.value for address in other if address.kind is kind}
        if mine != theirs:
            found.append(Conflict(kind.value, tuple(sorted(mine | theirs))))
    return tuple(found)


def links_by_itself(one: Side, other: Side, proved: Collection[NormalAddress]) -> bool:
    """Whether a sender who proved these addresses is both customers, and nothing stands against it.

    `proved` are addresses that a channel proved for one sender in one message.
    """
    together = frozenset(proved)
    return bool(one.proven & together) and bool(other.proven & together) and not conflicts(one, other)


def survivor_of(one: Side, other: Side) -> Side:
    """The customer who stays: the one with more proven addresses, else the one known longer."""
    return min(one, other, key=lambda side: (-len(side.proven), side.created_at, side.customer_id))


def higher_segment(one: str, other: str) -> str:
    """A person who is gold under one of their addresses is gold."""
    return max(one, other, key=SEGMENTS.index)


def joined(one: Collection[str], other: Collection[str]) -> list[str]:
    """Both lists' values in order, each once."""
    return list(dict.fromkeys((*one, *other)))
