"""The relay: takes owed signals out of the ledger's outbox to the workflows, in order within each conversation."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from itertools import groupby
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from pydantic import JsonValue
from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from storage.database import Database
from storage.hints import Hints
from storage.ledger.outbox import SIGNALS_CHANNEL, Claim, OwedSignal, claim
from storage.ledger.passing_on import Passed, forward, pass_on, was_heard
from workflows.conversation_start import CONVERSATION_WORKFLOW, ConversationStart
from workflows.messages import SignalName, workflow_id
from workflows.search_attributes import CHANNELS, POOL, SEGMENT, STATE
from workflows.task_queues import CONVERSATIONS

_LOG: Final = structlog.get_logger(__name__)
_SWEEP: Final = timedelta(seconds=1)
_RPC_TIMEOUT: Final = timedelta(seconds=3)
_SHORTEST_WAIT: Final = timedelta(milliseconds=100)
_BREATH: Final = timedelta(milliseconds=250)
"""What a conversation gets to work on a full batch before the next: it never has more before it than it can carry."""
TASK_TIMEOUT: Final = timedelta(seconds=5)
"""A server that is killed gives a task that was under way out again only once its time is over: deadlines wait for it.

Not shorter: a worker that has just started takes in many tasks at once, and what is not done in time is done twice.
"""
_LONGEST_WAIT: Final = timedelta(seconds=1)
"""While a server is away: short, for the outbox is to be drained within seconds of its return."""
_LONGEST_RETRY: Final = timedelta(seconds=4)
_UNREACHABLE: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})
_POISONED: Final = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE})
_SIGNAL_LIMIT: Final = "limit for signal"
"""A run that has had its 10,000 signals answers "invalid argument"; its next run takes the signal."""


class _Fate(Enum):
    TAKEN = auto()
    ENDED = auto()
    """The workflow is complete: it takes no more signals."""
    LATER = auto()
    POISONED = auto()
    UNREACHABLE = auto()


_HOLDS_BACK: Final = frozenset({_Fate.LATER, _Fate.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class _Sent:
    signal: OwedSignal
    fate: _Fate
    error: str = ""


@dataclass(slots=True)
class _Drained:
    settled: int = 0
    unreachable: str | None = None
    more: bool = field(default=False)


class Relay:
    """Any number of these may run beside each other, in one process or in many."""

    def __init__(
        self, database: Database, client: Client, *, conversations_at_once: int = 32, signals_each: int = 50
    ) -> None:
        """Take a client that may still be unconnected (`Client.connect(…, lazy=True)`): Temporal may come later."""
        self._database = database
        self._client = client
        self._conversations_at_once = conversations_at_once
        self._signals_each = signals_each
        self._hints = Hints(database, SIGNALS_CHANNEL)
        self._paused_until = 0.0

    async def run(self) -> None:
        """Relay until cancelled; neither Postgres nor Temporal going away ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hints.run())
            tasks.create_task(self._relay_forever())

    async def drain(self) -> int:
        """Relay what can be relayed now; says how many signals were settled."""
        settled = 0
        while True:
            drained = await self._drain_once()
            settled += drained.settled
            if drained.settled == 0 or drained.unreachable:
                return settled

    async def _relay_forever(self) -> None:
        wait = _SHORTEST_WAIT
        while True:
            seen = self._hints.rings
            try:
                drained = await self._drain_once()
                unreachable = drained.unreachable
            except (psycopg.Error, PoolTimeout, OSError) as error:
                drained, unreachable = _Drained(), f"Postgres: {error}"
            if unreachable is None:
                wait = _SHORTEST_WAIT
                if not drained.more:
                    paused = timedelta(seconds=max(0.0, self._paused_until - time.monotonic()))
                    await self._hints.wait(seen, min(paused, _SWEEP) or _SWEEP)
                continue
            _LOG.warning("signals wait", reason=unreachable, again_in=wait.total_seconds())
            await asyncio.sleep(wait.total_seconds())
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _drain_once(self) -> _Drained:
        drained = _Drained()
        async with claim(
            self._database, conversations=self._conversations_at_once, signals_each=self._signals_each
        ) as claimed:
            if not claimed.lines:
                return drained
            lines = await asyncio.gather(*(self._send_line(line) for line in claimed.lines.values()))
            taken = [sent.signal.id for line in lines for sent in line if sent.fate is _Fate.TAKEN]
            if taken:
                await claimed.take_off(taken)
            if full := [line[0].signal.conversation_id for line in lines if self._is_full(line)]:
                await claimed.pause(full, _BREATH)
                self._paused_until = time.monotonic() + _BREATH.total_seconds()
            for line in lines:
                for sent in line:
                    if sent.fate is _Fate.UNREACHABLE:
                        drained.unreachable = sent.error
                    elif sent.fate is not _Fate.TAKEN:
                        await self._settle(claimed, sent)
                    drained.settled += sent.fate is not _Fate.UNREACHABLE
        # Of fewer conversations than were asked for, all was claimed; what has come since has rung.
        was_cut = len(lines) == self._conversations_at_once or any(len(line) == self._signals_each for line in lines)
        drained.more = drained.settled > 0 and was_cut
        return drained

    def _is_full(self, line: list[_Sent]) -> bool:
        return len(line) == self._signals_each and all(sent.fate is _Fate.TAKEN for sent in line)

    async def _send_line(self, line: list[OwedSignal]) -> list[_Sent]:
        """Send in order, messages that follow each other at once; what can't be sent now holds back what follows it."""
        outcomes: list[_Sent] = []
        for is_message, following in groupby(line, lambda signal: signal.kind == SignalName.MESSAGE_RECEIVED):
            batch = list(following)
            if is_message and len(batch) > 1:
                together = await self._send_together(batch)
                if together.fate is _Fate.TAKEN:
                    outcomes += [replace(together, signal=signal) for signal in batch]
                    continue
                if together.fate in _HOLDS_BACK:
                    return [*outcomes, replace(together, signal=batch[0])]
                # Each of them has a fate of its own: one may be what the others were refused for.
            for signal in batch:
                sent = await self._send(signal)
                outcomes.append(sent)
                if sent.fate in _HOLDS_BACK:
                    return outcomes
        return outcomes

    async def _send_together(self, batch: list[OwedSignal]) -> _Sent:
        many: dict[str, JsonValue] = {"messages": [[signal.id, signal.payload] for signal in batch]}
        return await self._send(replace(batch[0], kind=SignalName.MESSAGES_RECEIVED, payload=many))

    async def _send(self, signal: OwedSignal) -> _Sent:
        if signal.conversation_has_ended and signal.kind != SignalName.MERGED_AWAY:
            # Never start it: once Temporal has forgotten a completed workflow, its id is free again.
            return _Sent(signal, _Fate.ENDED, "the conversation has ended")
        try:
            # The client by itself would try for longer than a claim is to be held.
            async with asyncio.timeout(_RPC_TIMEOUT.total_seconds()):
                if signal.kind in {SignalName.MESSAGE_RECEIVED, SignalName.MESSAGES_RECEIVED}:
                    await self._signal_with_start(signal)
                else:
                    handle = self._client.get_workflow_handle(workflow_id(signal.conversation_id))
                    await handle.signal(signal.kind, args=[signal.id, signal.payload])
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with one signal must not stop its neighbours
            return _Sent(signal, _fate_of(error), f"{type(error).__name__}: {error}")
        return _Sent(signal, _Fate.TAKEN)

    async def _signal_with_start(self, signal: OwedSignal) -> None:
        if signal.customer_id is None or signal.opened_at is None:
            raise ValueError("there is no such conversation")
        await self._client.start_workflow(
            CONVERSATION_WORKFLOW,
            ConversationStart(signal.conversation_id, signal.customer_id, signal.opened_at),
            id=workflow_id(signal.conversation_id),
            task_queue=CONVERSATIONS,
            task_timeout=TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal.kind,
            start_signal_args=[signal.id, signal.payload],
            search_attributes=_search_attributes(signal),
            static_summary=f"Conversation of {signal.customer_id}, opened on {', '.join(signal.channels or ())}",
        )

    async def _settle(self, claimed: Claim, sent: _Sent) -> None:
        signal = sent.signal
        facts = {"signal": signal.id, "kind": signal.kind, "conversation_id": signal.conversation_id}
        if sent.fate is _Fate.POISONED:
            await claimed.set_aside(signal.id, sent.error)
            _LOG.error("signal set aside: it was refused for good", **facts, error=sent.error)
            return
        if sent.fate is _Fate.ENDED and await self._redirected(claimed, signal):
            await claimed.take_off([signal.id])
            return
        await claimed.later(signal.id, _retry_after(signal.attempts), sent.error)
        _LOG.error("signal not taken, trying again", **facts, attempts=signal.attempts + 1, error=sent.error)

    async def _redirected(self, claimed: Claim, signal: OwedSignal) -> bool:
        """Whether a signal that came after the end needs nothing more here."""
        if signal.kind == SignalName.CUSTOMER_LEFT:
            await forward(claimed.connection, signal.id)
        if signal.kind != SignalName.MESSAGE_RECEIVED:
            # Offers, presence and policies concern a conversation that is being worked on, and this one is over.
            return signal.conversation_has_ended or await self._has_ended(claimed, signal.conversation_id)
        if await was_heard(claimed.connection, signal.conversation_id, signal.id):
            return True
        message_id = str(signal.payload["message_id"])
        return await pass_on(claimed.connection, message_id, signal.conversation_id) is not Passed.NOWHERE

    @staticmethod
    async def _has_ended(claimed: Claim, conversation_id: str) -> bool:
        cursor = await claimed.connection.execute(
            "select state in ('closed', 'merged') from conversations where id = %s", (conversation_id,)
        )
        row = await cursor.fetchone()
        return row is None or bool(row[0])


