"""The live stream over ASGI, against a real PostgreSQL: nothing skipped, nothing shown to whom it is not meant for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from starlette.types import Message
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from storage.database import Database
from storage.migrate import key_digest
from tests.conftest import ADAPTER_KEY, SUPERVISOR_KEY

AGENT_KEY = "bt_agent_made-up-for-the-tests-0123456789abcdefghij"
"""Of agent agt_1 in pool default."""

_AGENTS = """
insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit, channel_ceilings,
                    preferences, presence, presence_since, active, created_at, updated_at)
values ('agt_1', 'One', 'default', 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'online', now(), true, now(), now())
"""
_EVENT = "insert into events (at, kind, agent_id, pool, data) values (now(), %s, %s, %s, '{}')"
_RING = "select pg_notify('baton_events', '')"


class Stream:
    """One open stream, read event by event; comments are kept apart."""

    def __init__(self, app: FastAPI, key: str, last_event_id: str | None) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._left = asyncio.Event()
        headers = [(b"host", b"baton"), (b"authorization", f"Bearer {key}".encode())]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id.encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/v1/events", "raw_path": b"/v1/events", "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("baton", 80),
        }  # fmt: skip
        self._task = asyncio.create_task(app(scope, self._receive, self._messages.put))
        self.comments: list[str] = []

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def status(self) -> int:
        return int((await self._message())["status"])

    async def next(self) -> dict[str, str] | None:
        """The next event's fields; None at the end of the stream."""
        while True:
            message = await self._message()
            if not message.get("more_body"):
                return None
            lines = message["body"].decode().strip().splitlines()
            if lines[0].startswith(":"):
                self.comments.append(lines[0])
                return {"comment": lines[0]}
            return dict(line.split(": ", 1) for line in lines)

    async def _message(self) -> Message:
        async with asyncio.timeout(30):
            return await self._messages.get()

    async def leave(self) -> None:
        self._left.set()
        async with asyncio.timeout(30):
            await self._task


@asynccontextmanager
async def following(app: FastAPI, key: str, last_event_id: str | None = None) -> AsyncIterator[Stream]:
    stream = Stream(app, key, last_event_id)
    try:
        assert await stream.status() == 200
        yield stream
    finally:
        await stream.leave()


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def app(database: Database) -> FastAPI:
    async with database.ledger.connection() as connection:
        await connection.execute("insert into pools (name, description) values ('other', '')")
        await connection.execute("insert into pools (name, description) values ('default', '') on conflict do nothing")
        await connection.execute(_AGENTS)
        await connection.execute(
            "insert into api_keys (id, role, digest, agent_id, label, created_at) values (%s, %s, %s, %s, '', now())",
            ("key_of_agt_1", "agent", key_digest(AGENT_KEY), "agt_1"),
        )
    return create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2, ApiOptions()))


async def happen(database: Database, kind: str, agent_id: str | None = None, pool: str | None = "default") -> None:
    async with database.ledger.connection() as connection:
        await connection.execute(_EVENT, (kind, agent_id, pool))
        await connection.execute(_RING)


async def test_a_stream_begins_with_its_cursor_and_tells_what_happens_after(app: FastAPI, database: Database) -> None:
    await happen(database, "before")
    async with following(app, SUPERVISOR_KEY) as stream:
        snapshot = await stream.next()
        assert snapshot is not None
        assert snapshot["event"] == "snapshot"
        assert json.loads(snapshot["data"]) == {"cursor": snapshot["id"]}
        await happen(database, "accepted", "agt_1")
        told = await stream.next()
        assert told is not None
        assert told["event"] == "accepted"
        data = json.loads(told["data"])
        assert data["id"] == told["id"]
        assert (data["kind"], data["agent_id"], data["pool"], data["data"]) == ("accepted", "agt_1", "default", {})


async def test_a_late_commit_with_an_earlier_id_is_not_skipped(
    app: FastAPI, database: Database, database_url: str
) -> None:
    async with following(app, SUPERVISOR_KEY) as stream:
        await stream.next()
        async with await psycopg.AsyncConnection.connect(database_url) as slow:
            await slow.execute(_EVENT, ("slow", None, "default"))
            await happen(database, "fast")
            await slow.execute(_RING)
            await slow.commit()
        kinds = [told["event"] for told in (await stream.next(), await stream.next()) if told is not None]
        assert kinds == ["slow", "fast"]


async def test_whoever_comes_back_goes_on_after_the_last_event_seen(app: FastAPI, database: Database) -> None:
    async with following(app, SUPERVISOR_KEY) as stream:
        await stream.next()
        await happen(database, "first")
        seen = await stream.next()
    assert seen is not None
    for number in range(3):
        await happen(database, f"missed_{number}")
    async with following(app, SUPERVISOR_KEY, seen["id"]) as stream:
        snapshot = await stream.next()
        assert snapshot is not None
        assert snapshot["id"] == seen["id"]
        missed = [await stream.next() for _ in range(3)]
        assert [told["event"] for told in missed if told] == ["missed_0", "missed_1", "missed_2"]


async def test_agents_see_their_pool_and_what_names_them(app: FastAPI, database: Database) -> None:
    async with following(app, AGENT_KEY) as stream:
        await stream.next()
        await happen(database, "elsewhere", "agt_2", "other")
        await happen(database, "of_nobody", None, None)
        await happen(database, "names_me", "agt_1", "other")
        await happen(database, "in_my_pool")
        told = [await stream.next(), await stream.next()]
        assert [event["event"] for event in told if event] == ["names_me", "in_my_pool"]


async def test_a_stream_ends_when_its_key_is_revoked(app: FastAPI, database: Database) -> None:
    async with following(app, AGENT_KEY) as stream:
        await stream.next()
        async with database.ledger.connection() as connection:
            await connection.execute("update api_keys set revoked_at = now() where id = 'key_of_agt_1'")
        assert await stream.next() is None


async def test_a_silent_stream_says_that_it_lives(database: Database) -> None:
    options = ApiOptions(heartbeat=timedelta(milliseconds=20))
    quiet = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2, options))
    async with following(quiet, SUPERVISOR_KEY) as stream:
        await stream.next()
        assert await stream.next() == {"comment": ": still here"}


@pytest.mark.parametrize("cursor", ["", "7", "a-b", "-1-2", "1-99999999999999999999", "9223372036854775807-1"])
async def test_what_is_no_cursor_of_ours_is_refused(app: FastAPI, cursor: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        answer = await client.get(
            "/v1/events", headers={"Authorization": f"Bearer {SUPERVISOR_KEY}", "Last-Event-ID": cursor}
        )
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_cursor"


async def test_an_adapter_has_no_stream(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        answer = await client.get("/v1/events", headers={"Authorization": f"Bearer {ADAPTER_KEY}"})
    assert answer.status_code == 403
