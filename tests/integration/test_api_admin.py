"""What an admin sets up over the API is there, tells those it concerns, and refuses what has no meaning."""

from collections.abc import AsyncIterator
from typing import LiteralString

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from storage.ids import new_id
from storage.sealed_box import SealedBox

ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
SUPERVISOR = {"Authorization": "Bearer bt_supervisor_made-up-for-the-tests-0123456789abcde"}
SECRET = b"0123456789abcdef" * 2
ADA = {"display_name": "Ada", "identities": [{"channel": "email", "address": "Ada@Example.ORG", "verified": True}]}
OFFICE = {"name": "Office", "time_zone": "Europe/Paris", "weekly": {"mon": [["09:00", "12:00"], ["13:00", "24:00"]]}}
GOLD = {"name": "Gold", "applies_to": {"segments": ["gold"]}, "targets": {"first_response_seconds": 0.5}}


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, SECRET))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://baton", headers=ADMIN) as client:
        yield client


async def rows(database: Database, query: LiteralString, *values: str) -> list[tuple[object, ...]]:
    async with database.ledger.connection() as connection:
        return await (await connection.execute(query, values)).fetchall()


async def an_open_conversation(http: httpx.AsyncClient, database: Database) -> str:
    customer = (await http.post("/v1/customers", json=ADA)).json()["id"]
    conversation = new_id("con")
    await rows(
        database,
        "insert into conversations (id, customer_id, merge_scope, state, step, episode, priority, pool, channels,"
        " opened_at, updated_at) values (%s, %s, 'default', 'queued', 1, 1, 3, 'default',"
        " '[\"email\"]', now(), now()) returning id",
        conversation,
        customer,
    )
    return conversation


async def owed(database: Database) -> list[tuple[object, ...]]:
    return await rows(database, "select conversation_id, kind, payload ->> 'cause' from signals order by id")


async def test_a_customer_is_kept_with_the_normal_form_of_their_address(http: httpx.AsyncClient) -> None:
    added = await http.post("/v1/customers", json=ADA)
    assert added.status_code == 201, added.text
    found = (await http.get("/v1/customers", params={"address": "ada@example.org"})).json()["data"]
    assert [customer["id"] for customer in found] == [added.json()["id"]]
    assert found[0]["identities"][0]["address"] == "ada@example.org"
    changed = await http.patch(f"/v1/customers/{added.json()['id']}", json={"segment": "gold"})
    assert (changed.json()["segment"], changed.json()["display_name"]) == ("gold", "Ada")


