"""Suggested links: pairs of customers who may be one person, for somebody to decide on.

Whatever the evidence, nothing here links anybody. A pair is suggested once; more evidence raises its score while it is
open, and a pair that was rejected is not asked about again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from psycopg.types.json import Jsonb

from domain.identity.addresses import NormalAddress
from domain.identity.matching import (
    SHARED_ATTRIBUTES,
    Evidence,
    EvidenceKind,
    by_name_and_attribute,
    is_worth_suggesting,
    score,
)
from storage.database import LedgerConnection
from storage.ids import new_id

_HINT: Final = """
insert into identity_hints (customer_id, kind, address, evidence, found_at)
select %(customer)s::text, hint.kind, hint.address, hint.evidence, clock_timestamp()
from unnest(%(kinds)s::text[], %(addresses)s::text[], %(evidence)s::text[]) as hint(kind, address, evidence)
where not exists (
    select from identities i
    where i.customer_id = %(customer)s::text and i.kind = hint.kind and i.address = hint.address)
on conflict do nothing
"""
# Both ways: what this customer typed and another proved, and what another typed and this one proved.
_BY_ADDRESS: Final = """
select other.customer_id, 'same_address', mine.kind || ':' || mine.address
from identities mine
join identities other on other.kind = mine.kind and other.address = mine.address and other.verified <> mine.verified
where mine.customer_id = %(customer)s and other.customer_id <> %(customer)s
union
select i.customer_id, h.evidence, h.kind || ':' || h.address
from identity_hints h join identities i on i.kind = h.kind and i.address = h.address and i.verified
where h.customer_id = %(customer)s and i.customer_id <> %(customer)s
union
select h.customer_id, h.evidence, h.kind || ':' || h.address
from identities i join identity_hints h on h.kind = i.kind and h.address = i.address
join customers c on c.id = h.customer_id and c.merged_into is null
where i.customer_id = %(customer)s and i.verified and h.customer_id <> %(customer)s
"""
_NAMESAKES: Final = """
select other.id, mine.display_name, mine.attributes, other.display_name, other.attributes
from customers mine join customers other on lower(other.display_name) = lower(mine.display_name)
where mine.id = %s and other.id <> mine.id and other.merged_into is null and mine.merged_into is null
  and mine.attributes ?| %s::text[] and other.attributes ?| %s::text[]
order by other.id limit 50
"""
_FIND_OR_MAKE: Final = """
insert into identity_suggestions (id, customer_id, other_id, state, score, evidence, found_at, updated_at)
values (%s, %s, %s, 'open', 0, '[]', clock_timestamp(), clock_timestamp())
on conflict (customer_id, other_id) do nothing
"""
_PAIR: Final = """
select id, state, evidence from identity_suggestions where customer_id = %s and other_id = %s for no key update
"""
_RAISE: Final = """
update identity_suggestions set score = %s, evidence = %s, updated_at = clock_timestamp() where id = %s
"""
_TELL: Final = """
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select clock_timestamp(), 'identity_suggested', c.id, c.customer_id, c.pool, c.episode, %(facts)s,
       'identity_suggested:' || %(suggestion)s::text || ':' || c.id
from conversations c
where c.customer_id = any(%(customers)s) and c.state not in ('closed', 'merged')
on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_DECIDE: Final = """
update identity_suggestions set state = %s, decided_at = clock_timestamp(), decided_by = %s,
                                updated_at = clock_timestamp()
where customer_id = %s and other_id = %s
"""
_OPEN_OF: Final = """
select case when s.customer_id = %(customer)s then s.other_id else s.customer_id end, s.evidence
from identity_suggestions s where s.state = 'open' and %(customer)s in (s.customer_id, s.other_id)
"""


@dataclass(frozen=True, slots=True)
class Hint:
    """An address that somebody typed or quoted."""

    kind: EvidenceKind
    address: NormalAddress


async def note_hints(connection: LedgerConnection, customer_id: str, hints: Iterable[Hint]) -> bool:
    """Keep the addresses that are not the customer's own; says whether any is new."""
    given = list(dict.fromkeys(hints))
    kept = await connection.execute(
        _HINT,
        {
            "customer": customer_id,
            "kinds": [hint.address.kind.value for hint in given],
            "addresses": [hint.address.value for hint in given],
            "evidence": [hint.kind.value for hint in given],
        },
    )
    return kept.rowcount > 0


async def look_for_others(connection: LedgerConnection, customer_id: str) -> None:
    """Suggest every customer who may be this one, by all that is known now."""
    found: dict[str, list[Evidence]] = {}
    rows = await (await connection.execute(_BY_ADDRESS, {"customer": customer_id})).fetchall()
    for other_id, kind, subject in rows:
        found.setdefault(other_id, []).append(Evidence(EvidenceKind(kind), subject))
    telling = list(SHARED_ATTRIBUTES)
    rows = await (await connection.execute(_NAMESAKES, (customer_id, telling, telling))).fetchall()
    for other_id, name, attributes, other_name, other_attributes in rows:
        shared = by_name_and_attribute(name, attributes, other_name, other_attributes)
        if shared:
            found.setdefault(other_id, []).extend(shared)
    for other_id in sorted(found):
        await suggest(connection, customer_id, other_id, found[other_id])


async def suggest(connection: LedgerConnection, one: str, other: str, evidence: Iterable[Evidence]) -> None:
    """Suggest that two are one person, or add to what is suggested already."""
    first, second = sorted((one, other))
    given = set(evidence)
    if not is_worth_suggesting(given):
        return
    made = await connection.execute(_FIND_OR_MAKE, (new_id("isg"), first, second))
    row = await (await connection.execute(_PAIR, (first, second))).fetchone()
    if row is None:
        raise RuntimeError("a suggestion is never deleted")
    suggestion_id, state, known = row
    together = given | evidence_from(known)
    if state != "open" or (len(together) == len(known) and made.rowcount == 0):
        return
    document = [{"kind": one.kind.value, "subject": one.subject} for one in sorted(together)]
    likely = score(together)
    await connection.execute(_RAISE, (likely, Jsonb(document), suggestion_id))
    facts = {"suggestion_id": suggestion_id, "customers": [first, second], "score": likely, "evidence": document}
    await connection.execute(_TELL, {"suggestion": suggestion_id, "customers": [first, second], "facts": Jsonb(facts)})


async def suggest_anew(connection: LedgerConnection, absorbed_id: str, survivor_id: str) -> None:
    """What was suggested of a customer who became another is suggested of that one."""
    rows = await (await connection.execute(_OPEN_OF, {"customer": absorbed_id})).fetchall()
    for other_id, evidence in sorted(rows, key=lambda row: str(row[0])):
        if other_id != survivor_id:
            await suggest(connection, survivor_id, other_id, evidence_from(evidence))


async def decide_pair(connection: LedgerConnection, one: str, other: str, state: str, by: str) -> None:
    """Nobody is asked about this pair any more."""
    first, second = sorted((one, other))
    await connection.execute(_DECIDE, (state, by, first, second))


def evidence_from(document: list[dict[str, str]]) -> set[Evidence]:
    """Evidence as it is stored."""
    return {Evidence(EvidenceKind(one["kind"]), one["subject"]) for one in document}
