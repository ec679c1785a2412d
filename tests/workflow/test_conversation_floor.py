"""One conversation on the real parts: routed, answered, resolved, breached, reopened, closed, passed on."""

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from domain.channels import Channel, MessageKind
from storage.ledger.intake import TakenIn
from storage.violations import violations
from tests.workflow.conftest import Floor
from workflows.conversation import Conversation
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import (
    AcceptOffer,
    Claim,
    DeclineOffer,
    EndWrapUp,
    Hold,
    Reply,
    Resolve,
    Transfer,
    UpdateName,
)

ASK = "I was charged twice for my invoice, please refund me"


async def refusal(floor: Floor, conversation_id: str, update: UpdateName, asked: object) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await floor.ask(conversation_id, update, asked)
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    return str(cause.type)


async def accepted(floor: Floor, text: str = ASK, customer: str = "bea") -> tuple[TakenIn, AcceptOffer]:
    taken = await floor.says(customer, text)
    offer = await floor.pending_offer(taken.conversation_id)
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, offer)
    return taken, offer


async def resolved(floor: Floor, taken: TakenIn, agent: str) -> None:
    message = await floor.draft(taken, agent, "Here is your money")
    await floor.ask(taken.conversation_id, UpdateName.REPLY, Reply(message, agent, None, None, internal=False))
    await floor.ask(taken.conversation_id, UpdateName.RESOLVE, Resolve(agent, "resolved"))
    await floor.ask(taken.conversation_id, UpdateName.END_WRAP_UP, EndWrapUp(agent))


async def no_violations(floor: Floor) -> None:
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_a_message_becomes_a_conversation_that_is_offered_answered_resolved_and_closed(floor: Floor) -> None:
    await floor.set("reopen_window_seconds", 0.5)
    await floor.promise(first_response=60, next_response=60, resolution=600)
    ann = await floor.agent("Ann")
    taken, offer = await accepted(floor)
    assert offer.agent_id == ann
    await resolved(floor, taken, ann)
    handle = floor.handle(taken.conversation_id)
    await handle.result()
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert (await floor.told(taken.conversation_id))[-6:] == [
        "offered",
        "accepted",
        "replied",
        "resolved",
        "wrap_up_ended",
        "closed",
    ]
    assert await floor.sql("select load from agents") == [(0,)]
    assert await floor.sql("select metric, state from clocks order by metric") == [
        ("first_response", "met"),
        ("resolution", "met"),
    ]
    await no_violations(floor)
    await Replayer(workflows=[Conversation], data_converter=DATA_CONVERTER).replay_workflow(
        await handle.fetch_history()
    )


async def test_a_second_accept_is_told_no_longer_yours(floor: Floor) -> None:
    await floor.agent("Ann")
    taken, offer = await accepted(floor)
    again = await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, offer)
    assert again.agent_id == offer.agent_id
    stranger = AcceptOffer(offer.offer_id, offer.ticket, "agt_other", offer.expires_at)
    assert await refusal(floor, taken.conversation_id, UpdateName.ACCEPT_OFFER, stranger) == "not_yours"
    assert await refusal(floor, taken.conversation_id, UpdateName.HOLD, Hold("agt_other")) == "not_yours"
    unknown = AcceptOffer("off_unknown", 9, offer.agent_id, offer.expires_at)
    assert await refusal(floor, taken.conversation_id, UpdateName.ACCEPT_OFFER, unknown) == "offer_gone"


async def test_a_declined_offer_goes_to_somebody_else_at_its_old_age(floor: Floor) -> None:
    await floor.agent("Ann")
    taken = await floor.says("bea", ASK)
    first = await floor.pending_offer(taken.conversation_id)
    await floor.agent("Bob")
    declined = DeclineOffer(first.offer_id, first.agent_id, "lunch", first.ticket, first.expires_at)
    await floor.ask(taken.conversation_id, UpdateName.DECLINE_OFFER, declined)
    second = await floor.pending_offer(taken.conversation_id)
    assert second.agent_id != first.agent_id
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, second)
    assert await floor.sql("select state from offers order by created_at") == [("declined",), ("accepted",)]
    assert await floor.sql("select sum(load) from agents") == [(34,)]


async def test_who_declines_before_the_conversation_has_heard_of_the_offer_is_taken_at_their_word(floor: Floor) -> None:
    taken = await floor.says("bea", ASK)
    await floor.in_state(taken.conversation_id, "queued")
    await floor.stop_relay()
    ann = await floor.agent("Ann")
    first = await floor.pending_offer(taken.conversation_id)
    declined = DeclineOffer(first.offer_id, ann, "lunch", first.ticket, first.expires_at)
    await floor.ask(taken.conversation_id, UpdateName.DECLINE_OFFER, declined)
    bob = await floor.agent("Bob")
    second = await floor.pending_offer(taken.conversation_id)
    assert second.agent_id == bob
    floor.start_relay()
    await floor.in_state(taken.conversation_id, "offered")
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, second)
    assert await floor.sql("select state from offers order by created_at") == [("declined",), ("accepted",)]
    assert await floor.sql("select id, load from agents order by display_name") == [(ann, 0), (bob, 34)]
    await no_violations(floor)