async def test_a_proven_address_belongs_to_one_customer_and_nothing_of_the_second_is_stored(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/v1/customers", json=ADA)
    second = await http.post("/v1/customers", json={**ADA, "display_name": "Eve"})
    assert (second.status_code, second.json()["code"]) == (409, "already_exists")
    assert [customer["display_name"] for customer in (await http.get("/v1/customers")).json()["data"]] == ["Ada"]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("customers", {**ADA, "age": 7}, "/age"),
        ("customers", {"display_name": "a\x00b"}, ""),
        ("customers", {**ADA, "time_zone": "Mars/Olympus"}, "/time_zone"),
        ("customers", {**ADA, "identities": [{"channel": "sms", "address": "call me"}]}, "/identities/0/address"),
        ("agents", {"display_name": "Bea", "pool": "nowhere"}, "/pool"),
        ("agents", {"display_name": "Bea", "skills": {"billing": 6}}, "/skills/billing"),
        ("agents", {"display_name": "Bea", "capacity": 0}, "/capacity"),
        ("calendars", {**OFFICE, "weekly": {"mon": [["12:00", "09:00"]]}}, "/weekly"),
        ("calendars", {**OFFICE, "weekly": {}}, "/weekly"),
        ("calendars", {**OFFICE, "holidays": {"country": "QQ"}}, "/holidays"),
        ("sla-policies", {**GOLD, "calendar_id": "cal_none"}, "/calendar_id"),
        ("sla-policies", {**GOLD, "targets": {"resolution_seconds": 0}}, "/targets/resolution_seconds"),
        ("keys", {"role": "agent"}, "/agent_id"),
        ("keys", {"role": "adapter", "channel_account": "cha_none"}, "/channel_account"),
        ("keys", {"role": "ops", "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_what_has_no_meaning_is_pointed_at(
    http: httpx.AsyncClient, path: str, body: dict[str, object], where: str
) -> None:
    answer = await http.post(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    assert where in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_bound_may_be_taken_away_and_given_again(http: httpx.AsyncClient) -> None:
    for bound in (None, 600.0):
        changed = await http.patch("/v1/settings", json={"longest_wait_seconds": bound})
        assert changed.status_code == 200
        assert changed.json()["longest_wait_seconds"] == bound
        assert (await http.get("/v1/settings")).json()["longest_wait_seconds"] == bound


async def test_a_change_of_settings_keeps_the_others_and_is_told_to_open_conversations(
    http: httpx.AsyncClient, database: Database
) -> None:
    conversation = await an_open_conversation(http, database)
    before = (await http.get("/v1/settings")).json()
    changed = await http.patch("/v1/settings", json={"offer_timeout_seconds": {"voice": 0.25}})
    assert changed.status_code == 200, changed.text
    before["offer_timeout_seconds"]["voice"] = 0.25
    assert changed.json() == before == (await http.get("/v1/settings")).json()
    assert await owed(database) == [(conversation, "policy_changed", "settings changed")]


@pytest.mark.parametrize(
    ("patch", "where"),
    [
        ({"max_reroutes": -1}, "/max_reroutes"),
        ({"default_pool": "nowhere"}, "/default_pool"),
        ({"capacity_costs": {"voice": 1.5}}, "/capacity_costs/voice"),
        ({"no_such": 1}, "/no_such"),
    ],
)
async def test_a_wrong_setting_changes_nothing(http: httpx.AsyncClient, patch: dict[str, object], where: str) -> None:
    before = (await http.get("/v1/settings")).json()
    answer = await http.patch("/v1/settings", json={"reopen_window_seconds": 5, **patch})
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, [where])
    assert (await http.get("/v1/settings")).json() == before


async def test_a_policy_and_its_calendar_reach_open_conversations_in_a_new_version(
    http: httpx.AsyncClient, database: Database
) -> None:
    conversation = await an_open_conversation(http, database)
    calendar = (await http.post("/v1/calendars", json=OFFICE)).json()
    policy = (await http.post("/v1/sla-policies", json={**GOLD, "calendar_id": calendar["id"]})).json()
    assert (policy["version"], policy["targets"]["first_response_seconds"]) == (1, 0.5)
    changed = (await http.patch(f"/v1/sla-policies/{policy['id']}", json={"warn_fraction": 0.5})).json()
    assert (changed["version"], changed["warn_fraction"], changed["calendar_id"]) == (2, 0.5, calendar["id"])
    moved = await http.patch(f"/v1/calendars/{calendar['id']}", json={"time_zone": "Asia/Tokyo"})
    assert (moved.json()["time_zone"], moved.json()["weekly"]) == ("Asia/Tokyo", OFFICE["weekly"])
    assert calendar["updated_at"] < policy["updated_at"] < changed["updated_at"] < moved.json()["updated_at"]
    assert {signal[0] for signal in await owed(database)} == {conversation}
    assert len(await owed(database)) == 3


async def test_secrets_of_an_account_go_in_and_never_come_out(http: httpx.AsyncClient, database: Database) -> None:
    body = {"channel": "email", "name": "support", "settings": {"address": "s@x.org"}, "secrets": {"pw": "hush-hush"}}
    added = await http.post("/v1/channel-accounts", json=body)
    assert (added.status_code, added.json()["has_secrets"]) == (201, True), added.text
    listing = await http.get("/v1/channel-accounts")
    assert "hush" not in added.text + listing.text
    ((identity, box),) = await rows(database, "select id, secrets from channel_accounts")
    assert isinstance(box, bytes)
    assert SealedBox(SECRET).unseal(box, str(identity)) == {"pw": "hush-hush"}
    assert (await http.post("/v1/channel-accounts", json=body)).json()["code"] == "already_exists"
    await http.patch(f"/v1/channel-accounts/{identity}", json={"active": False})
    assert await rows(database, "select active, secrets is not null from channel_accounts") == [(False, True)]


async def test_a_key_works_until_it_is_revoked_and_is_shown_once(http: httpx.AsyncClient) -> None:
    agent = (await http.post("/v1/agents", json={"display_name": "Bea"})).json()
    made = (await http.post("/v1/keys", json={"role": "agent", "agent_id": agent["id"]})).json()
    assert made["key"].startswith("bt_agent_")
    assert len(made["key"]) == len("bt_agent_") + 43
    assert made["key"] not in (await http.get("/v1/keys")).text
    assert (await http.delete(f"/v1/keys/{made['id']}")).status_code == 204
    refused = await http.get("/v1/skills", headers={"Authorization": f"Bearer {made['key']}"})
    assert refused.status_code == 401


async def test_the_last_admin_key_can_not_be_revoked(http: httpx.AsyncClient) -> None:
    (admin,) = [key for key in (await http.get("/v1/keys")).json()["data"] if key["role"] == "admin"]
    assert (await http.delete(f"/v1/keys/{admin['id']}")).json()["code"] == "in_use"


async def test_a_lowered_capacity_leaves_what_is_held_and_is_measured_from_now_on(
    http: httpx.AsyncClient, database: Database
) -> None:
    agent = (await http.post("/v1/agents", json={"display_name": "Bea", "skills": {"billing": 4}})).json()
    key = (await http.post("/v1/keys", json={"role": "agent", "agent_id": agent["id"]})).json()["key"]
    online = await http.put("/v1/me/presence", json={"presence": "online"}, headers={"Authorization": f"Bearer {key}"})
    assert online.status_code == 200, online.text
    await rows(database, "update agents set load = 68 returning id")
    changed = await http.patch(f"/v1/agents/{agent['id']}", json={"capacity": 40}, headers=SUPERVISOR)
    assert (changed.json()["capacity"], changed.json()["load"]) == (40, 68)
    assert await rows(database, "select load_limit from agents") == [(68,)]
    spans = await rows(database, "select capacity, ended_at is null from presence_spans order by id")
    assert spans == [(100, False), (40, True)]
    told = await rows(database, "select kind, data -> 'capacity' from events where agent_id is not null order by id")
    assert told == [("presence_changed", 100), ("capacity_changed", 40)]
    (queue,) = (await http.get("/v1/queues", headers=SUPERVISOR)).json()["data"]
    assert (queue["agents_by_presence"], queue["capacity"], queue["free_units"]) == ({"online": 1}, 40, 0)


async def test_an_agent_out_of_service_is_offline_and_their_key_opens_nothing(http: httpx.AsyncClient) -> None:
    agent = (await http.post("/v1/agents", json={"display_name": "Bea"})).json()
    key = (await http.post("/v1/keys", json={"role": "agent", "agent_id": agent["id"]})).json()["key"]
    path, theirs = f"/v1/agents/{agent['id']}", {"Authorization": f"Bearer {key}"}
    await http.put("/v1/me/presence", json={"presence": "online"}, headers=theirs)
    assert (await http.patch(path, json={"active": False}, headers=SUPERVISOR)).status_code == 403
    gone = (await http.patch(path, json={"active": False})).json()
    assert (gone["active"], gone["presence"]) == (False, "offline")


async def test_a_list_leads_from_page_to_page(http: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        assert (await http.post("/v1/skills", json={"name": name})).status_code == 201
    first = (await http.get("/v1/skills", params={"limit": 2})).json()
    rest = (await http.get("/v1/skills", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [skill["name"] for skill in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


async def test_the_docs_page_loads_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "/v1/customers" in page.text
    assert "<script" not in page.text
    assert "http" not in page.text.replace("https", "http").replace("http-equiv", "")
