import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from temporalio.client import Client

from api import chat_visitors
from api.app import create_app
from api.context import ApiContext
from channels.web_chat.visitor_token import identity_proof, issue_visitor_token
from storage.database import Database
from storage.sealed_box import SealedBox
from tests.integration.mail_accounts import rows

SECRET = b"0123456789abcdef" * 2
SITE = "https://shop.example"
BASE = "/v1/web-chat/shop"
IDENTITY_SECRET = "made up for the site"


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def app(database: Database) -> FastAPI:
    made = create_app(ApiContext(database, no_temporal, SECRET))
    await rows(
        database,
        "insert into channel_accounts (id, channel, name, settings, secrets, active, created_at)"
        " values ('acc_shop', 'web_chat', 'shop', %s, %s, true, now()) returning id",
        json.dumps({"allowed_origins": [SITE]}),
        SealedBox(SECRET).seal({"identity_secret": IDENTITY_SECRET}, "acc_shop"),
    )
    return made


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        yield client


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind a real socket: only there are streams streamed."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 -- uvicorn tells it in no other way
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
    server.should_exit = True
    server.force_exit = True
    await serving


class Visitor:
    """A widget in a visitor's browser."""

    def __init__(self, http: httpx.AsyncClient, begun: dict[str, Any]) -> None:
        self._http = http
        self.session_id = begun["session_id"]
        self.visitor_id = begun["visitor_id"]
        self.token = begun["token"]
        self.headers = {"Authorization": f"Bearer {begun['token']}", "Origin": SITE}

    @classmethod
    async def begin(cls, http: httpx.AsyncClient, **wanted: str) -> "Visitor":
        answer = await http.post(f"{BASE}/sessions", json=wanted, headers={"Origin": SITE})
        assert answer.status_code == 201, answer.text
        return cls(http, answer.json())

    async def say(self, text: str, client_message_id: str = "1", **more: str) -> httpx.Response:
        body = {"client_message_id": client_message_id, "session_id": self.session_id, "text": text, **more}
        return await self._http.post(f"{BASE}/messages", json=body, headers=self.headers)

    async def history(self, session_id: str | None = None) -> list[str]:
        answer = await self._http.get(
            f"{BASE}/messages", params={"session_id": session_id or self.session_id}, headers=self.headers
        )
        return [line["text"] for line in answer.json()["data"]]

    @asynccontextmanager
    async def stream(self, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[tuple[str, Any, str]]]:
        headers = self.headers | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        params = {"session_id": self.session_id}
        async with self._http.stream("GET", f"{BASE}/events", params=params, headers=headers) as answer:
            assert answer.status_code == 200
            yield _events(answer)


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any, str]]:
    """Kind, data and id of each event."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            yield fields["event"], json.loads(fields["data"]), fields["id"]
            fields = {}


async def until(events: AsyncIterator[tuple[str, Any, str]], text: str) -> list[tuple[str, Any, str]]:
    """The events up to the message with this text."""
    seen = []
    async with asyncio.timeout(15):
        async for event in events:
            seen.append(event)
            if event[1].get("text") == text:
                return seen
    raise AssertionError(f"the stream ended before {text!r}")


async def answer_of_agent(database: Database, text: str, *, internal: bool = False, channel: str = "web_chat") -> None:
    """What a step of the workflow leaves in the ledger when an agent answers."""
    await rows(
        database,
        """
        with thread as (select * from threads where channel = %(channel)s order by opened_at limit 1),
        message as (
            insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id,
                channel, account, text, attachments, at, sent_at, delivery)
            select 'msg_' || gen_random_uuid(), conversation_id, id, customer_id,
                case when %(internal)s then 'internal' else 'outbound' end, 'message', 'agent', 'agt_1', channel,
                account, %(text)s, '[]', now(), now(), 'sent'
            from thread returning *
        )
        insert into events (at, kind, conversation_id, customer_id, agent_id, data)
        select now(), case when %(internal)s then 'note_added' else 'replied' end, conversation_id, customer_id,
            'agt_1', jsonb_build_object('message_id', id)
        from message returning pg_notify('baton_events', '')
        """.replace("%(channel)s", f"'{channel}'")
        .replace("%(internal)s", str(internal).lower())
        .replace("%(text)s", f"'{text}'"),
    )


async def test_a_visitors_message_is_stored_once(http: httpx.AsyncClient, database: Database) -> None:
    visitor = await Visitor.begin(http)
    first = await visitor.say("My lamp hums.", email="mia@mail.example", name="Mia")
    again = await visitor.say("My lamp hums.", email="mia@mail.example")
    assert first.status_code == again.status_code == 202
    assert again.json() == {"message_id": first.json()["message_id"], "duplicate": True}
    assert await rows(database, "select kind, verified from identities") == [("visitor", False)]
    assert await rows(database, "select display_name from customers") == [("Mia",)]
    assert await rows(database, "select thread_key, channel, account from threads") == [
        (visitor.session_id, "web_chat", "shop")
    ]


async def test_equal_message_ids_of_two_browsers_are_two_messages(http: httpx.AsyncClient, database: Database) -> None:
    for _ in range(2):
        assert not (await (await Visitor.begin(http)).say("Hello")).json()["duplicate"]
    assert await rows(database, "select count(distinct customer_id) from messages") == [(2,)]


async def test_a_user_of_the_site_is_known_by_its_proof(http: httpx.AsyncClient, database: Database) -> None:
    proof = identity_proof(IDENTITY_SECRET.encode(), "u1", "mia@mail.example")
    for number in range(2):
        visitor = await Visitor.begin(http, user_id="u1", email="mia@mail.example", proof=proof)
        await visitor.say("Hello", str(number))
    assert await rows(database, "select kind, verified from identities order by kind") == [
        ("email", True),
        ("site_user", True),
    ]
    assert await rows(database, "select count(*) from conversations") == [(1,)]


@pytest.mark.parametrize("proof", ["", "0" * 64])
async def test_a_user_nobody_proved_is_refused(http: httpx.AsyncClient, proof: str) -> None:
    answer = await http.post(f"{BASE}/sessions", json={"user_id": "u1", "proof": proof})
    assert (answer.status_code, answer.json()["code"]) == (403, "identity_not_proven")


async def test_an_earlier_token_keeps_the_visitor_and_a_forged_one_does_not(http: httpx.AsyncClient) -> None:
    first = await Visitor.begin(http)
    assert (await Visitor.begin(http, visitor_token=first.token)).visitor_id == first.visitor_id
    assert (await Visitor.begin(http, visitor_token=first.token + "x")).visitor_id != first.visitor_id


async def test_only_the_accounts_sites_may_call_from_a_browser(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{BASE}/sessions", json={}, headers={"Origin": SITE})
    assert answer.headers["access-control-allow-origin"] == SITE
    answer = await http.post(f"{BASE}/sessions", json={}, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers
    answer = await http.options(f"{BASE}/messages", headers={"Origin": SITE, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    answer = await http.options(f"{BASE}/messages", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    answer = await http.post(f"{BASE}/sessions", json={}, headers={"Origin": "http://baton"})
    assert answer.status_code == 201


async def test_an_unknown_or_inactive_account_is_not_found(http: httpx.AsyncClient, database: Database) -> None:
    assert (await http.post("/v1/web-chat/nowhere/sessions", json={})).status_code == 404
    await rows(database, "update channel_accounts set active = false returning id")
    assert (await http.post(f"{BASE}/sessions", json={})).status_code == 404


async def test_a_token_must_be_ours_valid_and_for_this_account(http: httpx.AsyncClient) -> None:
    visitor = await Visitor.begin(http)
    key = chat_visitors.visitor_token_key(SECRET)
    now = datetime.now(UTC)
    refused = [
        "",
        "Bearer nonsense",
        f"Bearer {issue_visitor_token(key, 'vis_1', 'other', None, now + timedelta(hours=1))}",
        f"Bearer {issue_visitor_token(key, 'vis_1', 'shop', None, now - timedelta(hours=1))}",
        f"Bearer {issue_visitor_token(SECRET, 'vis_1', 'shop', None, now + timedelta(hours=1))}",
    ]
    for authorization in refused:
        visitor.headers["Authorization"] = authorization
        assert (await visitor.say("Hello")).status_code == 401


async def test_a_strangers_session_shows_and_ends_nothing(http: httpx.AsyncClient, database: Database) -> None:
    mia, eve = await Visitor.begin(http), await Visitor.begin(http)
    await mia.say("My secret")
    assert await mia.history() == ["My secret"]
    assert await eve.history(mia.session_id) == []
    answer = await http.post(f"{BASE}/end", json={"session_id": mia.session_id}, headers=eve.headers)
    assert answer.status_code == 404
    eve.session_id = mia.session_id
    await eve.say("Let me in")
    assert await mia.history() == ["My secret"]
    assert await rows(database, "select count(*) from conversations") == [(2,)]


async def test_bad_input_is_pointed_at_and_not_stored(http: httpx.AsyncClient, database: Database) -> None:
    visitor = await Visitor.begin(http)
    answer = await visitor.say(" ")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/text")
    answer = await visitor.say("Hello", colour="red")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/colour")
    answer = await visitor.say("x" * 20_001)
    assert answer.status_code == 422
    assert await rows(database, "select count(*) from messages") == [(0,)]


async def test_a_flood_of_one_visitor_is_told_to_slow_down(http: httpx.AsyncClient) -> None:
    visitor = await Visitor.begin(http)
    # All at once: one after the other, a slow machine would stay below the limit.
    answers = await asyncio.gather(*(visitor.say("Hello", str(number)) for number in range(150)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    assert (await (await Visitor.begin(http)).say("Hello")).status_code == 202


async def test_ending_the_chat_tells_the_conversation_once(http: httpx.AsyncClient, database: Database) -> None:
    visitor = await Visitor.begin(http)
    unknown = await http.post(f"{BASE}/end", json={"session_id": visitor.session_id}, headers=visitor.headers)
    assert unknown.status_code == 404
    await visitor.say("Hello")
    answers = [
        await http.post(f"{BASE}/end", json={"session_id": visitor.session_id}, headers=visitor.headers)
        for _ in range(2)
    ]
    assert [answer.json()["ended"] for answer in answers] == [True, False]
    [(payload,)] = await rows(database, "select payload from signals where kind = 'customer_left'")
    [(thread_id,)] = await rows(database, "select id from threads")
    assert payload["thread_id"] == thread_id


async def test_the_visitor_hears_public_answers_and_the_state_and_never_a_note(
    app: FastAPI, database: Database
) -> None:
    await rows(
        database,
        """
        insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,
            channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at)
        values ('agt_1', 'Alex', 'default', 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'online', now(), true,
            now(), now()) returning id
        """,
    )
    async with served(app) as http:
        visitor = await Visitor.begin(http)
        async with visitor.stream() as events:
            await visitor.say("My lamp hums.", "77")
            seen = await until(events, "My lamp hums.")
            assert [(kind, data.get("state")) for kind, data, _ in seen] == [("state", "new"), ("message", None)]
            assert seen[-1][1]["client_message_id"] == "77"
            await answer_of_agent(database, "an internal note", internal=True)
            await answer_of_agent(database, "Did you unplug it?")
            [(kind, data, _)] = await until(events, "Did you unplug it?")
            assert (kind, data["direction"], data["author_name"]) == ("message", "outbound", "Alex")
        assert await visitor.history() == ["My lamp hums.", "Did you unplug it?"]


async def test_a_stream_resumes_after_the_last_event_without_a_gap_or_a_repeat(
    app: FastAPI, database: Database
) -> None:
    async with served(app) as http:
        visitor = await Visitor.begin(http)
        await visitor.say("one", "1")
        async with visitor.stream() as events:
            last = (await until(events, "one"))[-1][2]
        await visitor.say("two", "2")
        await answer_of_agent(database, "three")
        async with visitor.stream(last) as events:
            texts = [data.get("text") for _, data, _ in await until(events, "three")]
        assert texts == ["two", "three"]


async def test_a_place_that_is_none_is_refused(http: httpx.AsyncClient) -> None:
    visitor = await Visitor.begin(http)
    answer = await http.get(
        f"{BASE}/events",
        params={"session_id": visitor.session_id},
        headers={**visitor.headers, "Last-Event-ID": "yesterday"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
