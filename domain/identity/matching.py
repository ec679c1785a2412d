"""What speaks for two customers being one person, and how much.

Evidence only ever makes a suggestion that a person decides on. What links by itself is proof, and proof is not
weighed here: see `domain.identity.linking`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Final

from domain.identity.addresses import NormalAddress

WORTH_SUGGESTING: Final = 0.25
"""Evidence of a lower score is kept, and nobody is asked about it."""


class EvidenceKind(StrEnum):
    SAME_ADDRESS = "same_address"
    """The one wrote without proof from an address that the other has proved."""
    TYPED_ADDRESS = "typed_address"
    """The one typed an address that the other has proved."""
    QUOTED_ADDRESS = "quoted_address"
    """An address that the other has proved stands in a message of the one."""
    SAME_NAME_AND_ATTRIBUTE = "same_name_and_attribute"
    """Both go by one name and share a device or an account number."""


_WEIGHTS: Final = {
    EvidenceKind.SAME_ADDRESS: 0.7,
    EvidenceKind.TYPED_ADDRESS: 0.6,
    EvidenceKind.SAME_NAME_AND_ATTRIBUTE: 0.5,
    EvidenceKind.QUOTED_ADDRESS: 0.3,
}

SHARED_ATTRIBUTES: Final = ("device_id", "account_id", "account_number", "customer_number", "loyalty_number")
"""The attributes of a customer that few people share by chance."""


@dataclass(frozen=True, slots=True, order=True)
class Evidence:
    """One thing that speaks for it; `subject` is the address or the attribute meant."""

    kind: EvidenceKind
    subject: str


def about_address(kind: EvidenceKind, address: NormalAddress) -> Evidence:
    return Evidence(kind, f"{address.kind}:{address.value}")


def score(evidence: Iterable[Evidence]) -> float:
    """How likely it is one person, from 0 to 1: independent pieces, each counted once (noisy-or).

    The same address seen in two ways is one piece: the stronger way counts.
    """
    strongest: dict[str, float] = {}
    for piece in evidence:
        strongest[piece.subject] = max(strongest.get(piece.subject, 0.0), _WEIGHTS[piece.kind])
    return 1.0 - prod(1.0 - weight for weight in sorted(strongest.values()))


def is_worth_suggesting(evidence: Iterable[Evidence]) -> bool:
    return score(evidence) >= WORTH_SUGGESTING


def normal_name(name: str) -> str:
    """A display name as it is compared: without case and without what blanks it is written with."""
    return " ".join(name.split()).casefold()


def shared_attributes(one: dict[str, object], other: dict[str, object]) -> tuple[str, ...]:
    """The names of attributes under which both have the same word or number."""
    return tuple(
        name
        for name in SHARED_ATTRIBUTES
        if isinstance(one.get(name), str | int)
        and not isinstance(one[name], bool)
        and one[name] not in ("", 0)
        and type(one[name]) is type(other.get(name))
        and one[name] == other[name]
    )


def by_name_and_attribute(
    one_name: str, one: dict[str, object], other_name: str, other: dict[str, object]
) -> tuple[Evidence, ...]:
    """A name alone says nothing, and neither does a device that a family shares: only both together."""
    if normal_name(one_name) != normal_name(other_name) or not normal_name(one_name):
        return ()
    return tuple(
        Evidence(EvidenceKind.SAME_NAME_AND_ATTRIBUTE, f"attribute:{name}") for name in shared_attributes(one, other)
    )
