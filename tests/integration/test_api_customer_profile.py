"""The profile over HTTP: value and health, what customers buy and use, and the context call that shows it all."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from storage.tables import Assignment, Conversation, Message, Resolution, Thread

ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
OPENED = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
ADA = {
    "display_name": "Ada",
    "segment": "gold",
    "time_zone": "Europe/Rome",
    "identities": [{"channel": "email", "address": "ada@example.org", "verified": True}],
}
ORDER = {
    "customer": "email:ada@example.org",
    "source": "shop",
    "external_id": "o-1",
    "kind": "purchase",
    "product": "Coffee machine",
    "at": "2026-01-05T09:00:00Z",
    "amount": 249.9,
    "currency": "EUR",
}
HEADER = "customer,source,external_id,kind,product,at,amount,currency,quantity\r\n"
LINE = "email:ada@example.org,shop,o-1,purchase,Coffee machine,2026-01-05T09:00:00Z,249.90,EUR,1\r\n"


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton", headers=ADMIN) as client:
        yield client


@pytest.fixture
async def ada(http: httpx.AsyncClient) -> str:
    customer: str = (await http.post("/v1/customers", json=ADA)).json()["id"]
    return customer


async def imported(http: httpx.AsyncClient, content: str | bytes) -> httpx.Response:
    return await http.post("/v1/customer-events/import.csv", content=content, headers={"Content-Type": "text/csv"})


async def events(database: Database) -> list[tuple[object, ...]]:
    async with database.ledger.connection() as connection:
        cursor = await connection.execute(
            "select customer_id, external_id, product, amount::float8, quantity from customer_events"
            " order by external_id"
        )
        return await cursor.fetchall()


def pointers(answer: httpx.Response) -> list[str]:
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    return [problem["pointer"] for problem in answer.json()["errors"]]


async def test_value_and_contract_are_kept_and_changed(http: httpx.AsyncClient) -> None:
    value = {"lifetime_value": 12400.5, "contract": "Enterprise", "renewal_on": "2027-01-31"}
    made = (await http.post("/v1/customers", json={**ADA, **value})).json()
    assert {name: made[name] for name in value} == value
    path = f"/v1/customers/{made['id']}"
    changed = (await http.patch(path, json={"lifetime_value": 7, "renewal_on": None})).json()
    assert (changed["lifetime_value"], changed["renewal_on"], changed["contract"]) == (7, None, "Enterprise")
    assert (await http.get(path)).json() == changed
    assert pointers(await http.patch(path, json={"lifetime_value": -1})) == ["/lifetime_value"]
    assert pointers(await http.patch(path, json={"health_score": 1})) == ["/health_score"]


async def test_an_event_told_twice_is_one(http: httpx.AsyncClient, database: Database, ada: str) -> None:
    order = {name: value for name, value in ORDER.items() if name != "customer"}
    first = await http.post(f"/v1/customers/{ada}/events", json=order)
    assert (first.status_code, first.json()["known"]) == (201, False), first.text
    again = await http.post(f"/v1/customers/{ada}/events", json={**order, "product": "Tea pot"})
    assert again.json()["known"]
    assert await events(database) == [(ada, "o-1", "Coffee machine", 249.9, 1)]
    assert (await http.post("/v1/customers/cus_none/events", json=order)).status_code == 404


async def test_a_list_is_imported_as_a_whole_or_not_at_all(
    http: httpx.AsyncClient, database: Database, ada: str
) -> None:
    wrong = [ORDER, {**ORDER, "external_id": "o-2", "currency": "eur"}, {**ORDER, "customer": "nobody"}]
    assert pointers(await http.post("/v1/customer-events/import", json={"events": wrong})) == ["/events/1/currency"]
    assert pointers(await http.post("/v1/customer-events/import", json={"events": [ORDER, wrong[2]]})) == [
        "/events/1/customer"
    ]
    stranger = {**ORDER, "external_id": "o-3", "customer": "email:eve@example.org"}
    assert pointers(await http.post("/v1/customer-events/import", json={"events": [ORDER, stranger]})) == [
        "/events/1/customer"
    ]
    assert await events(database) == []
    both = [ORDER, {**ORDER, "external_id": "o-2", "customer": ada}, ORDER]
    assert (await http.post("/v1/customer-events/import", json={"events": both})).json() == {"stored": 2, "known": 1}
    assert (await http.post("/v1/customer-events/import", json={"events": both})).json() == {"stored": 0, "known": 3}


async def test_a_file_is_imported_once_and_says_where_it_is_wrong(
    http: httpx.AsyncClient, database: Database, ada: str
) -> None:
    good = HEADER + LINE + LINE.replace("o-1", "o-2")
    wrong = good + LINE.replace("purchase", "theft") + LINE.replace("ada@", "eve@").replace("o-1", "o-4")
    assert pointers(await imported(http, wrong)) == ["/rows/4/kind"]
    unknown = good + LINE.replace("ada@", "eve@").replace("o-1", "o-4")
    assert pointers(await imported(http, unknown)) == ["/rows/4/customer"]
    assert await events(database) == []
    assert (await imported(http, good)).json() == {"stored": 2, "known": 0}
    assert (await imported(http, good)).json() == {"stored": 0, "known": 2}
    assert [row[0] for row in await events(database)] == [ada, ada]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ((HEADER + LINE.replace("Coffee machine", "=cmd|' /C calc'!A0")).encode(), "/rows/2/product"),
        ((HEADER + LINE.replace("Coffee machine", "Café")).encode("latin-1"), ""),
        ((HEADER + LINE).encode("utf-16"), ""),
        ((HEADER + LINE.replace("Coffee", "Cof\x00fee")).encode(), "/rows/2/product"),
        (b"", ""),
        ((HEADER + LINE.replace("email:", "pigeon:")).encode(), "/rows/2/customer"),
        ((HEADER + LINE.replace("ada@example.org", "ada")).encode(), "/rows/2/customer"),
        ((HEADER + "a,b\r\n").encode(), "/rows/2"),
    ],
)
async def test_a_file_with_something_wrong_is_pointed_at(
    http: httpx.AsyncClient, database: Database, ada: str, content: bytes, where: str
) -> None:
    assert ada
    assert pointers(await imported(http, content)) == [where]
    assert await events(database) == []


async def test_a_file_that_is_too_large_is_refused(http: httpx.AsyncClient, database: Database) -> None:
    answer = await imported(http, HEADER + LINE * 20_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    many = "".join(f"cus_1,s,{number},product_use,p,2026-01-05T09:00:00Z,,,\r\n" for number in range(10_001))
    assert pointers(await imported(http, HEADER + many)) == ["/rows/10002"]
    assert await events(database) == []


async def test_the_later_of_two_health_scores_counts_in_whatever_order(http: httpx.AsyncClient, ada: str) -> None:
    def score(value: float, at: str, customer: str = ada) -> dict[str, object]:
        return {"scores": [{"customer": customer, "score": value, "at": at}]}

    push = "/v1/customer-health"
    assert (await http.post(push, json=score(0.4, "2026-02-01T00:00:00Z"))).json() == {"updated": 1, "unknown": 0}
    assert (await http.post(push, json=score(0.9, "2026-01-01T00:00:00Z"))).json() == {"updated": 0, "unknown": 0}
    by_mail = score(0.5, "2026-02-02T00:00:00Z", "email:Ada@example.org")
    assert (await http.post(push, json=by_mail)).json() == {"updated": 1, "unknown": 0}
    assert (await http.post(push, json=score(0.5, "2026-02-02T00:00:00Z", "cus_none"))).json()["unknown"] == 1
    known = (await http.get(f"/v1/customers/{ada}")).json()
    assert (known["health_score"], known["health_at"]) == (0.5, "2026-02-02T00:00:00Z")
    assert pointers(await http.post(push, json=score(1.5, "2026-02-02T00:00:00Z"))) == ["/scores/0/score"]
    assert pointers(await http.post(push, json=score(1, "2026-02-02T00:00:00Z", "Ada"))) == ["/scores/0/customer"]


async def test_an_old_id_still_reaches_the_person_after_a_link(
    http: httpx.AsyncClient, database: Database, ada: str
) -> None:
    other = (await http.post("/v1/customers", json={"display_name": "Ada M."})).json()["id"]
    assert (await http.post(f"/v1/customers/{ada}/link", json={"other": other})).json()["absorbed_id"] == other
    told = await http.post("/v1/customer-events/import", json={"events": [{**ORDER, "customer": other}]})
    assert told.json() == {"stored": 1, "known": 0}
    assert (await events(database))[0][0] == ada


async def store_history(database: Database, ada: str, conversations: int, messages: int) -> None:
    """Ada's past: each conversation of so many messages, one an hour; the first is still open."""
    async with database.session() as session:
        identity = (await session.connection()).exec_driver_sql
        row = (await identity("select id from identities limit 1")).one()
        for number in range(conversations):
            at = OPENED - timedelta(days=number)
            closed = {"state": "closed", "resolved_at": at + timedelta(hours=2)} if number else {"state": "queued"}
            session.add(
                Conversation(
                    id=f"con_{number:03}",
                    customer_id=ada,
                    pool="default",
                    language="it",
                    intent="billing",
                    channels=["sms"],
                    opened_at=at,
                    **closed,
                )
            )
        await session.flush()
        for number in range(conversations):
            at = OPENED - timedelta(days=number)
            session.add(
                Thread(
                    id=f"thr_{number:03}",
                    conversation_id=f"con_{number:03}",
                    customer_id=ada,
                    identity_id=row[0],
                    channel="sms",
                    account="shop",
                    address="+4930123456",
                    thread_key=f"{number}",
                )
            )
        await session.flush()
        for number in range(conversations):
            for part in range(messages):
                inbound = part % 2 == 0
                session.add(
                    Message(
                        id=f"msg_{number:03}_{part:03}",
                        conversation_id=f"con_{number:03}",
                        thread_id=f"thr_{number:03}",
                        customer_id=ada,
                        direction="inbound" if inbound else "outbound",
                        author_kind="customer" if inbound else "agent",
                        channel="sms",
                        account="shop",
                        text="words",
                        at=OPENED - timedelta(days=number) + timedelta(minutes=part),
                        delivery="received" if inbound else "sent",
                    )
                )
            if number:
                session.add(_resolution(ada, number, messages))


