"""The desk over the real ledger; what needs a conversation's workflow is in `test_api_desk_calls`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg.types.json import Jsonb
from sqlmodel import SQLModel
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from storage.database import Database
from storage.migrate import key_digest
from storage.tables import (
    Agent,
    ApiKey,
    Assignment,
    ClockRow,
    Conversation,
    Customer,
    Identity,
    LifecycleEvent,
    Message,
    Offer,
    Pool,
    PresenceSpan,
    Thread,
)

OPENED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SUPERVISOR = {"Authorization": "Bearer bt_supervisor_made-up-for-the-tests-0123456789abcde"}
ALEX = {"Authorization": "Bearer bt_alex"}
SAM = {"Authorization": "Bearer bt_sam"}


def minutes(count: float) -> datetime:
    return OPENED + timedelta(minutes=count)


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """Alex of the default pool has one conversation and an offer of another; Sam is of another pool."""
    await _store(database, Pool(name="elsewhere"))
    await _store(
        database,
        Agent(id="agt_alex", display_name="Alex", pool="default", presence="online", load=49),
        Agent(id="agt_sam", display_name="Sam", pool="elsewhere"),
        Customer(id="cus_mia", display_name="Mia", segment="gold"),
        Customer(id="cus_li", display_name="Li"),
    )
    await _store(
        database,
        ApiKey(id="key_alex", role="agent", digest=key_digest("bt_alex"), agent_id="agt_alex"),
        ApiKey(id="key_sam", role="agent", digest=key_digest("bt_sam"), agent_id="agt_sam"),
        PresenceSpan(agent_id="agt_alex", presence="online", capacity=100, started_at=OPENED),
        Identity(id="idn_mia", customer_id="cus_mia", kind="phone", address="+4930123456", verified=True),
        Conversation(
            id="con_mine",
            customer_id="cus_mia",
            state="assigned",
            pool="default",
            agent_id="agt_alex",
            owner_id="agt_alex",
            channels=["sms"],
            waiting_for="the agent",
            opened_at=OPENED,
        ),
        Conversation(id="con_offered", customer_id="cus_li", state="offered", pool="default", opened_at=minutes(1)),
    )
    await _store(
        database,
        Thread(
            id="thr_mine",
            conversation_id="con_mine",
            customer_id="cus_mia",
            identity_id="idn_mia",
            channel="sms",
            account="shop",
            address="+4930123456",
            thread_key="+4930123456",
            opened_at=OPENED,
            last_inbound_at=OPENED,
        ),
        ClockRow(
            conversation_id="con_mine",
            metric="first_response",
            episode=1,
            number=1,
            policy_id="none",
            target_seconds=60,
            state="breached",
            started_at=OPENED,
            due_at=minutes(1),
            breached_at=minutes(1),
        ),
        Assignment(
            id="asg_mine",
            conversation_id="con_mine",
            episode=1,
            agent_id="agt_alex",
            channel="sms",
            units=25,
            how="offer",
            full_history=True,
            started_at=OPENED,
        ),
        Offer(
            id="off_alex",
            conversation_id="con_offered",
            ticket=1,
            episode=1,
            agent_id="agt_alex",
            pool="default",
            channel="sms",
            units=24,
            reason="free and able",
            score=0.8,
            created_at=minutes(1),
            expires_at=minutes(2),
        ),
    )
    await _store(
        database,
        *[_message(f"msg_{number}", minutes(number), f"words {number}") for number in range(3)],
        _message("msg_draft", minutes(9), "not said yet", direction="outbound", delivery="draft"),
        _message("msg_note", minutes(1.5), "between us", direction="internal", delivery="sent"),
        LifecycleEvent(at=minutes(0.5), kind="assigned", conversation_id="con_mine", data={"how": "offer"}),
    )
    context = ApiContext(database, no_temporal, b"0123456789abcdef" * 2, ApiOptions(temporal_ui_url="http://ui"))
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton") as client:
        yield client


def _message(
    message_id: str, at: datetime, words: str, *, direction: str = "inbound", delivery: str = "received"
) -> Message:
    return Message(
        id=message_id,
        conversation_id="con_mine",
        thread_id="thr_mine",
        customer_id="cus_mia",
        direction=direction,
        author_kind="customer" if direction == "inbound" else "agent",
        channel="sms",
        account="shop",
        text=words,
        at=at,
        delivery=delivery,
    )


async def _store(database: Database, *rows: SQLModel) -> None:
    async with database.session() as session:
        for row in rows:
            session.add(row)
            await session.flush()


async def _one(database: Database, query: str) -> tuple[object, ...]:
    async with database.ledger.connection() as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row


async def test_an_agent_s_key_knows_its_agent(desk: httpx.AsyncClient) -> None:
    answer = (await desk.get("/v1/me", headers=ALEX)).json()
    assert (answer["role"], answer["agent"]["id"], answer["agent"]["load"]) == ("agent", "agt_alex", 49)


async def test_a_conversation_is_shown_with_threads_clocks_and_its_workflow(desk: httpx.AsyncClient) -> None:
    shown = (await desk.get("/v1/conversations/con_mine", headers=ALEX)).json()
    assert shown["threads"][0]["address"] == "+4930123456"
    assert shown["clocks"][0]["state"] == "breached"
    assert shown["waiting_for"] == {"what": "the agent", "until": None}
    assert shown["workflow_url"] == "http://ui/namespaces/default/workflows/conversation%2Fcon_mine"


@pytest.mark.parametrize("part", ["", "/timeline", "/context", "/routing"])
async def test_another_pool_s_conversation_does_not_exist_for_an_agent(desk: httpx.AsyncClient, part: str) -> None:
    assert (await desk.get(f"/v1/conversations/con_mine{part}", headers=SAM)).status_code == 404
    assert (await desk.get(f"/v1/conversations/con_mine{part}", headers=SUPERVISOR)).status_code == 200


async def test_an_agent_lists_what_their_pool_has_page_by_page(desk: httpx.AsyncClient) -> None:
    assert (await desk.get("/v1/conversations", headers=SAM)).json()["data"] == []
    first = (await desk.get("/v1/conversations?limit=1&sort=opened_at", headers=ALEX)).json()
    assert [one["id"] for one in first["data"]] == ["con_mine"]
    second = (
        await desk.get(f"/v1/conversations?limit=1&sort=opened_at&cursor={first['next_cursor']}", headers=ALEX)
    ).json()
    assert [one["id"] for one in second["data"]] == ["con_offered"]
    assert not second["has_more"]


async def test_a_cursor_of_another_list_is_refused(desk: httpx.AsyncClient) -> None:
    first = (await desk.get("/v1/conversations?limit=1", headers=ALEX)).json()
    answer = await desk.get(f"/v1/conversations?state=assigned&cursor={first['next_cursor']}", headers=ALEX)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_list_by_an_unknown_state_says_where_it_is_wrong(desk: httpx.AsyncClient) -> None:
    answer = await desk.get("/v1/conversations?state=lost", headers=ALEX)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/state/0")


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_timeline_read_by_ones_is_the_timeline_read_at_once(desk: httpx.AsyncClient, order: str) -> None:
    path = f"/v1/conversations/con_mine/timeline?order={order}"
    whole = [one["id"] for one in (await desk.get(path, headers=ALEX)).json()["data"]]
    singly: list[str] = []
    cursor = ""
    while True:
        page = (await desk.get(f"{path}&limit=1{cursor}", headers=ALEX)).json()
        singly += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert singly == whole
    kinds = [one["kind"] for one in (await desk.get(path, headers=ALEX)).json()["data"]]
    expected = ["message", "event", "message", "note", "message"]
    assert kinds == (expected if order == "asc" else expected[::-1])


async def test_the_context_tells_everything_about_the_customer(desk: httpx.AsyncClient) -> None:
    told = (await desk.get("/v1/conversations/con_mine/context", headers=ALEX)).json()
    assert told["customer"]["segment"] == "gold"
    assert told["identities"][0]["address"] == "+4930123456"
    assert [one["id"] for one in told["messages"]] == ["msg_0", "msg_1", "msg_note", "msg_2"]
    assert (told["statistics"]["inbound_messages"], told["statistics"]["breaches"]) == (3, 1)


async def test_an_agent_who_leaves_gives_offers_back_and_the_conversation_is_told(
    desk: httpx.AsyncClient, database: Database
) -> None:
    answer = await desk.put("/v1/me/presence", json={"presence": "away"}, headers=ALEX)
    assert answer.status_code == 200
    assert (answer.json()["revoked_offers"], answer.json()["agent"]["load"]) == (1, 25)
    assert await _one(database, "select state, ended_at is not null from offers") == ("revoked", True)
    assert await _one(database, "select conversation_id, kind, payload from signals") == (
        "con_offered",
        "offer_lost",
        {"offer_id": "off_alex", "agent_id": "agt_alex", "cause": "away"},
    )
    assert await _one(database, "select count(*), count(ended_at) from presence_spans") == (2, 1)
    assert await _one(database, "select data ->> 'from' from events where kind = 'presence_changed'") == ("online",)


async def test_an_agent_who_leaves_for_good_passes_conversations_on_where_that_is_set(
    desk: httpx.AsyncClient, database: Database
) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute(
            "insert into settings (key, value, updated_at) values ('reassign_on_away', %s, now())", (Jsonb(True),)
        )
    await desk.put("/v1/me/presence", json={"presence": "offline"}, headers=ALEX)
    assert await _one(database, "select conversation_id, payload from signals where kind = 'agent_left'") == (
        "con_mine",
        {"agent_id": "agt_alex", "cause": "offline"},
    )


async def test_transfers_only_keeps_the_offer_that_names_the_agent(desk: httpx.AsyncClient, database: Database) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute(
            "insert into events (at, kind, conversation_id, data) values (now(), 'transferred', 'con_offered', %s),"
            " (now(), 'queued', 'con_offered', %s)",
            (Jsonb({"to_agent": "agt_alex"}), Jsonb({"ticket": 1})),
        )
    answer = await desk.put("/v1/me/presence", json={"presence": "transfers_only"}, headers=ALEX)
    assert answer.json()["revoked_offers"] == 0
    assert await _one(database, "select state from offers") == ("pending",)


async def test_the_system_s_own_presence_is_nobody_s_to_choose(desk: httpx.AsyncClient) -> None:
    answer = await desk.put("/v1/me/presence", json={"presence": "not_responding", "why": ""}, headers=ALEX)
    assert answer.status_code == 422
    assert {part["pointer"] for part in answer.json()["errors"]} == {"/presence", "/why"}
