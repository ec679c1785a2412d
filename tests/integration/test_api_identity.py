"""Links, suggestions and the block list over HTTP: what each answers, and who may."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress
from storage.database import Database
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.migrate import key_digest

ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
SUPERVISOR = {"Authorization": "Bearer bt_supervisor_made-up-for-the-tests-0123456789abcde"}
ALEX = {"Authorization": "Bearer bt_alex"}
SAM = {"Authorization": "Bearer bt_sam"}
EMAIL = NormalAddress(AddressKind.EMAIL, "mia@mail.example")
VISITOR = NormalAddress(AddressKind.VISITOR, "v-1")


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """Alex serves the pool that messages come to; Sam serves another."""
    async with database.ledger.connection() as connection:
        await connection.execute("insert into pools (name, description) values ('elsewhere', '')")
        for name, pool in (("alex", "default"), ("sam", "elsewhere")):
            await connection.execute(
                "insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,"
                " channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at) values"
                " (%s, %s, %s, 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'offline', now(), true, now(), now())",
                (f"agt_{name}", name, pool),
            )
            await connection.execute(
                "insert into api_keys (id, role, digest, agent_id, label, created_at) values (%s, 'agent', %s, %s, '',"
                " now())",
                (f"key_{name}", key_digest(f"bt_{name}"), f"agt_{name}"),
            )
    transport = httpx.ASGITransport(create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton", headers=ADMIN) as client:
        yield client


async def written(database: Database, sender: NormalAddress, *claimed: NormalAddress) -> TakenIn:
    message = Intake(
        channel=Channel.EMAIL if sender.kind is AddressKind.EMAIL else Channel.WEB_CHAT,
        account="shop",
        provider_message_id=f"<{uuid4().hex}@mail.example>",
        sender=sender,
        verified=sender.kind is not AddressKind.VISITOR,
        sent_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        text="Where is my parcel?",
        claimed=claimed,
    )
    async with database.ledger.connection() as connection:
        return await take_in(connection, message)


async def suggested(database: Database, http: httpx.AsyncClient) -> tuple[str, TakenIn, TakenIn]:
    mailed, typed = await written(database, EMAIL), await written(database, VISITOR, EMAIL)
    (found,) = (await http.get("/v1/identity-suggestions")).json()["data"]
    return found["id"], mailed, typed


async def test_an_agent_sees_why_confirms_and_the_conversations_become_one(
    http: httpx.AsyncClient, database: Database
) -> None:
    suggestion, mailed, typed = await suggested(database, http)
    (seen,) = (await http.get("/v1/identity-suggestions", headers=ALEX)).json()["data"]
    assert seen["evidence"] == [{"kind": "typed_address", "subject": "email:mia@mail.example"}]
    assert {one["id"] for one in seen["customers"]} == {mailed.customer_id, typed.customer_id}
    context = (await http.get(f"/v1/conversations/{typed.conversation_id}/context", headers=ALEX)).json()
    assert [(one["id"], one["customer_id"]) for one in context["suggestions"]] == [(suggestion, mailed.customer_id)]
    path = f"/v1/identity-suggestions/{suggestion}/confirm"
    would = (await http.post(path, json={"dry_run": True}, headers=ALEX)).json()
    assert (would["linked"], would["link_id"], would["conflicts"]) == (True, None, [])
    assert would["merged_conversations"] == {"survivor_id": mailed.conversation_id, "loser_id": typed.conversation_id}
    assert (await http.get("/v1/identity-suggestions", headers=ALEX)).json()["data"] == [seen]
    done = await http.post(path, json={}, headers=ALEX)
    assert done.status_code == 200, done.text
    assert done.json()["survivor_id"] == mailed.customer_id
    assert (await http.post(path, json={}, headers=ALEX)).json()["code"] == "already_decided"
    (link,) = (await http.get(f"/v1/customers/{mailed.customer_id}/links")).json()["data"]
    assert (link["cause"], link["by"], link["evidence"]) == ("confirmed", "agt_alex", seen["evidence"])
    timeline = (await http.get(f"/v1/conversations/{mailed.conversation_id}/timeline", headers=ALEX)).json()["data"]
    events = [entry["event"] for entry in timeline if entry["kind"] == "event"]
    assert "identity_suggested" in events
    assert events.index("identity_suggested") < events.index("identity_linked")
    (old,) = [one for one in (await http.get("/v1/customers")).json()["data"] if one["id"] == typed.customer_id]
    assert old["merged_into"] == mailed.customer_id
    refused = await http.post(
        f"/v1/customers/{typed.customer_id}/identities", json={"channel": "sms", "address": "+4930123456"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "linked_away")


async def test_a_suggestion_of_nobody_s_conversations_does_not_exist(
    http: httpx.AsyncClient, database: Database
) -> None:
    suggestion, _, _ = await suggested(database, http)
    assert (await http.get("/v1/identity-suggestions", headers=SAM)).json()["data"] == []
    for act in ("confirm", "reject"):
        answer = await http.post(f"/v1/identity-suggestions/{suggestion}/{act}", json={}, headers=SAM)
        assert answer.status_code == 404


async def test_a_rejected_pair_is_not_asked_about_again(http: httpx.AsyncClient, database: Database) -> None:
    suggestion, mailed, _ = await suggested(database, http)
    path = f"/v1/identity-suggestions/{suggestion}"
    rejected = await http.post(f"{path}/reject", headers=ALEX)
    assert (rejected.json()["state"], rejected.json()["decided_by"]) == ("rejected", "agt_alex")
    assert (await http.post(f"{path}/reject", headers=ALEX)).json()["code"] == "already_decided"
    assert (await http.post(f"{path}/confirm", json={}, headers=ALEX)).json()["code"] == "already_decided"
    await written(database, VISITOR, EMAIL, NormalAddress(AddressKind.PHONE, "+4930123456"))
    assert (await http.get("/v1/identity-suggestions")).json()["data"] == []
    timeline = (await http.get(f"/v1/conversations/{mailed.conversation_id}/timeline")).json()["data"]
    assert "identity_suggestion_rejected" in [entry["event"] for entry in timeline]


async def test_only_supervision_overrides_a_conflict_of_addresses(http: httpx.AsyncClient, database: Database) -> None:
    mia = await written(database, EMAIL)
    work = await written(database, NormalAddress(AddressKind.EMAIL, "mia@work.example"))
    path = f"/v1/customers/{mia.customer_id}/link"
    would = (await http.post(path, json={"other": work.customer_id, "dry_run": True})).json()
    assert (would["linked"], would["refused"]) == (False, "identity_conflict")
    assert would["conflicts"] == [{"kind": "email", "addresses": ["mia@mail.example", "mia@work.example"]}]
    refused = await http.post(path, json={"other": work.customer_id})
    assert (refused.status_code, refused.json()["code"]) == (409, "identity_conflict")
    assert (await http.post(path, json={"other": work.customer_id}, headers=ALEX)).status_code == 403
    forced = await http.post(path, json={"other": work.customer_id, "force": True}, headers=SUPERVISOR)
    assert forced.json()["linked"]
    assert (await http.post(path, json={"other": work.customer_id})).json()["code"] == "same_customer"
    assert (await http.post(path, json={"other": "cus_none"})).status_code == 404


async def test_an_agent_can_not_force_a_confirmation(http: httpx.AsyncClient, database: Database) -> None:
    suggestion, _, _ = await suggested(database, http)
    path = f"/v1/identity-suggestions/{suggestion}/confirm"
    assert (await http.post(path, json={"force": True}, headers=ALEX)).status_code == 403
    assert (await http.post(path, json={"force": True}, headers=SUPERVISOR)).status_code == 200


async def test_a_link_is_taken_back_once(http: httpx.AsyncClient, database: Database) -> None:
    suggestion, mailed, typed = await suggested(database, http)
    link = (await http.post(f"/v1/identity-suggestions/{suggestion}/confirm", json={})).json()["link_id"]
    path = f"/v1/customers/{mailed.customer_id}/unlink"
    assert (await http.post("/v1/customers/cus_none/unlink", json={"link_id": link})).status_code == 404
    undone = (await http.post(path, json={"link_id": link}, headers=SUPERVISOR)).json()
    assert undone["restored_id"] == typed.customer_id
    assert undone["conversation_id"] is not None
    assert (await http.post(path, json={"link_id": link})).json()["code"] == "already_undone"
    assert (await http.get(f"/v1/customers/{typed.customer_id}")).json()["merged_into"] is None
    assert (await http.get("/v1/identity-suggestions")).json()["data"] == [], "it was decided: they are two"


async def test_namesakes_with_one_device_are_suggested_when_the_second_is_added(http: httpx.AsyncClient) -> None:
    ada = {"display_name": "Ada Marsh", "attributes": {"device_id": "d-17"}}
    one = (await http.post("/v1/customers", json=ada)).json()["id"]
    other = (await http.post("/v1/customers", json={**ada, "display_name": "ada marsh"})).json()["id"]
    await http.post("/v1/customers", json={**ada, "display_name": "Bea Marsh"})
    (found,) = (await http.get("/v1/identity-suggestions", params={"customer": other})).json()["data"]
    assert [person["id"] for person in found["customers"]] == sorted((one, other))
    assert found["evidence"] == [{"kind": "same_name_and_attribute", "subject": "attribute:device_id"}]


async def test_suggestions_come_page_by_page(http: httpx.AsyncClient, database: Database) -> None:
    await written(database, EMAIL)
    for number in range(3):
        await written(database, NormalAddress(AddressKind.VISITOR, f"v-{number}"), EMAIL)
    first = (await http.get("/v1/identity-suggestions", params={"limit": 2})).json()
    rest = (await http.get("/v1/identity-suggestions", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert len({one["id"] for one in first["data"] + rest["data"]}) == 3
    assert (first["has_more"], rest["has_more"]) == (True, False)


async def test_an_address_is_blocked_in_its_normal_form_and_let_in_again(
    http: httpx.AsyncClient, database: Database
) -> None:
    block = {"channel": "email", "address": " MIA@Mail.example", "reason": "advertising"}
    made = await http.post("/v1/blocked-addresses", json=block, headers=SUPERVISOR)
    assert (made.status_code, made.json()["address"]) == (201, "mia@mail.example")
    assert (await http.post("/v1/blocked-addresses", json=block)).json()["code"] == "already_exists"
    bad = await http.post("/v1/blocked-addresses", json={**block, "address": "nobody"})
    assert [problem["pointer"] for problem in bad.json()["errors"]] == ["/address"]
    blocked = await written(database, EMAIL)
    conversation = (await http.get(f"/v1/conversations/{blocked.conversation_id}")).json()
    assert conversation["state"] == "closed"
    context = (await http.get(f"/v1/conversations/{blocked.conversation_id}/context")).json()
    assert ([one["blocked"] for one in context["messages"]], context["identities"][0]["blocked"]) == ([True], True)
    assert (await http.delete(f"/v1/blocked-addresses/{made.json()['id']}")).status_code == 204
    assert (await http.delete(f"/v1/blocked-addresses/{made.json()['id']}")).status_code == 404
    assert (await http.get("/v1/blocked-addresses")).json()["data"] == []
    assert (await written(database, EMAIL)).conversation_id != blocked.conversation_id
