from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from pydantic import JsonValue

from storage.database import Database, LedgerConnection
from storage.day_figures import DayFigures, SlaFigures, day_figures
from storage.tables import (
    Agent,
    Assignment,
    ClockRow,
    Conversation,
    Customer,
    Identity,
    LifecycleEvent,
    Message,
    Offer,
    Resolution,
    Thread,
)
from storage.violations import CHECKERS, acknowledged_but_not_stored, violations

OPENED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

UNGUARDED = (
    "drop index messages_once",
    "drop index assignments_one_live",
    "drop index conversations_one_open_per_customer",
    "alter table agents drop constraint agents_load_within_limit",
)
"""The database's own guards, gone: the checkers must see what these no longer refuse."""


def minutes(count: float) -> datetime:
    return OPENED + timedelta(minutes=count)


@pytest.fixture
async def ledger(database: Database, database_url: str) -> AsyncIterator[LedgerConnection]:
    """One conversation at work in its second episode, with everything in order and no guard in the database."""
    agents = [Agent(id="agt_a", display_name="Alex", pool="default", load=34), _agent("agt_b")]
    async with database.session() as session:
        session.add_all([Customer(id="cus_a", display_name="Mia"), *agents])
        await session.flush()
        session.add(Identity(id="idn_a", customer_id="cus_a", kind="phone", address="+4930123456", verified=True))
        session.add(
            Conversation(id="con_a", customer_id="cus_a", state="assigned", episode=2, pool="default", agent_id="agt_a")
        )
        await session.flush()
        session.add(
            Thread(
                id="thr_a",
                conversation_id="con_a",
                customer_id="cus_a",
                identity_id="idn_a",
                channel="sms",
                account="shop",
                address="+4930123456",
                thread_key="+4930123456",
            )
        )
        session.add_all([_offer("off_a", 0, 1), _offer("off_b", 20, 2), _clock()])
        await session.flush()
        session.add(
            Message(
                id="msg_a",
                conversation_id="con_a",
                thread_id="thr_a",
                customer_id="cus_a",
                direction="inbound",
                author_kind="customer",
                channel="sms",
                account="shop",
                provider_message_id="p1",
                text="Where is my parcel?",
                at=OPENED,
                delivery="received",
            )
        )
        session.add_all([_assignment("asg_a", "off_a", 1, 10), _assignment("asg_b", "off_b", 21, None), _resolution()])
        session.add_all([_event("message_received", message_id="msg_a"), _breach_event(), *_log()])
    connection = await AsyncConnection.connect(database_url, autocommit=True)
    for statement in UNGUARDED:
        await connection.execute(statement.encode())
    yield connection
    await connection.close()


def _agent(agent_id: str) -> Agent:
    return Agent(id=agent_id, display_name="Robin", pool="default")


def _offer(offer_id: str, at: float, ticket: int) -> Offer:
    return Offer(
        id=offer_id,
        conversation_id="con_a",
        ticket=ticket,
        episode=ticket,
        agent_id="agt_a",
        pool="default",
        channel="sms",
        units=34,
        state="accepted",
        reason="best",
        score=1.0,
        created_at=minutes(at),
        expires_at=minutes(at + 2),
        ended_at=minutes(at + 1),
    )


def _assignment(assignment_id: str, offer_id: str, started: float, ended: float | None) -> Assignment:
    return Assignment(
        id=assignment_id,
        conversation_id="con_a",
        episode=1,
        agent_id="agt_a",
        offer_id=offer_id,
        channel="sms",
        units=34,
        how="offer",
        full_history=True,
        started_at=minutes(started),
        ended_at=None if ended is None else minutes(ended),
    )


def _clock() -> ClockRow:
    return ClockRow(
        conversation_id="con_a",
        metric="first_response",
        episode=1,
        number=1,
        policy_id="sla_a",
        target_seconds=300,
        state="breached",
        started_at=OPENED,
        breached_at=minutes(5),
        ended_at=minutes(6),
    )


