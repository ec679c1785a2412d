"""The part of a step that tells what happened: clocks, the resolution record, the timeline, the row everybody reads."""

from typing import Final

import msgspec
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from domain.conversation.commands import Happened, KeepClock, RaiseAlert, RecordResolution
from storage.database import LedgerConnection
from storage.ledger.alerts import keep_alerts
from storage.ledger.recorded import credited_agent, recorded
from storage.ledger.step_record import StepRecord

_CLOCK: Final = """
insert into clocks
    (conversation_id, metric, episode, number, policy_id, target_seconds, state, started_at, due_at, warned_at,
     breached_at, ended_at, business_seconds, paused_seconds)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (conversation_id, metric, episode, number) do update set
    policy_id = excluded.policy_id, target_seconds = excluded.target_seconds, state = excluded.state,
    due_at = excluded.due_at, warned_at = excluded.warned_at, breached_at = excluded.breached_at,
    ended_at = excluded.ended_at, business_seconds = excluded.business_seconds, paused_seconds = excluded.paused_seconds
"""
_RESOLUTION: Final = """
insert into resolutions
    (conversation_id, episode, customer_id, intent, product, segment, pool, agent_id, first_channel, channels,
     opened_at, queued_at, accepted_at, first_response_at, resolved_at, business_seconds, wrap_up_code, end_reason,
     inbound, outbound, offers, declines, timeouts, reroutes, transfers, misroutes, touches, touches_with_history)
values
    (%(conversation)s::text, %(episode)s::int, %(customer)s, %(intent)s, %(product)s, %(segment)s, %(pool)s, %(agent)s,
     %(first_channel)s, %(channels)s, %(opened_at)s, %(queued_at)s, %(accepted_at)s, %(first_response_at)s,
     %(resolved_at)s, %(business_seconds)s, %(wrap_up_code)s, %(end_reason)s, %(inbound)s, %(outbound)s, %(offers)s,
     %(declines)s, %(timeouts)s, %(reroutes)s, %(transfers)s, %(misroutes)s,
     (select count(*) from assignments
      where conversation_id = %(conversation)s::text and episode = %(episode)s::int and how <> 'switch'),
     (select count(*) from assignments
      where conversation_id = %(conversation)s::text and episode = %(episode)s::int and how <> 'switch'
        and full_history))
on conflict (conversation_id, episode) do nothing
"""
_EVENT: Final = """
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_PROJECT: Final = """
with handed_over as (
    insert into handovers (conversation_id, heard, facts) values (%(id)s::text, %(heard)s, %(handover)s::jsonb)
    on conflict (conversation_id) do update set heard = excluded.heard, facts = excluded.facts
)
update conversations set
    step = %(step)s, state = %(state)s, episode = %(episode)s, subject = coalesce(%(subject)s::text, subject),
    intent = %(intent)s, intent_confidence = %(intent_confidence)s, sentiment = %(sentiment)s, language = %(language)s,
    priority = %(priority)s, pool = %(pool)s, agent_id = %(agent_id)s, owner_id = %(owner_id)s, channels = %(channels)s,
    waiting_for = %(waiting_for)s, waiting_until = %(waiting_until)s, queued_at = %(queued_at)s,
    resolved_at = %(resolved_at)s, end_reason = %(end_reason)s, updated_at = %(at)s::timestamptz,
    closed_at = case when %(final)s::boolean then %(at)s::timestamptz else closed_at end
