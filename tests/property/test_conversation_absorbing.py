"""Whatever a conversation absorbs, in whatever state the two are, its promises hold and it comes to an end."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from domain.channels import MessageKind
from domain.conversation.deadlines import deadlines
from domain.conversation.events import (
    Absorbed,
    CustomerWrote,
    DeadlineReached,
    Event,
    Held,
    IdentityLinked,
    MergedAway,
    OfferAccepted,
    OfferMade,
    Replied,
    Resolved,
    ThreadsSplit,
)
from domain.conversation.handover import Handover, hand_over
from domain.conversation.invariants import check_state
from domain.conversation.merging import new_needs
from domain.conversation.state import ConversationState, Phase
from domain.conversation.step import step
from domain.conversation.terms import Assessment
from domain.sla.policy import Metric
from tests.property.conversation_ledger import AgentRow
from tests.property.test_conversation_interleavings import CASES, ConversationMachine, cases, is_open

ROADS = ("queued", "offered", "assigned", "pending", "idle", "on hold", "wrap-up", "resolved", "waits again")
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def loser_at(road: str, case: Assessment, began: datetime, now: datetime) -> ConversationState:
    """A conversation that has come so far by `now`, without anything that can be refused."""
    state = ConversationState("con_2", "cus_2", began)
    until = began

    def happens(event: Event) -> None:
        nonlocal state
        state = step(state, event, until).state
        due = deadlines(state)
        if due and due[0].at <= until:
            state = step(state, DeadlineReached(), until).state

    happens(CustomerWrote("msg_l1", "thr_l1", MessageKind.MESSAGE, began, replace(case, channel="sms"), signal_id=1))
    offer = OfferMade("off_l1", 1, "lea", now + HOUR, auto_accept=False, reason="fits")
    steps: tuple[Event, ...] = (
        offer,
        OfferAccepted("off_l1", 1, "lea", now + HOUR),
        Replied("rep_l1", "lea", internal=False, by_supervisor=False),
    )
    taken = {"queued": 0, "offered": 1, "assigned": 2, "on hold": 2, "wrap-up": 2, "resolved": 2}.get(road, 3)
    for event in steps[:taken]:
        happens(event)
    if road in {"wrap-up", "resolved"}:
        happens(Resolved("lea", "solved", None, by_supervisor=True))
    if road == "on hold" and state.agent_id is not None:
        happens(Held("lea", by_supervisor=False))
    if road == "waits again":
        happens(
            CustomerWrote("msg_l2", "thr_l1", MessageKind.MESSAGE, until, replace(case, channel="sms"), signal_id=2)
        )
    until = now
    if road in {"idle", "resolved"} and deadlines(state) and deadlines(state)[0].at <= now:
        state = step(state, DeadlineReached(), now).state
    return state


class AbsorbingMachine(ConversationMachine):
    """What can happen to any conversation, and merges, splits and links between all that."""

    def __init__(self) -> None:
        super().__init__()
        self.merges = 0
        # Who had what was absorbed may become the owner of all of it, and take it up again.
        self.ledger.tables.agents["lea"] = AgentRow()

    def judge_age(self, before: ConversationState, event: Event, after: ConversationState) -> None:
        """A merge lets it wait at the age of the one that has waited longer, never at a lesser one."""
        if not isinstance(event, Absorbed):
            super().judge_age(before, event, after)
        elif before.waiting is not None and before.phase.is_waiting and after.waiting is not None:
            assert after.waiting.queued_at <= before.waiting.queued_at

    @precondition(is_open)
    @rule(
        road=st.sampled_from(ROADS),
        theirs=cases,
        ours=cases,
        ago=st.sampled_from((timedelta(0), SECOND, 3 * MINUTE, HOUR, 5 * HOUR)),
        heard=st.sampled_from((True, True, True, False)),
    )
    def another_is_absorbed(self, road: str, theirs: Assessment, ours: Assessment, ago: timedelta, heard: bool) -> None:
        loser = loser_at(road, theirs, self.now - ago, self.now)
        assert check_state(loser) == []
        handed = hand_over(loser) if heard else None
        before = self.state
        self.merges += 1
        needs = before.case.skills if before.case else ()
        unfit = bool(new_needs(needs, handed.skills if handed else ())) and self.merges % 2 == 0
        done = self.happens(Absorbed(f"mrg_{self.merges}", self.now, ours, handed, theirs.promise, unfit=unfit))
        assert done
        assert self.ledger.tables.absorbed[-1] == f"mrg_{self.merges}"
        if handed is not None:
            self.judge_absorbed(before, handed, theirs)

    def judge_absorbed(self, before: ConversationState, handed: Handover, theirs: Assessment) -> None:
        after = self.state
        assert set(after.threads) == set(before.threads) | set(handed.threads)
        assert set(after.channels) == set(before.channels) | set(handed.channels)
        assert dict(after.case.skills if after.case else ()).keys() >= dict(handed.skills).keys()
        assert after.opened_at == min(before.opened_at, handed.opened_at)
        if handed.is_unresolved:
            assert after.phase.is_waiting or after.phase.is_in_work, "what was to be resolved still is"
        if handed.unanswered_since is not None:
            assert after.unanswered_since is not None
            assert after.unanswered_since <= handed.unanswered_since
            assert after.phase.is_waiting or after.assignment is not None, "somebody will answer"
        assert after.episode - before.episode == (before.resolved_at is not None and handed.is_unresolved)
        if after.case is None or after.case.promise is None or theirs.promise is None:
            return
        for clock in handed.clocks:
            if clock.metric is Metric.OWNER_SILENCE or clock.due_at is None:
                continue
            kept = [one for one in after.clocks if one.metric is clock.metric and not one.is_ended]
            due = [one.breached_at or one.due_at for one in kept]
            assert any(at is None or at <= clock.due_at for at in due), f"{clock.metric} became later"

    @precondition(is_open)
    @rule(case=cases, waits=st.booleans())
    def threads_are_split_off(self, case: Assessment, waits: bool) -> None:
        gone = self.state.threads[1:]
        before = self.state
        since = before.unanswered_since if waits else None
        self.happens(ThreadsSplit(gone, before.channels[:1], since, case))
        assert self.state.threads == before.threads[:1]
        assert (self.state.unanswered_since is not None) == (waits and before.unanswered_since is not None)
        assert self.state.agent_id == before.agent_id

    @precondition(is_open)
    @rule(case=cases)
    def the_customer_is_linked(self, case: Assessment) -> None:
        self.happens(IdentityLinked("cus_other", case, "identity_verified"))
        assert self.state.customer_id == "cus_other"

    @precondition(is_open)
    @rule()
    def it_would_end_when_merged_away(self) -> None:
        gone = step(self.state, MergedAway(self.now), self.now)
        assert (gone.commands, gone.state.phase, deadlines(gone.state)) == ((), Phase.MERGED, [])
        assert check_state(gone.state) == []
        passed = step(gone.state, CustomerWrote("late", "thr_1", MessageKind.MESSAGE, self.now, CASES[0]), self.now)
        assert [type(command).__name__ for command in passed.commands] == ["PassOn"]


TestAbsorbing = AbsorbingMachine.TestCase
TestAbsorbing.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
