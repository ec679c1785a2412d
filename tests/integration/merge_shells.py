"""Workflows without a server: shells that follow their conversations as `workflows/conversation.py` does.

The relay, the ledger and the state machine are the real ones. Only Temporal is played: it starts shells, hands signals
over, refuses what a completed workflow no longer takes, and loses an answer when it is told to.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.conversation_steps import assessment
from domain.conversation import events
from domain.conversation.commands import Command
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState
from domain.conversation.step import step
from domain.conversation.terms import Assessment
from domain.settings import DEFAULTS
from domain.sla.policy import AppliesTo, PauseReason, PolicyId, SlaPolicy, SlaTargets
from storage.database import Database
from storage.ledger.case_facts import HouseRules, read_case
from storage.ledger.handovers import read_merge
from storage.ledger.steps import write_step
from workflows import messages
from workflows.conversation_start import ConversationStart

Signal = messages.MessageReceived | messages.CustomerLeft | messages.Absorb | messages.MergedAway
KINDS: Final[dict[str, type[Signal]]] = {
    "message_received": messages.MessageReceived,
    "customer_left": messages.CustomerLeft,
    "absorb": messages.Absorb,
    "merged_away": messages.MergedAway,
}
PROMISE: Final = SlaPolicy(
    id=PolicyId("sla_model"),
    version=1,
    name="model",
    applies_to=AppliesTo(),
    targets=SlaTargets(timedelta(minutes=10), timedelta(minutes=10), timedelta(hours=4), timedelta(minutes=5)),
    warn_fraction=None,
    calendar=None,
    pause_on=(PauseReason.PENDING_CUSTOMER,),
    rank=0,
)
HOUSE: Final = HouseRules(DEFAULTS, (PROMISE,))


class Shell:
    def __init__(self, database: Database, start: ConversationStart, effects: Counter[str]) -> None:
        self._database = database
        self._effects = effects
        self.state = ConversationState(start.conversation_id, start.customer_id, start.opened_at)
        self.inbox: deque[Signal] = deque()
        self._seen: set[int] = set()

    @property
    def is_over(self) -> bool:
        return self.state.phase.is_final and not self.inbox

    def receive(self, signal_id: int, signal: Signal) -> None:
        if signal_id not in self._seen:
            self._seen.add(signal_id)
            if isinstance(signal, messages.MessageReceived | messages.CustomerLeft):
                signal = replace(signal, signal_id=signal_id)
            self.inbox.append(signal)

    async def take_next(self, *, written_twice: bool = False) -> None:
        item = self.inbox.popleft()
        match item:
            case messages.MessageReceived():
                case = await self._assess(self.state.conversation_id)
                was_open = not self.state.phase.is_final
                event = events.CustomerWrote(
                    item.message_id,
                    item.thread_id,
                    item.kind,
                    item.at,
                    replace(case, channel=item.channel),
                    item.signal_id,
                )
                if not await self.advance(event, written_twice=written_twice):
                    self.inbox.appendleft(item)
                elif was_open:
                    self._effects[item.message_id] += 1
            case messages.CustomerLeft():
                left = events.CustomerLeft(item.thread_id, item.signal_id)
                if not await self.advance(left, written_twice=written_twice):
                    await self.advance(left, written_twice=written_twice)
            case messages.Absorb():
                if not self.state.phase.is_final:
                    await self._absorb(item, written_twice=written_twice)
            case messages.MergedAway():
                self._end_as_merged()

    async def advance(self, event: events.Event, *, written_twice: bool = False) -> bool:
        """Whether the ledger took the step; a worker that died after the write writes it a second time."""
        now = datetime.now(UTC)
        done = step(self.state, event, now)
        if done.state == self.state:
            return True
        try:
            for _ in range(2 if written_twice else 1):
                await self._write(done.state, done.commands, now)
        except Refusal as refused:
            if refused.code is RefusalCode.CONVERSATION_ENDED:
                self._end_as_merged()
            return False
        self.state = done.state
        return True

    async def _write(self, state: ConversationState, commands: tuple[Command, ...], now: datetime) -> None:
        async with self._database.ledger.connection() as connection:
            await write_step(connection, state, commands, now, frozenset())

    async def _absorb(self, item: messages.Absorb, *, written_twice: bool) -> None:
        async with self._database.ledger.connection() as connection:
            found = await read_merge(connection, item.merge_id)
        theirs = await self._assess(found.loser_id)
        case = await self._assess(self.state.conversation_id)
        event = events.Absorbed(item.merge_id, item.at, case, found.handover, theirs.promise, unfit=False)
        await self.advance(event, written_twice=written_twice)

    async def _assess(self, conversation_id: str) -> Assessment:
        async with self._database.ledger.connection() as connection:
            facts = await read_case(connection, conversation_id, ())
        case = assessment(facts, HOUSE, (None, None), None, None, frozenset())
        # Whatever is resolved may close at once: merges into what is just closing are what this is about.
        return replace(case, rules=replace(case.rules, reopen_window=timedelta(0)))

    def _end_as_merged(self) -> None:
        now = datetime.now(UTC)
        self.state = step(self.state, events.MergedAway(now), now).state


@dataclass
class PlayedTemporal:
    """As much of a Temporal client as the relay calls; the next answer is lost when `loses_an_answer`."""

    database: Database
    shells: dict[str, Shell] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    loses_an_answer: bool = False

    async def start_workflow(
        self,
        _kind: str,
        start: ConversationStart,
        *,
        id: str,  # noqa: A002 -- the client's word
        start_signal: str,
        start_signal_args: list[Any],
        **_: Any,
    ) -> None:
        shell = self.shells.get(id)
        if shell is not None and shell.is_over:
            raise WorkflowAlreadyStartedError(id, "Conversation")
        if shell is None:
            shell = self.shells[id] = Shell(self.database, start, self.effects)
        self._signal(shell, start_signal, start_signal_args)

    def get_workflow_handle(self, workflow_id: str) -> "PlayedHandle":
        return PlayedHandle(self, workflow_id)

    def _signal(self, shell: Shell, kind: str, arguments: list[Any]) -> None:
        signal_id, payload = arguments
        if kind == "messages_received":
            together = msgspec.convert(payload, messages.MessagesReceived, strict=False)
            for each_id, message in together.messages:
                shell.receive(each_id, message)
        else:
            shell.receive(signal_id, msgspec.convert(payload, KINDS[str(kind)], strict=False))
        if self.loses_an_answer:
            self.loses_an_answer = False
            raise RPCError("the answer is lost", RPCStatusCode.UNAVAILABLE, b"")


@dataclass
class PlayedHandle:
    temporal: PlayedTemporal
    workflow_id: str

    async def signal(self, kind: str, *, args: list[Any]) -> None:
        shell = self.temporal.shells.get(self.workflow_id)
        if shell is None or shell.is_over:
            raise RPCError("no such workflow runs", RPCStatusCode.NOT_FOUND, b"")
        self.temporal._signal(shell, kind, args)
