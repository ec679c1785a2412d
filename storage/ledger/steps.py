"""Writing a conversation's step: all of its commands in one transaction, or none, and once however often it is asked.

Rows are locked in the ledger's order: conversation, queue ticket, agents, offers, assignments, the rest.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.conversation.commands import Absorb, Command, PassOn, PassOnLeaving, SendReply
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState
from storage.database import LedgerConnection
from storage.ledger.journey import JourneyHouse, messages_of, write_journey
from storage.ledger.passing_on import forward_leaving, pass_on, was_heard
from storage.ledger.step_queue import move_queue
from storage.ledger.step_record import StepRecord
from storage.ledger.step_responsibility import move_responsibility
from storage.ledger.step_timeline import tell_step

_NO_HOUSE: Final = JourneyHouse()
_STANDING: Final = "select step, state, customer_id, intent from conversations where id = %s for no key update"
_UNABSORBED: Final = "select from merges where heir_id = %s and absorbed_at is null"
_ABSORB: Final = "update merges set absorbed_at = %s where id = %s and heir_id = %s and absorbed_at is null"
_SEND: Final = """
update messages set
    at = %(at)s::timestamptz,
    delivery = case when %(is_done)s::boolean or not channel = any(%(pushed)s) then 'sent' else 'queued' end,
    sent_at = case when %(is_done)s::boolean or not channel = any(%(pushed)s) then %(at)s::timestamptz end
where id = %(id)s and delivery = 'draft' returning delivery
"""


async def write_step(
    connection: LedgerConnection,
    state: ConversationState,
    commands: Sequence[Command],
    at: datetime,
    pushed_channels: frozenset[str],
    house: JourneyHouse = _NO_HOUSE,
) -> tuple[str, ...]:
    """Write a step in a transaction of its own; returns the ids of the replies that must be carried to their channel.

    `state` is the conversation after the step; `pushed_channels` are those whose replies somebody has to carry out;
    `house` is what suggestions and surveys are worded with.
    A step that is already written is not written again. Raises `Refusal` when the ledger does not carry it out: then
    nothing of it is written.
    """
    record = StepRecord(state, commands, at)
    async with connection.transaction():
        cursor = await connection.execute(_STANDING, (state.conversation_id,))
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"the ledger knows no conversation {state.conversation_id}")
        if row[1] == "merged" and record.shown.is_final:
            await _pass_strays_on(connection, record)
            return ()
        if row[0] >= state.step:
            return await _still_to_deliver(connection, record)
        if row[1] == "merged":
            raise Refusal(RefusalCode.CONVERSATION_ENDED, "the conversation has become part of another one")
        record.customer_id = row[2]
        if record.shown.is_final and await _is_heir(connection, state.conversation_id):
            raise Refusal(RefusalCode.WRONG_STATE, "a merge into this conversation is on its way")
        pools = await move_queue(connection, record)
        pools |= await move_responsibility(connection, record)
        to_deliver = [
            reply.message_id
            for reply in record.of(SendReply)
            if await _send(connection, record, reply, pushed_channels)
        ]
        to_deliver += await write_journey(connection, state, commands, at, pushed_channels, house)
        await tell_step(connection, record, row[3])
        for absorbed in record.of(Absorb):
            await connection.execute(_ABSORB, (at, absorbed.merge_id, state.conversation_id))
        await _pass_strays_on(connection, record)
        await _ring(connection, pools)
        return tuple(to_deliver)


async def _is_heir(connection: LedgerConnection, conversation_id: str) -> bool:
    """Whether a merge into the conversation is still to be absorbed."""
    cursor = await connection.execute(_UNABSORBED, (conversation_id,))
    return await cursor.fetchone() is not None


async def _pass_strays_on(connection: LedgerConnection, record: StepRecord) -> None:
    """Give on what came after the end.

    After a merge this is never taken for written by the number of its step: a workflow task that was lost may have
    passed on fewer messages under the same number. Each message is passed on once all the same.
    """
    for stray in record.of(PassOn):
        if not await was_heard(connection, record.state.conversation_id, stray.signal_id):
            await pass_on(connection, stray.message_id, record.state.conversation_id)
    for left in record.of(PassOnLeaving):
        await forward_leaving(connection, record.state.conversation_id, left.thread_id, left.signal_id, record.at)


async def _send(connection: LedgerConnection, record: StepRecord, reply: SendReply, pushed: frozenset[str]) -> bool:
    """Release a draft; tells whether somebody has to carry it to its channel."""
    cursor = await connection.execute(
        _SEND, {"id": reply.message_id, "is_done": reply.internal, "pushed": sorted(pushed), "at": record.at}
    )
    row = await cursor.fetchone()
    return row is not None and row[0] == "queued"


async def _still_to_deliver(connection: LedgerConnection, record: StepRecord) -> tuple[str, ...]:
    replies = [command.message_id for command in record.commands if isinstance(command, SendReply)]
    replies += messages_of(record.commands)
    cursor = await connection.execute(
        "select id from messages where id = any(%s) and delivery in ('queued', 'sending')", (replies,)
    )
    return tuple(row[0] for row in await cursor.fetchall())


async def _ring(connection: LedgerConnection, pools: set[str]) -> None:
    await connection.execute("select pg_notify('baton_events', '')")
    for pool in sorted(pools):
        await connection.execute("select pg_notify('baton_queue', %s)", (pool,))
