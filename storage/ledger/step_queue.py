"""The part of a step that moves the conversation in and out of its queue."""

from typing import Final

from psycopg.types.json import Jsonb

from domain.conversation.commands import Dequeue, Enqueue
from domain.conversation.refusals import Refusal, RefusalCode
from storage.database import LedgerConnection
from storage.ledger.step_record import StepRecord

_DEQUEUE: Final = "delete from queue_tickets where conversation_id = %s and ticket = %s"
_UNHEARD_OFFERS: Final = """
select id from offers where conversation_id = %s and ticket = %s and state = 'pending'
"""
_LOCK_TICKET: Final = "select from queue_tickets where conversation_id = %s for update"
_WAS_OFFERED: Final = "select from offers where conversation_id = %s and ticket = %s"
_ENQUEUE: Final = """
insert into queue_tickets
    (conversation_id, ticket, pool, episode, queued_at, entered_at, channel, units, priority, urgent, segment, intent,
     product, sentiment, languages, required_skills, next_breach_at, excluded, exclusions_clear_at, only_agent,
     affinity_agent, affinity_at, owner_until, offer_seconds, auto_accept)
values
    (%(conversation)s, %(ticket)s, %(pool)s, %(episode)s, %(queued_at)s, %(entered_at)s, %(channel)s, %(units)s,
     %(priority)s, %(urgent)s, %(segment)s, %(intent)s, %(product)s, %(sentiment)s, %(languages)s, %(skills)s,
     %(next_breach_at)s, %(excluded)s, %(exclusions_clear_at)s, %(only_agent)s, %(affinity_agent)s, %(affinity_at)s,
     %(owner_until)s, %(offer_seconds)s, %(auto_accept)s)
on conflict (conversation_id) do update set
    ticket = excluded.ticket, pool = excluded.pool, episode = excluded.episode, queued_at = excluded.queued_at,
    entered_at = excluded.entered_at, channel = excluded.channel, units = excluded.units, priority = excluded.priority,
    urgent = excluded.urgent, segment = excluded.segment, intent = excluded.intent, product = excluded.product,
    sentiment = excluded.sentiment, languages = excluded.languages, required_skills = excluded.required_skills,
    next_breach_at = excluded.next_breach_at, excluded = excluded.excluded,
    exclusions_clear_at = excluded.exclusions_clear_at, only_agent = excluded.only_agent,
    affinity_agent = excluded.affinity_agent, affinity_at = excluded.affinity_at, owner_until = excluded.owner_until,
    offer_seconds = excluded.offer_seconds, auto_accept = excluded.auto_accept
"""


async def move_queue(connection: LedgerConnection, record: StepRecord) -> set[str]:
    """Tickets out and in; returns the pools in which something is waiting now."""
    for leaving in record.of(Dequeue):
        await _dequeue(connection, record, leaving)
    for entering in record.of(Enqueue):
        await _enqueue(connection, record, entering)
    return {entering.waiting.pool for entering in record.of(Enqueue)}


async def _dequeue(connection: LedgerConnection, record: StepRecord, command: Dequeue) -> None:
    taken = await connection.execute(_DEQUEUE, (record.state.conversation_id, command.ticket))
    if command.must_wait and taken.rowcount == 0:
        raise Refusal(RefusalCode.NOT_WAITING, "the conversation is just being offered to somebody")


async def unheard_offers(connection: LedgerConnection, record: StepRecord, command: Dequeue) -> list[str]:
    cursor = await connection.execute(_UNHEARD_OFFERS, (record.state.conversation_id, command.ticket))
    return [row[0] for row in await cursor.fetchall()]


async def _enqueue(connection: LedgerConnection, record: StepRecord, command: Enqueue) -> None:
    """Put the ticket; the lock waits for a dispatcher that is just offering it, and then its offer is seen."""
    waiting, case = command.waiting, record.case
    await connection.execute(_LOCK_TICKET, (record.state.conversation_id,))
    offered = await connection.execute(_WAS_OFFERED, (record.state.conversation_id, waiting.ticket))
    if await offered.fetchone() is not None:
        return
    await connection.execute(
        _ENQUEUE,
        {
            "conversation": record.state.conversation_id,
            "ticket": waiting.ticket,
            "pool": waiting.pool,
            "episode": record.shown.episode,
            "queued_at": waiting.queued_at,
            "entered_at": waiting.entered_at,
            "channel": case.channel,
            "units": record.case.rules.units,
            "priority": record.state.priority,
            "urgent": waiting.urgent,
            "segment": case.segment,
            "intent": case.intent,
            "product": case.product,
            "sentiment": case.sentiment,
            "languages": Jsonb(case.languages),
            "skills": Jsonb(waiting.skills),
            "next_breach_at": command.next_breach_at,
            "excluded": Jsonb(waiting.excluded),
            "exclusions_clear_at": waiting.exclusions_clear_at,
            "only_agent": waiting.only_agent,
            "affinity_agent": command.affinity_agent,
            "affinity_at": command.affinity_at,
            "owner_until": waiting.owner_until,
            "offer_seconds": record.case.rules.offer_timeout.total_seconds(),
            "auto_accept": record.case.rules.auto_accept,
        },
    )
