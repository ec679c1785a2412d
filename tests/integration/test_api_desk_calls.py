"""What the desk asks of conversations, as far as it is decided before or without their workflow."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions, TemporalGetter
from storage.database import Database
from storage.migrate import key_digest
from storage.tables import Agent, ApiKey, Conversation, Customer, Identity, Offer, Thread

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALEX = {"Authorization": "Bearer bt_alex"}
SAM = {"Authorization": "Bearer bt_sam"}
SUPERVISOR = {"Authorization": "Bearer bt_supervisor_made-up-for-the-tests-0123456789abcde"}


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


def client_of(database: Database, temporal: TemporalGetter) -> httpx.AsyncClient:
    context = ApiContext(database, temporal, b"0123456789abcdef" * 2, ApiOptions())
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(context)), base_url="http://baton")


@pytest.fixture
async def desk(stored: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The API while Temporal is out of reach."""
    async with client_of(stored, no_temporal) as client:
        yield client


@pytest.fixture
async def stored(database: Database) -> Database:
    """One conversation that Alex has, with a timed-out and a pending offer of another to Alex."""
    async with database.session() as session:
        for row in (
            Agent(id="agt_alex", display_name="Alex", pool="default", presence="online", load=10),
            Agent(id="agt_sam", display_name="Sam", pool="default"),
            Customer(id="cus_mia", display_name="Mia"),
            Customer(id="cus_li", display_name="Li"),
            ApiKey(id="key_alex", role="agent", digest=key_digest("bt_alex"), agent_id="agt_alex"),
            ApiKey(id="key_sam", role="agent", digest=key_digest("bt_sam"), agent_id="agt_sam"),
            Identity(id="idn_mia", customer_id="cus_mia", kind="email", address="mia@example.org", verified=True),
            Conversation(id="con_mine", customer_id="cus_mia", state="assigned", pool="default", agent_id="agt_alex"),
            Conversation(id="con_offered", customer_id="cus_li", state="offered", pool="default"),
            Conversation(id="con_closed", customer_id="cus_mia", state="closed", pool="default"),
            Thread(
                id="thr_mine",
                conversation_id="con_mine",
                customer_id="cus_mia",
                identity_id="idn_mia",
                channel="email",
                account="support",
                address="mia@example.org",
                thread_key="a",
            ),
            _offer("off_late", "timed_out"),
            _offer("off_now", "pending"),
        ):
            session.add(row)
            await session.flush()
    return database


def _offer(offer_id: str, state: str) -> Offer:
    return Offer(
        id=offer_id,
        conversation_id="con_offered",
        ticket=1,
        episode=1,
        agent_id="agt_alex",
        pool="default",
        channel="email",
        units=10,
        state=state,
        reason="free",
        score=0.5,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )


async def _messages(database: Database) -> list[tuple[object, ...]]:
    async with database.ledger.connection() as connection:
        found = await connection.execute("select text, delivery, direction, thread_id, channel from messages")
        return await found.fetchall()


async def test_agents_are_shown_their_own_offers_and_supervisors_all(desk: httpx.AsyncClient) -> None:
    mine = (await desk.get("/v1/offers", headers=ALEX)).json()["data"]
    assert [(one["id"], one["customer"]["display_name"]) for one in mine] == [("off_now", "Li")]
    assert (await desk.get("/v1/offers", headers=SAM)).json()["data"] == []
    assert len((await desk.get("/v1/offers", headers=SUPERVISOR)).json()["data"]) == 1


async def test_somebody_else_s_offer_does_not_exist(desk: httpx.AsyncClient) -> None:
    assert (await desk.post("/v1/offers/off_now/accept", headers=SAM)).status_code == 404
    assert (await desk.post("/v1/offers/off_now/decline", json={"reason": "x"}, headers=SAM)).status_code == 404


async def test_an_offer_that_has_ended_is_told_no_longer_yours(desk: httpx.AsyncClient) -> None:
    answer = await desk.post("/v1/offers/off_late/accept", headers=ALEX)
    assert (answer.status_code, answer.json()["code"]) == (409, "offer_gone")


async def test_without_temporal_an_agent_is_told_to_try_again(desk: httpx.AsyncClient) -> None:
    answer = await desk.post("/v1/offers/off_now/accept", headers=ALEX)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_reply_sent_again_while_temporal_is_away_is_one_draft(
    desk: httpx.AsyncClient, stored: Database
) -> None:
    for _ in range(2):
        answer = await desk.post(
            "/v1/conversations/con_mine/messages", json={"text": "hello"}, headers={**ALEX, "Idempotency-Key": "once"}
        )
        assert answer.status_code == 503
    assert await _messages(stored) == [("hello", "draft", "outbound", "thr_mine", "email")]
    assert (await desk.get("/v1/conversations/con_mine/timeline", headers=ALEX)).json()["data"] == []


async def test_a_reply_on_a_thread_of_another_conversation_is_refused(
    desk: httpx.AsyncClient, stored: Database
) -> None:
    answer = await desk.post(
        "/v1/conversations/con_mine/messages", json={"text": "hello", "thread_id": "thr_other"}, headers=ALEX
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/thread_id")
    assert await _messages(stored) == []


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("resolve", {"wrap_up_code": "no such"}, "/wrap_up_code"),
        ("transfer", {"to": {"agent_id": "agt_sam", "pool": "default"}, "kind": "warm"}, "/to"),
        ("transfer", {"to": {"agent_id": "agt_nobody"}, "kind": "cold"}, "/to/agent_id"),
        ("transfer", {"to": {"pool": "nowhere"}, "kind": "cold"}, "/to/pool"),
        ("transfer", {"to": {"skills": {"billing": 9}}, "kind": "cold"}, "/to/skills/billing"),
        ("messages", {"text": ""}, "/text"),
    ],
)
async def test_what_can_t_be_meant_is_pointed_at(
    desk: httpx.AsyncClient, path: str, body: dict[str, object], pointer: str
) -> None:
    answer = await desk.post(f"/v1/conversations/con_mine/{path}", json=body, headers=ALEX)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_conversation_without_a_workflow_has_ended_or_has_not_begun(stored: Database, temporal: Client) -> None:
    async def reachable() -> Client:
        return temporal

    async with client_of(stored, reachable) as desk:
        ended = await desk.post("/v1/conversations/con_closed/hold", headers=SUPERVISOR)
        assert (ended.status_code, ended.json()["code"]) == (409, "conversation_ended")
        not_begun = await desk.post("/v1/conversations/con_mine/hold", headers=ALEX)
        assert (not_begun.status_code, "Retry-After" in not_begun.headers) == (503, True)
