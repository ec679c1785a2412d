"""What a stored message says of who its customer is: proofs are acted on, hints are kept and suggested.

This follows the message's own commit and comes before its acknowledgement: a crash in between is repeated with the
message.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from psycopg.errors import DeadlockDetected, UniqueViolation

from domain.channels import MessageKind
from domain.identity.addresses import NormalAddress
from domain.identity.linking import LinkCause
from domain.identity.matching import EvidenceKind, about_address
from domain.identity.quoted import quoted_addresses
from storage.database import LedgerConnection
from storage.ids import new_id
from storage.ledger.intake_message import Intake, TakenIn
from storage.ledger.linking import Again, LinkRefusal, LinkRefused, LinkRequest, link_customers
from storage.ledger.opening import CustomerLinked, hold_customer
from storage.ledger.suggesting import Hint, look_for_others, note_hints, suggest

_MOST_RACES: Final = 50
_SYSTEM: Final = "system"

_STRANGERS: Final = """
select proven.kind, proven.address, i.customer_id
from unnest(%(kinds)s::text[], %(addresses)s::text[]) with ordinality as proven(kind, address, place)
left join identities i on i.kind = proven.kind and i.address = proven.address and i.verified
where i.customer_id is distinct from %(customer)s::text
order by proven.place
"""
_ADOPT: Final = """
insert into identities (id, customer_id, kind, address, verified, display_name, created_at)
values (%s, %s, %s, %s, true, %s, clock_timestamp())
"""
_WHERE: Final = "select conversation_id, customer_id, thread_id, kind from messages where id = %s"


async def recognise(connection: LedgerConnection, message: Intake, taken: TakenIn) -> TakenIn:
    """Act on it; returns where the message is now, for a link may have moved it.

    The connection is not in a transaction.
    """
    hints = _hints(message)
    proofs = message.proven_too if message.verified else ()
    if not hints and not proofs:
        return taken
    for _ in range(_MOST_RACES):
        try:
            async with connection.transaction():
                return await _acted_on(connection, message, taken, hints)
        except (UniqueViolation, DeadlockDetected, Again, CustomerLinked):
            continue  # somebody else was first; now it can be seen what they wrote
    raise RuntimeError(f"lost {_MOST_RACES} races for what one message says of its customer")


def _hints(message: Intake) -> list[Hint]:
    if not message.kind.wants_an_answer:
        return []
    typed = [Hint(EvidenceKind.TYPED_ADDRESS, address) for address in message.claimed]
    return typed + [Hint(EvidenceKind.QUOTED_ADDRESS, address) for address in quoted_addresses(message.text)]


async def _acted_on(connection: LedgerConnection, message: Intake, taken: TakenIn, hints: Sequence[Hint]) -> TakenIn:
    now, kind = await _where_now(connection, taken)
    if kind == MessageKind.BLOCKED:
        return now
    if message.verified and message.proven_too:
        now = await _proofs_acted_on(connection, message, now)
    if hints and await note_hints(connection, now.customer_id, hints):
        await look_for_others(connection, now.customer_id)
    return now


async def _proofs_acted_on(connection: LedgerConnection, message: Intake, now: TakenIn) -> TakenIn:
    """Give the customer what they proved, and link whoever has it already."""
    cursor = await connection.execute(
        _STRANGERS,
        {
            "kinds": [address.kind.value for address in message.proven_too],
            "addresses": [address.value for address in message.proven_too],
            "customer": now.customer_id,
        },
    )
    proved = frozenset((message.sender, *message.proven_too))
    adopted = False
    for kind, address, owner in await cursor.fetchall():
        if owner is None:
            await hold_customer(connection, now.customer_id)
            await connection.execute(_ADOPT, (new_id("idn"), now.customer_id, kind, address, message.display_name))
            adopted = True
        elif await _linked(connection, now.customer_id, owner, proved):
            now, _ = await _where_now(connection, now)
    if adopted:
        await look_for_others(connection, now.customer_id)
    return now


async def _linked(connection: LedgerConnection, mine: str, other: str, proved: frozenset[NormalAddress]) -> bool:
    """Link by itself; where something stands against it, suggest it to a person."""
    evidence = tuple(sorted(about_address(EvidenceKind.SAME_ADDRESS, address) for address in proved))
    request = LinkRequest(mine, other, LinkCause.PROVEN, _SYSTEM, evidence=evidence, proved=proved)
    try:
        async with connection.transaction():
            await link_customers(connection, request)
    except LinkRefused as refused:
        if refused.code in {LinkRefusal.CONFLICT, LinkRefusal.NOT_PROVEN}:
            await suggest(connection, mine, other, evidence)
        return False
    return True


async def _where_now(connection: LedgerConnection, taken: TakenIn) -> tuple[TakenIn, str]:
    """Where the message is, and its kind as it was stored."""
    row = await (await connection.execute(_WHERE, (taken.message_id,))).fetchone()
    if row is None:
        raise RuntimeError(f"message {taken.message_id} was stored just now")
    return replace(taken, conversation_id=row[0], customer_id=row[1], thread_id=row[2]), str(row[3])