def _resolution() -> Resolution:
    return Resolution(
        conversation_id="con_a",
        episode=1,
        customer_id="cus_a",
        segment="standard",
        pool="default",
        agent_id="agt_a",
        first_channel="sms",
        channels=["sms"],
        opened_at=OPENED,
        resolved_at=minutes(9),
        business_seconds=540,
        end_reason="resolved",
        inbound=1,
        outbound=1,
        offers=1,
        declines=0,
        timeouts=0,
        reroutes=0,
        transfers=0,
        misroutes=0,
        touches=1,
        touches_with_history=1,
    )


def _event(kind: str, **data: str) -> LifecycleEvent:
    return LifecycleEvent(kind=kind, conversation_id="con_a", at=OPENED, data=dict(data))


def _breach_event() -> LifecycleEvent:
    return LifecycleEvent(
        kind="sla_breached", conversation_id="con_a", at=minutes(5), data={"metric": "first_response"}
    )


def _log() -> list[LifecycleEvent]:
    """The lines of what the tables say."""
    records: list[dict[str, JsonValue]] = [
        {"assignments": [_told("asg_a", 1, 10), _told("asg_b", 21, None)]},
        {
            "clocks": [
                {
                    "metric": "first_response",
                    "episode": 1,
                    "number": 1,
                    "state": "breached",
                    "started_at": OPENED.isoformat(),
                    "ended_at": minutes(6).isoformat(),
                    "business_seconds": 0.0,
                }
            ]
        },
        {
            "resolution": {
                "episode": 1,
                "intent": None,
                "segment": "standard",
                "pool": "default",
                "agent_id": "agt_a",
                "first_channel": "sms",
                "channels": ["sms"],
                "opened_at": OPENED.isoformat(),
                "queued_at": None,
                "accepted_at": None,
                "first_response_at": None,
                "resolved_at": minutes(9).isoformat(),
                "business_seconds": 540.0,
                "end_reason": "resolved",
            }
        },
    ]
    return [
        LifecycleEvent(kind="conversation_opened", conversation_id="con_a", customer_id="cus_a", at=OPENED),
        LifecycleEvent(kind="offered", conversation_id="con_a", episode=1, at=OPENED),
        *(
            LifecycleEvent(kind="recorded", conversation_id="con_a", at=minutes(9), data={"record": record})
            for record in records
        ),
        LifecycleEvent(kind="reopened", conversation_id="con_a", episode=2, at=minutes(20)),
        LifecycleEvent(kind="offered", conversation_id="con_a", episode=2, at=minutes(20)),
    ]


def _told(assignment_id: str, started: float, ended: float | None) -> JsonValue:
    return {
        "id": assignment_id,
        "agent_id": "agt_a",
        "pool": "default",
        "episode": 1,
        "units": 34,
        "match": None,
        "full_history": True,
        "started_at": minutes(started).isoformat(),
        "ended_at": None if ended is None else minutes(ended).isoformat(),
    }


BREAKS = {
    "message_stored_more_than_once": """
        insert into messages
        select (jsonb_populate_record(messages, '{"id": "msg_b"}')).* from messages where id = 'msg_a'
    """,
    "message_received_not_exactly_once": """
        insert into events (at, kind, conversation_id, data) select at, kind, conversation_id, data from events
        where kind = 'message_received'
    """,
    "assignments_overlap": "update assignments set ended_at = null where id = 'asg_a'",
    "load_over_capacity_now": "update agents set load = 101 where id = 'agt_b'",
    "load_is_not_what_is_held": "update agents set load = 0 where id = 'agt_a'",
    "load_was_over_capacity": """
        insert into offers
        select (jsonb_populate_record(offers, '{"id": "off_c", "units": 70, "state": "timed_out"}')).*
        from offers where id = 'off_a'
    """,
    "offer_accepted_twice": """
        insert into offers select (jsonb_populate_record(offers, '{"id": "off_c"}')).* from offers where id = 'off_a'
    """,
    "accept_without_its_assignment": "update offers set state = 'timed_out' where id = 'off_b'",
    "episode_without_one_resolution": "delete from resolutions",
    "resolved_by_somebody_else": "update resolutions set agent_id = 'agt_b'",
    "merged_without_survivor": """
        insert into conversations
        select (jsonb_populate_record(conversations, '{"id": "con_b", "state": "merged", "merged_into": "con_b"}')).*
        from conversations where id = 'con_a'
    """,
    "message_left_with_merged": """
        insert into conversations
        select (jsonb_populate_record(conversations, '{"id": "con_b", "state": "closed"}')).*
        from conversations where id = 'con_a';
        update threads set conversation_id = 'con_b'
    """,
    "left_with_linked_customer": """
        insert into customers
        select (jsonb_populate_record(customers, '{"id": "cus_b"}')).* from customers where id = 'cus_a';
        update customers set merged_into = 'cus_b' where id = 'cus_a'
    """,
    "two_open_conversations": """
        insert into conversations
        select (jsonb_populate_record(conversations, '{"id": "con_b"}')).*
        from conversations where id = 'con_a'
    """,
    "breach_told_more_than_once": """
        insert into events (at, kind, conversation_id, data) select at, kind, conversation_id, data from events
        where kind = 'sla_breached'
    """,
    "breach_early_or_after_the_stop": "update clocks set target_seconds = 301",
    "state_unlike_its_rows": "update conversations set state = 'resolved'",
    "kpis_unlike_their_log": "update resolutions set transfers = 1",
}