def _fate_of(error: Exception) -> _Fate:
    match error:
        case WorkflowAlreadyStartedError():
            return _Fate.ENDED
        case RPCError():
            return _fate_of_answer(error)
        case TimeoutError() | RuntimeError():
            # The latter is what a client that has never been connected raises when it can't connect.
            return _Fate.UNREACHABLE
        case TypeError() | ValueError():
            return _Fate.POISONED  # it can't be encoded
        case _:
            return _Fate.LATER


def _fate_of_answer(error: RPCError) -> _Fate:
    if error.status in _UNREACHABLE:
        return _Fate.UNREACHABLE
    if error.status is RPCStatusCode.NOT_FOUND:
        return _Fate.ENDED
    too_large = error.status is RPCStatusCode.RESOURCE_EXHAUSTED and "larger than max" in str(error)
    if too_large or (error.status in _POISONED and _SIGNAL_LIMIT not in str(error)):
        return _Fate.POISONED
    return _Fate.LATER


def _retry_after(attempts: int) -> timedelta:
    return min(_SHORTEST_WAIT * (1 << min(attempts, 10)), _LONGEST_RETRY)


def _search_attributes(signal: OwedSignal) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(STATE, signal.state or ""),
            SearchAttributePair(POOL, signal.pool or ""),
            SearchAttributePair(SEGMENT, signal.segment or ""),
            SearchAttributePair(CHANNELS, signal.channels or []),
        ]
    )