def _resolution(ada: str, number: int, messages: int) -> Resolution:
    at = OPENED - timedelta(days=number)
    return Resolution(
        conversation_id=f"con_{number:03}",
        episode=1,
        customer_id=ada,
        intent="billing",
        segment="gold",
        pool="default",
        first_channel="email",
        channels=["email", "sms"],
        opened_at=at,
        resolved_at=at + timedelta(hours=2),
        business_seconds=7200,
        end_reason="resolved",
        inbound=messages // 2,
        outbound=messages // 2,
        offers=1,
        declines=0,
        timeouts=0,
        reroutes=0,
        transfers=0,
        misroutes=0,
        touches=1,
        touches_with_history=1,
    )


async def test_the_context_has_everything_and_cursors_lead_through_the_rest(
    http: httpx.AsyncClient, database: Database, ada: str
) -> None:
    await store_history(database, ada, 60, 6)
    await http.post("/v1/customer-events/import", json={"events": [ORDER, {**ORDER, "external_id": "o-2"}]})
    await http.post("/v1/customer-health", json={"scores": [{"customer": ada, "score": 0.3}]})
    found = (await http.get("/v1/conversations/con_000/context")).json()
    assert (found["customer"]["health_score"], found["customer"]["segment"]) == (0.3, "gold")
    assert [(one["product"], one["purchased"]) for one in found["products"]] == [("Coffee machine", 2)]
    assert found["statistics"]["inbound_messages"] == 180
    (channel,) = found["preferences"]["channels"]
    assert (channel["channel"], channel["written"], channel["answers"], channel["sent"]) == ("sms", 180, 120, 180)
    assert channel["preferred"]
    (hours,) = found["preferences"]["hours"]
    assert (hours["start"], hours["end"], found["preferences"]["hours_zone"]) == ("17:00", "20:00", "Europe/Rome")
    assert found["preferences"]["languages"] == [{"language": "it", "conversations": 60}]
    (pattern,) = found["patterns"]
    assert (pattern["intent"], pattern["episodes"], pattern["mean_resolution_seconds"]) == ("billing", 59, 7200)
    assert (pattern["complexity"], pattern["channels"]) == ("simple", [{"name": "sms", "episodes": 59}])
    assert len(found["conversations"]) == 50
    assert len(found["messages"]) == 100
    for part, total, shown in (("conversations", 60, 50), ("messages", 360, 100)):
        seen, cursor = {one["id"] for one in found[part]}, found["more"][part]
        assert len(seen) == shown
        while cursor:
            page = (
                await http.get(f"/v1/conversations/con_000/context/{part}", params={"cursor": cursor, "limit": 75})
            ).json()
            assert not seen & {one["id"] for one in page["data"]}
            seen |= {one["id"] for one in page["data"]}
            cursor = page["next_cursor"]
        assert len(seen) == total
    bought = (await http.get("/v1/conversations/con_000/context/events")).json()
    assert [one["external_id"] for one in bought["data"]] == [one["external_id"] for one in found["events"]]
    assert (await http.get("/v1/conversations/con_none/context/events")).status_code == 404


