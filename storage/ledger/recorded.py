"""What a step changed in the records, told in the step's own event: the log alone must give every KPI again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row
from pydantic import JsonValue

from domain.conversation.commands import Absorb, Command, EndAssignment, KeepClock, RecordResolution, StartAssignment
from domain.conversation.projection import Projection
from domain.conversation.state import ConversationState
from domain.sla.clock import ClockState
from storage.database import LedgerConnection

# The match is what the routing decision foresaw; what was claimed was foreseen by nobody.
_ASSIGNMENTS: Final = """
select a.id, a.agent_id, g.pool, a.episode, a.units, a.how, a.full_history, a.started_at, a.ended_at,
       (select (d.record -> 'success' ->> 'value')::float8 from routing_decisions d
        where d.conversation_id = a.conversation_id and d.offer_id = a.offer_id
          and jsonb_typeof(d.record -> 'success' -> 'value') = 'number'
          and (d.record -> 'success' ->> 'value')::float8 between 0 and 1 limit 1) as match
from assignments a join agents g on g.id = a.agent_id where a.id = any(%s) order by a.id
"""


@dataclass(frozen=True, slots=True)
class _Assignment:
    id: str
    agent_id: str
    pool: str
    episode: int
    units: int
    how: str
    full_history: bool
    started_at: datetime
    ended_at: datetime | None
    match: float | None


async def recorded(
    connection: LedgerConnection,
    state: ConversationState,
    shown: Projection,
    commands: Sequence[Command],
    known_intent: str | None,
) -> dict[str, JsonValue]:
    """The record a step leaves, beside what its timeline says; empty for a step that changes none.

    `known_intent` is the intent the ledger had before: a change of it matters to who counts as coming back.
    """
    facts: dict[str, JsonValue] = {}
    touched = [one.assignment_id for one in commands if isinstance(one, StartAssignment | EndAssignment)]
    if touched:
        facts["assignments"] = await recorded_assignments(connection, touched)
    clocks = _clocks(commands)
    if clocks:
        facts["clocks"] = clocks
    for command in commands:
        if isinstance(command, RecordResolution):
            facts["resolution"] = _resolution(state, shown, command)
        if isinstance(command, Absorb) and command.counts_on:
            facts["absorbed"] = command.merge_id
    if shown.intent != known_intent:
        facts["intent"] = shown.intent
    return facts


async def recorded_assignments(connection: LedgerConnection, ids: list[str]) -> list[JsonValue]:
    """Assignments as they are now, for the event that tells of their beginning or end."""
    async with connection.cursor(row_factory=class_row(_Assignment)) as cursor:
        rows = await (await cursor.execute(_ASSIGNMENTS, (ids,))).fetchall()
    return [
        {
            "id": row.id,
            "agent_id": row.agent_id,
            "pool": row.pool,
            "episode": row.episode,
            "units": row.units,
            "how": row.how,
            "match": row.match,
            "full_history": row.full_history,
            "started_at": row.started_at.isoformat(),
            "ended_at": _written(row.ended_at),
        }
        for row in rows
    ]


def _clocks(commands: Sequence[Command]) -> list[JsonValue]:
    """The clocks that came to a verdict; one that was given up before its deadline has none."""
    return [
        {
            "metric": clock.metric.value,
            "episode": clock.episode,
            "number": clock.number,
            "state": clock.state.value,
            "started_at": clock.started_at.isoformat(),
            "ended_at": _written(clock.ended_at),
            "business_seconds": command.used.total_seconds(),
        }
        for command in commands
        if isinstance(command, KeepClock)
        and (clock := command.clock).is_ended
        and clock.state in {ClockState.MET, ClockState.BREACHED}
    ]


def _resolution(state: ConversationState, shown: Projection, command: RecordResolution) -> JsonValue:
    channels = state.episode_channels
    return {
        "episode": shown.episode,
        "intent": shown.intent,
        "segment": state.case.segment if state.case else None,
        "pool": shown.pool,
        "agent_id": credited_agent(state, shown),
        "first_channel": channels[0] if channels else (state.case.channel if state.case else None),
        "channels": list(channels),
        "opened_at": state.opened_at.isoformat(),
        "queued_at": _written(state.queued_at),
        "accepted_at": _written(state.accepted_at),
        "first_response_at": _written(state.first_response_at),
        "resolved_at": _written(shown.resolved_at),
        "business_seconds": command.open_time.total_seconds(),
        "end_reason": command.end_reason,
    }


def credited_agent(state: ConversationState, shown: Projection) -> str | None:
    """Nobody is credited who never had it: the owner may be known from before, or from a merged one."""
    return shown.agent_id or (shown.owner_id if state.assignments else None)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