TAMPERED = {
    "update resolutions set resolved_at = resolved_at - interval '1 minute'": "resolved_at",
    "update clocks set state = 'met', breached_at = null": "clocks",
    "update assignments set ended_at = ended_at + interval '1 minute' where id = 'asg_a'": "wrap_up_time",
    "update assignments set units = 30 where id = 'asg_b'": "HandledSpan",
    "update messages set at = at + interval '1 minute'": "first_inbound_at",
    "delete from events where kind = 'reopened'": "Opening",
    "delete from resolutions": "has ended by the log alone",
    "delete from events where data #> '{record,resolution}' is not null": "no end of episode 1",
}
"""What makes a KPI differ from its log, and a word of what is said of it."""


async def test_a_ledger_in_order_has_no_violations(ledger: LedgerConnection) -> None:
    assert await violations(ledger) == []


async def test_every_checker_has_its_break() -> None:
    assert set(BREAKS) == {checker.__name__ for checker in CHECKERS}


@pytest.mark.parametrize("checker", BREAKS)
async def test_a_checker_goes_red_on_its_break(ledger: LedgerConnection, checker: str) -> None:
    await ledger.execute(BREAKS[checker].encode())

    assert checker in {violation.checker for violation in await violations(ledger)}


@pytest.mark.parametrize("tampering", TAMPERED)
async def test_what_the_log_does_not_tell_is_seen(ledger: LedgerConnection, tampering: str) -> None:
    await ledger.execute(tampering.encode())

    found = [violation.detail for violation in await violations(ledger) if violation.invariant == "S13"]
    assert any(TAMPERED[tampering] in detail for detail in found), found


async def test_a_breach_after_the_committed_stop_is_seen(ledger: LedgerConnection) -> None:
    await ledger.execute("update clocks set ended_at = started_at + interval '4 minutes'")

    assert "breach_early_or_after_the_stop" in {violation.checker for violation in await violations(ledger)}


async def test_an_acknowledged_message_without_a_row_is_seen(ledger: LedgerConnection) -> None:
    found = await acknowledged_but_not_stored(ledger, ["p1", "p2"])

    assert [violation.subject for violation in found] == ["p2"]


async def test_the_figures_of_the_day_are_counted_from_the_rows(ledger: LedgerConnection) -> None:
    await ledger.execute(BREAKS["message_stored_more_than_once"].encode())
    await ledger.execute(
        "insert into suggestions (id, conversation_id, customer_id, episode, channel, from_channel, cause, came_back,"
        " state, offered_at, expires_at)"
        " select 'sug_1', id, customer_id, 1, 'video', 'web_chat', 'agent', false, 'declined', now(), now()"
        " from conversations limit 1"
    )

    assert await day_figures(ledger) == DayFigures(
        messages_stored=2,
        duplicates_stored=1,
        conversations=1,
        merged=0,
        offers={"accepted": 2},
        reroutes=0,
        sla={"first_response": SlaFigures(met=0, breached=1)},
        suggestions={"declined": 1},
    )