async def test_who_resolved_it_and_how_long_they_held_it(http: httpx.AsyncClient, database: Database, ada: str) -> None:
    await store_history(database, ada, 3, 2)
    agent = (await http.post("/v1/agents", json={"display_name": "Bea"})).json()["id"]
    async with database.session() as session:
        for number in (1, 2):
            at = OPENED - timedelta(days=number)
            session.add(
                Assignment(
                    id=f"asg_{number}",
                    conversation_id=f"con_{number:03}",
                    episode=1,
                    agent_id=agent,
                    channel="sms",
                    units=25,
                    how="offer",
                    full_history=True,
                    started_at=at,
                    ended_at=at + timedelta(minutes=30 * number),
                )
            )
    async with database.ledger.connection() as connection:
        await connection.execute("update resolutions set agent_id = %s where conversation_id <> 'con_002'", (agent,))
    (pattern,) = (await http.get("/v1/conversations/con_000/context")).json()["patterns"]
    assert pattern["mean_handle_seconds"] == 45 * 60
    assert pattern["resolved_by"] == [{"agent_id": agent, "display_name": "Bea", "episodes": 1}]


async def test_few_messages_make_no_preference(http: httpx.AsyncClient, database: Database, ada: str) -> None:
    await store_history(database, ada, 1, 2)
    preferences = (await http.get("/v1/conversations/con_000/context")).json()["preferences"]
    assert [(one["written"], one["preferred"]) for one in preferences["channels"]] == [(1, False)]
    assert preferences["hours"] == []


async def test_a_long_message_is_cut_and_says_so(http: httpx.AsyncClient, database: Database, ada: str) -> None:
    await store_history(database, ada, 1, 1)
    async with database.ledger.connection() as connection:
        await connection.execute("update messages set text = repeat('word ', 1000)")
    (message,) = (await http.get("/v1/conversations/con_000/context")).json()["messages"]
    assert (len(message["text"]), message["text_cut"]) == (2000, True)


async def test_a_context_is_what_the_document_says_it_is(http: httpx.AsyncClient, database: Database, ada: str) -> None:
    await store_history(database, ada, 1, 1)
    answer = await http.get("/v1/conversations/con_000/context")
    shape = (await http.get("/openapi.json")).json()["components"]["schemas"]["ContextAnswer"]
    assert set(json.loads(answer.content)) == set(shape["required"])
    assert ada
