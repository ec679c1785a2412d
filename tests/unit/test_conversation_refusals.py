"""Who may ask for what, and when: every request that is refused says why by a stable code, and changes nothing."""

from collections.abc import Callable

import pytest

from domain.conversation.events import (
    Event,
    Held,
    OfferAccepted,
    OfferDeclined,
    Reassigned,
    Reopened,
    Resumed,
    WrapUpEnded,
    WrapUpExtended,
)
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState
from domain.conversation.step import step
from tests.unit.conversation_builders import START, Conversation, claim, reply, resolve, transfer


def held() -> Conversation:
    talk = Conversation().assigned("ann")
    talk.happens(Held("ann", by_supervisor=False))
    return talk


PLACES: dict[str, Callable[[], Conversation]] = {
    "new": Conversation,
    "queued": lambda: Conversation().queued(),
    "offered": lambda: Conversation().offered("ann"),
    "assigned": lambda: Conversation().assigned("ann"),
    "pending_customer": lambda: Conversation().pending("ann"),
    "on_hold": held,
    "wrap_up": lambda: Conversation().in_wrap_up("ann"),
    "resolved": lambda: Conversation().resolved("ann"),
    "closed": lambda: Conversation().closed(),
}
ACCEPT = OfferAccepted("off_9", 9, "ann", START)
REQUESTS: dict[str, Callable[[str, bool], Event]] = {
    "reply": lambda agent, supervisor: reply("rep_9", agent, by_supervisor=supervisor),
    "transfer": lambda agent, supervisor: transfer(agent, to_pool="second line", by_supervisor=supervisor),
    "hold": Held,
    "resume": Resumed,
    "resolve": lambda agent, supervisor: resolve(agent, "other", by_supervisor=supervisor),
    "end wrap-up": WrapUpEnded,
    "extend wrap-up": WrapUpExtended,
}
DONE_WHEN = {
    "reply": {"assigned", "pending_customer", "on_hold", "wrap_up"},
    "transfer": {"assigned", "pending_customer", "on_hold"},
    "hold": {"assigned", "pending_customer", "on_hold"},
    "resume": {"assigned", "on_hold"},
    "resolve": {"assigned", "pending_customer", "on_hold"},
    "end wrap-up": {"wrap_up", "resolved"},
    "extend wrap-up": {"wrap_up"},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_supervisor_may_do_everything_where_it_can_be_done(place: str, request_name: str) -> None:
    talk, event = PLACES[place](), REQUESTS[request_name]("sue", True)
    done_when = DONE_WHEN[request_name] | ({"queued", "offered"} if request_name == "resolve" else set())
    if place in done_when:
        talk.happens(event)
    else:
        expected = RefusalCode.CONVERSATION_ENDED if place == "closed" else RefusalCode.WRONG_STATE
        assert talk.refuses(event) is expected


@pytest.mark.parametrize("place", ["assigned", "pending_customer", "on_hold", "wrap_up"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_only_the_assignee_does_what_the_assignee_does(place: str, request_name: str) -> None:
    if place in DONE_WHEN[request_name]:
        PLACES[place]().happens(REQUESTS[request_name]("ann", False))
        assert PLACES[place]().refuses(REQUESTS[request_name]("ben", False)) is RefusalCode.NOT_YOURS


@pytest.mark.parametrize("place", PLACES)
def test_only_what_waits_is_claimed(place: str) -> None:
    if place == "queued":
        return
    expected = RefusalCode.CONVERSATION_ENDED if place == "closed" else RefusalCode.NOT_WAITING
    assert PLACES[place]().refuses(claim("eve")) is expected


@pytest.mark.parametrize("place", PLACES)
def test_only_what_was_resolved_is_reopened(place: str) -> None:
    event = Reopened("ann", by_supervisor=False)
    if place in {"resolved", "wrap_up"}:
        PLACES[place]().happens(event)
        return
    expected = RefusalCode.CONVERSATION_ENDED if place == "closed" else RefusalCode.WRONG_STATE
    assert PLACES[place]().refuses(event) is expected


@pytest.mark.parametrize("place", PLACES)
def test_only_what_waits_or_is_worked_on_is_reassigned(place: str) -> None:
    event = Reassigned("sue", "eve", "knows it better")
    if place in {"queued", "offered", "assigned", "pending_customer", "on_hold"}:
        talk = PLACES[place]()
        talk.happens(event)
        assert talk.ticket().waiting.only_agent == "eve"
        return
    expected = RefusalCode.CONVERSATION_ENDED if place == "closed" else RefusalCode.WRONG_STATE
    assert PLACES[place]().refuses(event) is expected


@pytest.mark.parametrize("place", PLACES)
def test_an_offer_of_the_past_is_no_longer_yours_wherever_the_conversation_is(place: str) -> None:
    assert PLACES[place]().refuses(ACCEPT) is RefusalCode.OFFER_GONE
    declined = OfferDeclined(ACCEPT.offer_id, ACCEPT.agent_id, "busy", ACCEPT.ticket, ACCEPT.expires_at)
    assert PLACES[place]().refuses(declined) is RefusalCode.OFFER_GONE


def test_an_ended_conversation_takes_no_notes() -> None:
    event = reply("note_9", "ann", internal=True)
    assert Conversation().closed().refuses(event) is RefusalCode.CONVERSATION_ENDED


def test_a_refusal_says_its_code_first() -> None:
    with pytest.raises(Refusal, match=r"^not_waiting: the conversation is new, it waits in no queue$") as refused:
        step(ConversationState("con_1", "cus_1", START), claim("ann"), START)
    assert refused.value.detail == "the conversation is new, it waits in no queue"
