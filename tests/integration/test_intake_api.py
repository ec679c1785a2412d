import base64
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from storage.migrate import key_digest
from tests.conftest import ADAPTER_KEY, ADMIN_KEY, SUPERVISOR_KEY
from tests.integration.mail_accounts import rows

BOUND_KEY = "bt_adapter_bound-to-one-account-0123456789abcdefghijk"


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        client.headers["Authorization"] = f"Bearer {ADAPTER_KEY}"
        yield client


def posted(**changes: object) -> dict[str, object]:
    return {
        "channel": "sms",
        "account": "hotline",
        "provider_message_id": uuid4().hex,
        "from": {"address": "+49 30 901820"},
        "text": "My parcel has not arrived.",
        "sent_at": "2026-03-02T09:30:00Z",
        **changes,
    }


async def bind_account(database: Database, **settings: str) -> None:
    await rows(
        database,
        "insert into channel_accounts (id, channel, name, settings, active, created_at)"
        " values ('acc_1', 'sms', 'hotline', %s::jsonb, true, now()) returning id",
        str(settings).replace("'", '"'),
    )
    await rows(
        database,
        "insert into api_keys (id, role, digest, channel_account, label, created_at)"
        " values ('key_1', 'adapter', %s, 'acc_1', '', now()) returning id",
        key_digest(BOUND_KEY),
    )


async def test_a_message_is_taken_while_temporal_is_away(http: httpx.AsyncClient, database: Database) -> None:
    answer = await http.post("/v1/messages", json=posted())
    assert answer.status_code == 202
    body = answer.json()
    assert body["duplicate"] is False
    assert await rows(database, "select id, conversation_id, customer_id from messages") == [
        (body["message_id"], body["conversation_id"], body["customer_id"])
    ]
    assert await rows(database, "select address, verified from identities") == [("+4930901820", True)]


async def test_a_repeat_is_acknowledged_as_one(http: httpx.AsyncClient) -> None:
    message = posted()
    first = (await http.post("/v1/messages", json=message)).json()
    again = await http.post("/v1/messages", json=message)
    assert again.status_code == 202
    assert again.json() == {**first, "duplicate": True}


async def test_every_fault_is_pointed_at_and_nothing_is_stored(http: httpx.AsyncClient, database: Database) -> None:
    answer = await http.post("/v1/messages", json=posted(account=" ", **{"from": {"address": "nobody"}}))
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/account", "/from/address"}
    answer = await http.post("/v1/messages", json=posted(urgency="high", sent_at=1_700_000_000))
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/urgency", "/sent_at"}
    answer = await http.post(
        "/v1/messages", json=posted(attachments=[{"name": "a.txt", "content_type": "text/plain", "content": "%"}])
    )
    assert answer.json()["errors"][0]["pointer"] == "/attachments/0/content"
    assert await rows(database, "select count(*) from messages") == [(0,)]


async def test_attachments_are_kept(http: httpx.AsyncClient, database: Database) -> None:
    file = {"name": "a.txt", "content_type": "text/plain", "content": base64.b64encode(b"hello").decode()}
    await http.post("/v1/messages", json=posted(channel="whatsapp", attachments=[file]))
    assert await rows(database, "select name, size, content from attachments") == [("a.txt", 5, b"hello")]


async def test_a_key_of_one_account_posts_to_no_other(http: httpx.AsyncClient, database: Database) -> None:
    await bind_account(database)
    http.headers["Authorization"] = f"Bearer {BOUND_KEY}"
    assert (await http.post("/v1/messages", json=posted())).status_code == 202
    for other in (posted(account="other"), posted(channel="whatsapp")):
        answer = await http.post("/v1/messages", json=other)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("trust", "verified"), [("always", True), ("authenticated", True), ("never", False)])
async def test_a_posters_word_for_the_sender_counts_as_the_account_is_trusted(
    http: httpx.AsyncClient, database: Database, trust: str, *, verified: bool
) -> None:
    await bind_account(database, trust_from=trust)
    sender = {"address": "+4930901820", "verified": True}
    await http.post("/v1/messages", json=posted(**{"from": sender}))
    assert await rows(database, "select verified from identities") == [(verified,)]


async def test_a_caller_id_is_a_hint_unless_the_poster_vouches_for_it(
    http: httpx.AsyncClient, database: Database
) -> None:
    await http.post("/v1/messages", json=posted(channel="voice"))
    assert await rows(database, "select verified from identities") == [(False,)]


@pytest.mark.parametrize(("key", "status"), [(ADMIN_KEY, 202), (SUPERVISOR_KEY, 403), ("bt_adapter_unknown", 401)])
async def test_who_may_post(http: httpx.AsyncClient, key: str, status: int) -> None:
    http.headers["Authorization"] = f"Bearer {key}"
    assert (await http.post("/v1/messages", json=posted())).status_code == status
