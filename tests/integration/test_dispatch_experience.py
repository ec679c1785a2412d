"""How long things take and how long people wait, as dispatchers learn it from the ledger and route by it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import OperationalError
from psycopg.errors import QueryCanceled
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from domain.routing.experience import NOTHING_EXPERIENCED, PastCase
from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import match_pool, take_lease
from storage.ledger.past_cases import past_cases
from storage.ledger.why_waiting import why_waiting
from tests.conftest import ADMIN_KEY
from tests.integration.dispatch_ledger import (
    POOL,
    add_agent,
    add_assignment,
    add_conversation,
    add_resolution,
    add_ticket,
    offered,
    rows,
    set_setting,
)

NOBODY_KNOWN = SuccessLearner().model()
LAST_WEEK = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


async def ended(
    database: Database, name: str, agent: str, work: timedelta | None, *, channel: str = "voice", code: str = "resolved"
) -> None:
    """An episode that `agent` took after 30 s for `work`; without work they hung up then."""
    await add_conversation(database, name)
    await add_resolution(database, name, agent, code, LAST_WEEK + timedelta(hours=1))
    waited_until = LAST_WEEK + timedelta(seconds=30)
    await rows(
        database,
        "update resolutions set first_channel = %s, channels = jsonb_build_array(%s::text), queued_at = %s,"
        " accepted_at = %s, intent = 'billing_question' where conversation_id = %s",
        *(channel, channel, LAST_WEEK, None if work is None else waited_until, name),
    )
    if work is None:
        await rows(
            database,
            "update resolutions set end_reason = 'abandoned', agent_id = null, resolved_at = %s"
            " where conversation_id = %s",
            *(waited_until, name),
        )
        return
    await add_assignment(database, name, agent, channel=channel)
    await rows(
        database,
        "update assignments set started_at = %s, ended_at = %s where conversation_id = %s",
        *(waited_until, waited_until + work, name),
    )


async def test_work_is_that_of_one_agent_on_one_channel_and_nobodys_who_hung_up(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_agent(database, "agt_2")
    five = timedelta(minutes=5)
    await ended(database, "con_told", "agt_1", five)
    await ended(database, "con_gone", "agt_1", None)
    await ended(database, "con_letter", "agt_1", five, channel="email")
    await ended(database, "con_spam", "agt_1", five, code="spam")
    await ended(database, "con_still", "agt_1", five)
    await rows(database, "update assignments set ended_at = null where conversation_id = 'con_still'")
    await ended(database, "con_moved", "agt_1", five)
    await rows(database, "update assignments set agent_id = 'agt_2' where conversation_id = 'con_moved'")
    await ended(database, "con_both", "agt_1", five)
    await rows(
        database, """update resolutions set channels = '["voice", "email"]' where conversation_id = 'con_both'"""
    )

    found = {case.customer_id: case for case in await past_cases(database, since=LAST_WEEK, at_most=100)}

    half = timedelta(seconds=30)
    assert found == {
        "cus_of_con_told": PastCase("voice", "billing_question", "cus_of_con_told", half, five, "agt_1"),
        "cus_of_con_gone": PastCase("voice", "billing_question", "cus_of_con_gone", half),
    }


async def test_calls_go_to_the_quick_and_the_decision_tells_the_work_that_was_expected(database: Database) -> None:
    await set_setting(database, "routing_presets", {POOL: "live_calls"})
    for agent, work in (("agt_a_slow", timedelta(minutes=6)), ("agt_quick", timedelta(minutes=2))):
        await add_agent(database, agent)
        for number in range(60):
            await ended(database, f"con_{agent}_{number}", agent, work)
    learned = LearnedFromLedger(database)
    assert (await learned.experience()).pace("agt_quick") < 0.8
    await add_ticket(
        database,
        "con_1",
        channel="voice",
        intent="billing_question",
        next_breach_at=datetime.now(UTC) + timedelta(seconds=20),
    )
    lease = await take_lease(database, POOL, "test")

    await match_pool(database, lease, NOBODY_KNOWN, await learned.experience())

    assert await offered(database) == {"con_1": "agt_quick"}
    ((expected,),) = await rows(
        database, "select record -> 'case' ->> 'expected_handle' from routing_decisions where conversation_id = 'con_1'"
    )
    assert expected is not None
    assert "PT2" in expected  # near the four minutes of the mean


async def test_a_past_that_takes_too_long_to_read_holds_no_dispatcher_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_long(*_: object, **__: object) -> list[PastCase]:
        raise QueryCanceled("canceling statement due to statement timeout")

    learned = LearnedFromLedger(database)
    monkeypatch.setattr("storage.ledger.learned.past_cases", too_long)
    assert await learned.experience() == NOTHING_EXPERIENCED
    monkeypatch.undo()
    assert await learned.experience() == NOTHING_EXPERIENCED  # not asked again at once


async def test_a_wait_is_told_as_urgent_as_the_dispatcher_finds_it(database: Database) -> None:
    await set_setting(database, "routing_presets", {POOL: "live_calls"})
    await add_agent(database, "agt_1", load=100)
    await add_ticket(
        database,
        "con_1",
        channel="voice",
        intent="billing_question",
        next_breach_at=datetime.now(UTC) + timedelta(minutes=2),
    )
    unlearned = await why_waiting(database, "con_1", LearnedFromLedger(database))
    for number in range(60):
        await ended(database, f"con_past_{number}", "agt_1", timedelta(minutes=9) if number % 2 else None)
    learned = LearnedFromLedger(database)
    app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2))
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton", headers=admin) as http:
        told = (await http.get("/v1/conversations/con_1/routing")).json()["waiting"]["urgency"]

    await rows(database, "update agents set load = 0")
    lease = await take_lease(database, POOL, "test")
    await match_pool(database, lease, await learned.model(), await learned.experience())

    ((parts,),) = await rows(database, "select record -> 'urgency_parts' from routing_decisions")
    found = sum(part["value"] for part in parts)
    assert told == pytest.approx(found, rel=0.05)
    assert unlearned is not None
    assert unlearned.urgency != pytest.approx(found, rel=0.1), "what was learned makes a difference here"


async def test_a_ledger_that_was_away_is_asked_again_by_who_comes_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> list[PastCase]:
        raise OperationalError("the connection is lost")

    await add_agent(database, "agt_1")
    await ended(database, "con_told", "agt_1", timedelta(minutes=5))
    learned = LearnedFromLedger(database)
    monkeypatch.setattr("storage.ledger.learned.past_cases", away)
    with pytest.raises(OperationalError):
        await learned.experience()
    monkeypatch.undo()
    assert await learned.experience() != NOTHING_EXPERIENCED