async def test_an_unanswered_offer_times_out_and_its_agent_is_not_responding(floor: Floor) -> None:
    await floor.set("offer_timeout_seconds", {"web_chat": 0.3})
    ann = await floor.agent("Ann")
    await floor.sql(
        "insert into presence_spans (agent_id, presence, capacity, started_at) values (%s, 'online', 100, now())", ann
    )
    taken = await floor.says("bea", ASK)
    await floor.pending_offer(taken.conversation_id)
    await floor.in_state(taken.conversation_id, "queued")

    async def timed_out() -> bool | None:
        rows = await floor.sql("select presence, load from agents where id = %s", ann)
        return True if rows == [("not_responding", 0)] else None

    await floor.until(timed_out, "the agent to be not responding")
    assert await floor.sql("select state from offers") == [("timed_out",)]
    spans = await floor.sql("select presence, ended_at is null from presence_spans order by started_at")
    assert spans == [("online", False), ("not_responding", True)]
    rows = await floor.sql("select queued_at = (select min(at) from messages) from queue_tickets")
    assert rows == [(True,)]


async def test_a_silent_owner_loses_the_conversation_to_another_agent(floor: Floor) -> None:
    await floor.promise(owner_silence=1.0)
    ann = await floor.agent("Ann")
    taken, _ = await accepted(floor)
    await floor.agent("Bob")
    offer = await floor.pending_offer(taken.conversation_id)
    assert offer.agent_id != ann
    told = await floor.told(taken.conversation_id)
    assert ("sla_breached" in told, "rerouted" in told) == (True, True)
    assert await floor.sql("select breached_at - started_at = interval '1 second' from clocks") == [(True,)]


async def test_a_customer_who_writes_after_the_resolve_opens_the_next_episode(floor: Floor) -> None:
    ann = await floor.agent("Ann")
    taken, _ = await accepted(floor)
    await resolved(floor, taken, ann)
    await floor.says("bea", "thanks, bye", kind=MessageKind.CLOSING_THANKS)
    await floor.says("bea", "It happened again, I was charged twice")
    offer = await floor.pending_offer(taken.conversation_id)
    view = await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, offer)
    assert (view.episode, view.agent_id) == (2, ann)
    assert await floor.sql("select count(*) from conversations") == [(1,)]


async def test_a_message_to_a_closed_conversation_opens_a_new_one_and_is_not_lost(floor: Floor) -> None:
    await floor.set("reopen_window_seconds", 0.1)
    ann = await floor.agent("Ann")
    taken, _ = await accepted(floor)
    await resolved(floor, taken, ann)
    await floor.in_state(taken.conversation_id, "closed")
    later = await floor.says("bea", "One more question about my invoice")
    assert later.conversation_id != taken.conversation_id
    offer = await floor.pending_offer(later.conversation_id)
    assert offer.agent_id == ann


async def test_a_second_channel_joins_the_open_conversation_without_a_second_offer(floor: Floor) -> None:
    await floor.agent("Ann")
    taken, _ = await accepted(floor)
    joined = await floor.says("bea", "I also write by mail", channel=Channel.WHATSAPP)
    assert joined.conversation_id == taken.conversation_id

    async def heard() -> bool | None:
        rows = await floor.sql("select channels from conversations")
        return True if rows == [(["web_chat", "whatsapp"],)] else None

    await floor.until(heard, "both channels")
    assert await floor.sql("select count(*) from offers") == [(1,)]


async def test_a_cold_transfer_leaves_the_sender_and_a_claim_takes_it(floor: Floor) -> None:
    ann = await floor.agent("Ann")
    taken, _ = await accepted(floor)
    bob = await floor.agent("Bob", presence="away")
    moved = Transfer(ann, warm=False, note="please", to_agent=bob)
    view = await floor.ask(taken.conversation_id, UpdateName.TRANSFER, moved)
    assert (view.state, view.agent_id) == ("queued", None)
    claimed = await floor.ask(taken.conversation_id, UpdateName.CLAIM, Claim(bob))
    assert (claimed.state, claimed.agent_id) == ("assigned", bob)
    assert await floor.sql("select load from agents where id = %s", ann) == [(0,)]


async def test_a_claim_beyond_the_capacity_is_refused_and_changes_nothing(floor: Floor) -> None:
    small = await floor.agent("Sam", presence="away", capacity=20)
    taken = await floor.says("bea", ASK)
    await floor.in_state(taken.conversation_id, "queued")
    assert await refusal(floor, taken.conversation_id, UpdateName.CLAIM, Claim(small)) == "no_capacity"
    assert await floor.sql("select count(*) from queue_tickets") == [(1,)]
    assert await floor.sql("select count(*) from assignments") == [(0,)]
