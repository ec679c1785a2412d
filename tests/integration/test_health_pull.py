"""Health scores pulled from a customer-success system that answers over HTTP, by its schedule on a real Temporal."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
from psycopg.types.json import Jsonb
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.health_pull import UNREACHABLE, UNUSABLE, HealthPulls
from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from storage.sealed_box import SealedBox
from workers.health_schedules import HealthSchedules
from workers.worker_process import upkeep_worker
from workflows.data_converter import DATA_CONVERTER
from workflows.health_pull import HealthSourceId, schedule_id

SECRET = b"0123456789abcdef" * 2
ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
MAPPING = {
    "items": "/accounts",
    "customer": "/email",
    "channel": "email",
    "score": "/health",
    "lowest": 0,
    "highest": 100,
    "next": "/next",
}

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@dataclass
class Success:
    """The customer-success system: what it answers by path, and what it was asked."""

    port: int = 0
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/accounts"

    def says(self, path: str, document: object, status: int = 200) -> None:
        self.answers[path] = (status, json.dumps(document).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        status, body = self.answers.get(head.split(" ")[1], (404, b""))
        location = b"location: http://127.0.0.1:1/\r\n" if status == 302 else b""
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n".encode() + location + b"\r\n"
        )
        writer.write(body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def a_system() -> AsyncIterator[Success]:
    system = Success()
    server = await asyncio.start_server(system.serve, "127.0.0.1", 0)
    system.port = server.sockets[0].getsockname()[1]
    async with server:
        yield system


@pytest.fixture
async def success() -> AsyncIterator[Success]:
    async with a_system() as system:
        yield system


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async def no_temporal() -> Client:
        raise ConnectionError("nobody listens")

    transport = httpx.ASGITransport(create_app(ApiContext(database, no_temporal, SECRET)))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton", headers=ADMIN) as client:
        yield client


async def customer(http: httpx.AsyncClient, name: str) -> str:
    identity = {"channel": "email", "address": f"{name}@example.org", "verified": True}
    made: str = (await http.post("/v1/customers", json={"display_name": name, "identities": [identity]})).json()["id"]
    return made


async def source(http: httpx.AsyncClient, success: Success, **changes: object) -> str:
    body = {"name": f"s{uuid4().hex}", "url": success.url, "mapping": MAPPING, "bearer_token": "hush-hush", **changes}
    answer = await http.post("/v1/health-sources", json=body)
    assert answer.status_code == 201, answer.text
    assert "hush" not in answer.text
    made: str = answer.json()["id"]
    return made


async def pulled(database: Database, source_id: str) -> None:
    pulls = HealthPulls(database, SealedBox(SECRET))
    await ActivityEnvironment().run(pulls.pull, HealthSourceId(source_id))


async def outcome(http: httpx.AsyncClient, source_id: str) -> dict[str, object]:
    told: dict[str, object] = (await http.get(f"/v1/health-sources/{source_id}")).json()["outcome"]
    return told


async def test_every_page_is_read_with_the_token_and_by_the_mapping(
    http: httpx.AsyncClient, database: Database, success: Success
) -> None:
    ada, bea = await customer(http, "ada"), await customer(http, "bea")
    success.says("/accounts", {"accounts": [{"email": "Ada@example.org", "health": 40}], "next": "/accounts?page=2"})
    success.says(
        "/accounts?page=2",
        {"accounts": [{"email": "bea@example.org", "health": 90}, {"email": "eve@example.org", "health": 1}, {}]},
    )
    source_id = await source(http, success)
    await pulled(database, source_id)
    scores = [(await http.get(f"/v1/customers/{one}")).json()["health_score"] for one in (ada, bea)]
    assert scores == [0.4, 0.9]
    assert await outcome(http, source_id) == {"updated": 2, "unknown": 1, "unreadable": 1, "pages": 2}
    assert all("authorization: bearer hush-hush" in head.lower() for head in success.asked)


@pytest.mark.parametrize(
    "following", ["https://success.example.com/2", "http://127.0.0.1:1/2", "/accounts", "//10.0.0.1"]
)
async def test_the_token_follows_no_page_to_another_host(
    http: httpx.AsyncClient, database: Database, success: Success, following: str
) -> None:
    success.says("/accounts", {"accounts": [], "next": following})
    source_id = await source(http, success)
    with pytest.raises(ApplicationError) as failed:
        await pulled(database, source_id)
    assert (failed.value.type, failed.value.non_retryable) == (UNUSABLE, True)
    assert len(success.asked) == 1


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        ({"accounts": []}, 302, UNUSABLE),
        ({"accounts": []}, 401, UNUSABLE),
        ({"people": []}, 200, UNUSABLE),
        ({"accounts": []}, 500, UNREACHABLE),
        ({"accounts": []}, 429, UNREACHABLE),
    ],
)
async def test_a_failed_pull_is_told_and_is_tried_again_only_where_that_may_help(
    http: httpx.AsyncClient, database: Database, success: Success, document: object, status: int, kind: str
) -> None:
    success.says("/accounts", document, status)
    source_id = await source(http, success)
    with pytest.raises(ApplicationError) as failed:
        await pulled(database, source_id)
    assert (failed.value.type, failed.value.non_retryable) == (kind, kind == UNUSABLE)
    assert set(await outcome(http, source_id)) == {"error"}
    assert len(success.asked) == 1


async def test_a_source_out_of_use_is_not_asked(http: httpx.AsyncClient, database: Database, success: Success) -> None:
    source_id = await source(http, success)
    await http.patch(f"/v1/health-sources/{source_id}", json={"active": False})
    await pulled(database, source_id)
    assert success.asked == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"url": "https://169.254.169.254/"}, "/url"),
        ({"url": "http://success.example.com/"}, "/url"),
        ({"mapping": {**MAPPING, "items": "accounts"}}, "/mapping/items"),
        ({"every_seconds": 5}, "/every_seconds"),
        ({"bearer_token": "two\nlines"}, "/bearer_token"),
    ],
)
async def test_a_source_that_must_not_be_is_pointed_at(
    http: httpx.AsyncClient, success: Success, changes: dict[str, object], where: str
) -> None:
    body = {"name": "success", "url": success.url, "mapping": MAPPING, **changes}
    answer = await http.post("/v1/health-sources", json=body)
    assert (answer.status_code, [problem["pointer"] for problem in answer.json()["errors"]]) == (422, [where])
    source_id = await source(http, success)
    changed = await http.patch(f"/v1/health-sources/{source_id}", json=changes)
    assert [problem["pointer"] for problem in changed.json()["errors"]] == [where]


async def test_a_token_is_not_taken_along_to_another_host(http: httpx.AsyncClient, success: Success) -> None:
    path = f"/v1/health-sources/{await source(http, success)}"
    elsewhere = {"url": "https://elsewhere.example.com/"}
    assert (await http.patch(path, json=elsewhere)).json()["errors"][0]["pointer"] == "/bearer_token"
    assert (await http.patch(path, json={**elsewhere, "bearer_token": None})).json()["has_bearer_token"] is False


async def test_a_schedule_pulls_follows_its_source_and_is_made_once(
    http: httpx.AsyncClient, database: Database, success: Success, temporal: Client, eventually: Eventually
) -> None:
    ada = await customer(http, "ada")
    success.says("/accounts", {"accounts": [{"email": "ada@example.org", "health": 70}]})
    source_id = await source(http, success)
    client = await Client.connect(temporal.service_client.config.target_host, data_converter=DATA_CONVERTER)

    async def scored() -> bool:
        known: bool = (await http.get(f"/v1/customers/{ada}")).json()["health_score"] == 0.7
        return known

    async with upkeep_worker(client, HealthPulls(database, SealedBox(SECRET))):
        await asyncio.gather(HealthSchedules(database, client).follow(), HealthSchedules(database, client).follow())
        await eventually(scored)
    schedule = client.get_schedule_handle(schedule_id(source_id))
    assert (await schedule.describe()).schedule.spec.intervals[0].every.total_seconds() == 3600
    await http.patch(f"/v1/health-sources/{source_id}", json={"every_seconds": 600, "active": False})
    await HealthSchedules(database, client).follow()
    changed = (await schedule.describe()).schedule
    assert (changed.spec.intervals[0].every.total_seconds(), changed.state.paused) == (600, True)
    await schedule.delete()


async def test_a_mapping_that_somebody_wrote_past_the_api_is_told(
    http: httpx.AsyncClient, database: Database, success: Success
) -> None:
    source_id = await source(http, success)
    async with database.ledger.connection() as connection:
        await connection.execute("update health_sources set mapping = %s", (Jsonb({"items": 1}),))
    with pytest.raises(ApplicationError) as failed:
        await pulled(database, source_id)
    assert failed.value.non_retryable
