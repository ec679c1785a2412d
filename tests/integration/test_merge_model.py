"""Many people, many conversations, merges in every order, and crashes between a commit and its signals.

Whatever happens, in the end each message has had its effect exactly once and no invariant is broken.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from temporalio.client import Client

from domain.channels import Channel
from domain.conversation.events import DeadlineReached, Resolved
from domain.conversation.state import Phase
from storage.database import Database
from storage.ledger.merging import MergeRefused
from storage.violations import violations
from tests.conftest import PostgresServer
from tests.integration.merge_ledger import MergeLedger
from tests.integration.merge_shells import PlayedTemporal, Shell
from workers.relay import Relay

PEOPLE = ("ada", "bea", "cyd", "dan")
Answer = TypeVar("Answer")
people = st.sampled_from(PEOPLE)
numbers = st.integers(0, 1_000)


class MergingFloor(RuleBasedStateMachine):
    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__()
        self.postgres = postgres
        self.url = postgres.new_database()
        self.loop = asyncio.new_event_loop()
        self.database = Database(self.url, pool_size=4)
        self.run(self.database.open())
        self.ledger = MergeLedger(self.database)
        self.temporal = PlayedTemporal(self.database)
        self.relay = Relay(self.database, cast("Client", self.temporal))
        self.conversations: list[str] = []
        self.messages: list[str] = []

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(work)

    @rule(person=people, channel=st.sampled_from((Channel.SMS, Channel.WEB_CHAT)))
    def somebody_writes(self, person: str, channel: Channel) -> None:
        taken = self.run(self.ledger.says(person, f"message {len(self.messages)}", channel=channel))
        self.messages.append(taken.message_id)
        if taken.conversation_id not in self.conversations:
            self.conversations.append(taken.conversation_id)

    @precondition(lambda self: len(self.conversations) > 1)
    @rule(one=numbers, other=numbers)
    def two_are_merged(self, one: int, other: int) -> None:
        """Any two that ever were: merged before, closed, or the same."""
        count = len(self.conversations)
        try:
            self.run(self.ledger.merge(self.conversations[one % count], self.conversations[other % count]))
        except MergeRefused:
            return

    @precondition(lambda self: len(self.conversations) > 2)
    @rule(shift=numbers)
    def merges_cross(self, shift: int) -> None:
        """All at once, around a circle and back."""
        count = len(self.conversations)
        ring = [(self.conversations[at], self.conversations[(at + 1 + shift) % count]) for at in range(count)]

        async def cross() -> list[object]:
            merges = (self.ledger.merge(one, other) for one, other in (*ring, *((b, a) for a, b in ring)))
            return await asyncio.gather(*merges, return_exceptions=True)

        for outcome in self.run(cross()):
            assert not isinstance(outcome, BaseException) or isinstance(outcome, MergeRefused)

    @rule(loses=st.booleans())
    def the_relay_sends(self, loses: bool) -> None:
        """With `loses` it sends one signal whose answer never comes, and will send it again."""
        self.temporal.loses_an_answer = loses
        self.run(self.relay.drain())

    def busy(self) -> list[Shell]:
        return [shell for shell in self.temporal.shells.values() if shell.inbox]

    @precondition(lambda self: self.busy())
    @rule(which=numbers, twice=st.booleans())
    def a_workflow_works(self, which: int, twice: bool) -> None:
        """With `twice` its worker dies after the write, and another one writes it again."""
        shells = self.busy()
        self.run(shells[which % len(shells)].take_next(written_twice=twice))

    def workable(self) -> list[Shell]:
        return [shell for shell in self.temporal.shells.values() if shell.state.phase.is_waiting]

    @precondition(lambda self: self.workable())
    @rule(which=numbers)
    def a_supervisor_resolves(self, which: int) -> None:
        """The workflow may not know yet that it was merged: then the ledger refuses."""
        shell = self.workable()[which % len(self.workable())]
        self.run(shell.advance(Resolved("agt_none", "solved", None, by_supervisor=True)))

    def closing(self) -> list[Shell]:
        return [shell for shell in self.temporal.shells.values() if shell.state.phase is Phase.RESOLVED]

    @precondition(lambda self: self.closing())
    @rule(which=numbers)
    def a_reopen_window_closes(self, which: int) -> None:
        self.run(self.closing()[which % len(self.closing())].advance(DeadlineReached()))

    def teardown(self) -> None:
        try:
            self.run(self.judge())
        finally:
            self.run(self.database.close())
            self.loop.close()
            self.postgres.drop(self.url)

    async def judge(self) -> None:
        """Let everything that was begun come to its end, and look at what is left."""
        self.temporal.loses_an_answer = False
        for _ in range(100):
            await self.relay.drain()
            for shell in self.busy():
                while shell.inbox:
                    await shell.take_next()
            if await self.ledger.sql("select count(*) from signals") == [(0,)] and not self.busy():
                break
        assert await self.ledger.sql("select conversation_id, kind, error from signals") == []
        async with self.database.ledger.connection() as connection:
            assert await violations(connection) == []
        assert {name: count for name, count in self.temporal.effects.items() if count != 1} == {}
        assert set(self.temporal.effects) == set(self.messages), "every message was heard by somebody"
        stored = await self.ledger.sql("select count(*) from messages")
        assert stored == [(len(self.messages),)]
        rows = await self.ledger.sql("select id, state, step from conversations")
        for conversation_id, state, written in rows:
            shell = self.temporal.shells.get(f"conversation/{conversation_id}")
            if shell is None:
                assert state == "merged", "who never heard anything has ended before it began"
            elif state == "merged":
                assert shell.is_over
            else:
                assert (shell.state.phase.value, shell.state.step) == (state, written), "at rest the two agree"
        assert await self.ledger.sql("select count(*) from merges where absorbed_at is null") == [(0,)]
        waiting = await self.ledger.sql(
            "select count(*) from conversations c left join queue_tickets q on q.conversation_id = c.id"
            " where (c.state = 'queued') <> (q.conversation_id is not null)"
        )
        assert waiting == [(0,)]


def test_whatever_is_merged_with_whatever_each_message_is_heard_once(postgres: PostgresServer) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call] # hypothesis leaves it untyped
        lambda: MergingFloor(postgres),
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Stage.explicit, Stage.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
