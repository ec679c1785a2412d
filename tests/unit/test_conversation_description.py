"""A conversation says whose turn it is, survives being written down, and notices when it contradicts itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time

import msgspec
import pytest

from domain.conversation.description import details, waiting_for
from domain.conversation.events import CustomerWrote, Held, TermsChanged
from domain.conversation.invariants import check_state
from domain.conversation.state import ConversationState, Phase
from domain.sla.calendar import Calendar
from tests.unit.conversation_builders import CASE, MINUTE, PROMISE, SECOND, START, Conversation, transfer

OFFICE = Calendar("Europe/Berlin", (((time(9), None),),) * 5 + ((), ()), (date(2026, 12, 25), date(2026, 12, 26)))


def on_hold() -> Conversation:
    talk = Conversation().assigned("ann")
    talk.happens(Held("ann", by_supervisor=False))
    return talk


def named() -> Conversation:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", to_agent="ben"))
    return talk


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (Conversation, "the first message"),
        (lambda: Conversation().queued(), "an agent of pool default"),
        (named, "agent ben"),
        (lambda: Conversation().offered("ann"), "agent ann to answer the offer"),
        (lambda: Conversation().assigned("ann"), "a word from agent ann"),
        (lambda: Conversation().pending("ann"), "the customer"),
        (on_hold, "agent ann to resume"),
        (lambda: Conversation().in_wrap_up("ann"), "the wrap-up of agent ann"),
        (lambda: Conversation().resolved("ann"), "the reopen window to close"),
        (lambda: Conversation().closed(), "nothing"),
    ],
)
def test_it_is_always_somebodys_turn(place: Callable[[], Conversation], what: str) -> None:
    assert waiting_for(place().state).what == what


def test_the_turn_lasts_until_the_next_deadline() -> None:
    assert waiting_for(Conversation().offered().state).until == START + 30 * SECOND
    assert waiting_for(Conversation().closed().state).until is None


def test_the_details_show_ids_and_deadlines_and_nothing_personal() -> None:
    assert details(Conversation().assigned("ann").state).splitlines() == [
        "**assigned**, episode 1, customer `cus_1`",
        "- channels: web_chat",
        "- waits for: a word from agent ann until 2026-03-02 09:05:00 UTC",
        "- intent: billing (90%), segment gold, priority 3",
        "- owner: `ann`",
        "- next: first response is at risk, gold 10 min at 2026-03-02 09:05:00 UTC",
    ]


@pytest.mark.parametrize(
    "place",
    [
        Conversation,
        lambda: Conversation(case=replace(CASE, promise=replace(PROMISE, calendar=OFFICE))).assigned(),
        lambda: Conversation(case=replace(CASE, promise=None)).offered(),
        lambda: Conversation().in_wrap_up(),
    ],
)
def test_a_state_survives_being_written_as_json(place: Callable[[], Conversation]) -> None:
    state = place().state
    assert msgspec.json.decode(msgspec.json.encode(state), type=ConversationState) == state


def test_an_event_survives_being_written_as_json() -> None:
    case = replace(CASE, promise=replace(PROMISE, calendar=OFFICE))
    for event in (Conversation(case=case).wrote(), TermsChanged(case, "holidays")):
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
    assert isinstance(Conversation().wrote(), CustomerWrote)


def broken_states() -> dict[str, ConversationState]:
    new, queued, offered = Conversation().state, Conversation().queued().state, Conversation().offered().state
    assigned, pending, wrap_up = (
        Conversation().assigned().state,
        Conversation().pending().state,
        Conversation().in_wrap_up().state,
    )
    clock = assigned.clocks[0]
    return {
        "queued without a place": replace(queued, waiting=None),
        "offered without an offer": replace(offered, offer=None),
        "assigned to nobody": replace(assigned, assignment=None),
        "queued though somebody has it": replace(queued, assignment=assigned.assignment, owner="ann"),
        "held by another than its owner": replace(assigned, owner="ben"),
        "wrap-up without an end": replace(wrap_up, wrap_up=None),
        "pending since never": replace(pending, idle_since=None),
        "pending though the customer waits": replace(pending, unanswered_since=START),
        "in work without a case": replace(assigned, case=None, clocks=()),
        "an offer for another ticket": replace(offered, tickets=2, waiting=replace(offered.waiting, ticket=2)),  # type: ignore[type-var]
        "an old ticket": replace(queued, tickets=2),
        "new with a place in the queue": replace(new, waiting=queued.waiting, tickets=1),
        "a transfer from nobody": replace(queued, waiting=replace(queued.waiting, warm_from="asg_1_1")),  # type: ignore[type-var]
        "a lost age": replace(queued, waits_since=START + MINUTE),
        "resolved at no time": replace(wrap_up, resolved_at=None),
        "wrap-up though the customer waits": replace(wrap_up, unanswered_since=START),
        "an episode that never opened": replace(assigned, episode_opened_at=None),
        "two clocks of a metric": replace(assigned, clocks=(*assigned.clocks, clock)),
        "a clock that outlives its episode": replace(wrap_up, clocks=(clock,)),
        "a clock of an answer given": replace(assigned, first_response_at=START),
        "a clock nobody promised": replace(assigned, case=replace(CASE, promise=None)),
        "a clock that runs while all wait": replace(
            assigned, phase=Phase.PENDING_CUSTOMER, idle_since=START, unanswered_since=None, clocks=(clock,)
        ),
    }


@pytest.mark.parametrize("name", broken_states())
def test_a_contradiction_is_noticed(name: str) -> None:
    assert check_state(broken_states()[name]) != []