where id = %(id)s::text
"""


async def tell_step(connection: LedgerConnection, record: StepRecord, known_intent: str | None) -> None:
    """Clocks, the resolution record, the timeline, and the row everybody reads."""
    for resolved in record.of(RecordResolution):
        await _record_resolution(connection, record, resolved)
    async with connection.cursor() as cursor:
        if clocks := record.of(KeepClock):
            await cursor.executemany(_CLOCK, [_clock_row(record, kept) for kept in clocks])
        facts = await recorded(connection, record.state, record.shown, record.commands, known_intent)
        happened = record.of(Happened)
        if facts:
            # The first line of the step carries its record; a step without a line gets one.
            first = happened[0] if happened else Happened("recorded", record.at)
            happened = [first, *happened[1:]]
        if happened:
            await cursor.executemany(
                _EVENT,
                [_event_row(record, number, line, {} if number else facts) for number, line in enumerate(happened)],
            )
    await keep_alerts(
        connection,
        record.state,
        raised=record.of(RaiseAlert),
        ended=[kept.clock for kept in record.of(KeepClock) if kept.clock.is_ended],
        is_over=bool(record.of(RecordResolution)) or record.shown.is_final,
        at=record.at,
    )
    await connection.execute(_PROJECT, _projection_row(record))


async def _record_resolution(connection: LedgerConnection, record: StepRecord, command: RecordResolution) -> None:
    shown, tallies = record.shown, record.state.tallies
    await connection.execute(
        _RESOLUTION,
        {
            "conversation": record.state.conversation_id,
            "episode": shown.episode,
            "customer": record.customer_id,
            "intent": shown.intent,
            "product": record.case.product,
            "segment": record.case.segment,
            "pool": shown.pool,
            "agent": credited_agent(record.state, shown),
            "first_channel": record.state.episode_channels[0] if record.state.episode_channels else record.case.channel,
            "channels": Jsonb(record.state.episode_channels),
            "opened_at": record.state.opened_at,
            "queued_at": record.state.queued_at,
            "accepted_at": record.state.accepted_at,
            "first_response_at": record.state.first_response_at,
            "resolved_at": shown.resolved_at or record.at,
            "business_seconds": command.open_time.total_seconds(),
            "wrap_up_code": command.wrap_up_code,
            "end_reason": command.end_reason,
            "inbound": tallies.inbound,
            "outbound": tallies.outbound,
            "offers": tallies.offers,
            "declines": tallies.declines,
            "timeouts": tallies.timeouts,
            "reroutes": tallies.reroutes,
            "transfers": tallies.transfers,
            "misroutes": tallies.misroutes,
        },
    )


def _clock_row(record: StepRecord, command: KeepClock) -> tuple[object, ...]:
    clock = command.clock
    return (
        record.state.conversation_id,
        clock.metric.value,
        clock.episode,
        clock.number,
        record.case.promise.policy_id if record.case.promise else "none",
        clock.target.total_seconds(),
        clock.state.value,
        clock.started_at,
        clock.due_at,
        clock.warned_at,
        clock.breached_at,
        clock.ended_at,
        command.used.total_seconds(),
        clock.paused_total.total_seconds(),
    )


def _event_row(record: StepRecord, number: int, line: Happened, facts: dict[str, JsonValue]) -> tuple[object, ...]:
    return (
        line.at,
        line.kind,
        record.state.conversation_id,
        record.customer_id,
        line.agent_id,
        record.shown.pool,
        record.shown.episode,
        Jsonb({**dict(line.facts), **({"record": facts} if facts else {})}),
        f"{record.state.conversation_id}:{record.state.step}:{number}",
    )


def _projection_row(record: StepRecord) -> dict[str, object]:
    shown = record.shown
    return {
        "id": record.state.conversation_id,
        "step": record.state.step,
        "state": shown.state,
        "episode": shown.episode,
        "subject": shown.subject,
        "intent": shown.intent,
        "intent_confidence": shown.intent_confidence,
        "sentiment": shown.sentiment,
        "language": shown.language,
        "priority": shown.priority,
        "pool": shown.pool,
        "agent_id": shown.agent_id,
        "owner_id": shown.owner_id,
        "channels": Jsonb(shown.channels),
        "waiting_for": shown.waiting_for,
        "waiting_until": shown.waiting_until,
        "queued_at": shown.queued_at,
        "resolved_at": shown.resolved_at,
        "end_reason": shown.end_reason,
        "final": shown.is_final,
        "heard": shown.handover.heard,
        "handover": msgspec.json.encode(shown.handover).decode(),
        "at": record.at,
    }
