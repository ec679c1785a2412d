"""What the door does for every operation alike: who may in, what is refused, and what is answered only once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import APIRouter
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from api.route import BatonRoute, Records
from storage.database import Database
from storage.migrate import key_digest
from storage.tables import ApiKey, Skill

ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
SUPERVISOR = {"Authorization": "Bearer bt_supervisor_made-up-for-the-tests-0123456789abcde"}
POOL = {"name": "billing", "description": "Invoices"}

Door = Callable[[ApiOptions], AbstractAsyncContextManager[httpx.AsyncClient]]


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
def door(database: Database) -> Door:
    @asynccontextmanager
    async def opened(options: ApiOptions) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2, options))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://baton", headers=ADMIN) as client:
            yield client

    return opened


@pytest.fixture
async def http(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    async with door(ApiOptions()) as client:
        yield client


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["request_id"] == answer.headers["x-request-id"]


async def pools(http: httpx.AsyncClient) -> list[str]:
    return [pool["name"] for pool in (await http.get("/v1/pools")).json()["data"]]


async def test_every_answer_carries_an_id_and_protects_a_browser(http: httpx.AsyncClient) -> None:
    first, second = await http.get("/healthz"), await http.get("/nowhere")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for answer in (first, second):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_an_unknown_address_and_a_wrong_method_are_problems(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/v1/nowhere"), 404, "not_found")
    wrong = await http.delete("/v1/pools")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"]


@pytest.mark.parametrize(
    "header",
    [None, "Basic YTpi", "Bearer", "Bearer bt_admin_nobody", "Bearer \u00e9", "bt_admin", "Bearer bt_" + "x" * 999],
)
async def test_without_a_valid_key_nobody_gets_in(http: httpx.AsyncClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    http.headers.pop("Authorization")
    answer = await http.get("/v1/pools", headers=headers)
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_key_is_asked_for_before_the_body_is_read(http: httpx.AsyncClient) -> None:
    http.headers.pop("Authorization")
    assert_problem(await http.post("/v1/pools", content=b"{not json"), 401, "unauthenticated")
    assert_problem(await http.post("/v1/pools", content=b"{not json", headers=SUPERVISOR), 403, "forbidden")


async def test_an_expired_and_a_revoked_key_open_nothing(database: Database, http: httpx.AsyncClient) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with database.session() as session:
        session.add(ApiKey(id="key_old", role="admin", digest=key_digest("bt_old"), expires_at=past))
        session.add(ApiKey(id="key_gone", role="admin", digest=key_digest("bt_gone"), revoked_at=past))
        session.add(ApiKey(id="key_odd", role="nobody", digest=key_digest("bt_odd")))
    for key in ("bt_old", "bt_gone", "bt_odd"):
        answer = await http.get("/v1/pools", headers={"Authorization": f"Bearer {key}"})
        assert_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{not json", 400, "malformed_json"),
        (b'{"name": "\xff"}', 400, "malformed_request"),
        (b"[" * 100_000, 400, "malformed_request"),
        (b"", 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b'{"name": "billing", "surprise": 1}', 422, "invalid_request"),
        (b'{"name": 7}', 422, "invalid_request"),
        (b'{"name": "billing", "description": "\\u0000"}', 422, "invalid_request"),
        (b'{"name": "billing", "description": "\\ud800"}', 422, "invalid_request"),
    ],
)
async def test_a_bad_body_is_refused_and_nothing_is_stored(
    http: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    answer = await http.post("/v1/pools", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status, code)
    assert await pools(http) == ["default"]


async def test_a_problem_points_at_what_is_wrong(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/pools", json={"description": 7, "surprise": 1})
    assert_problem(answer, 422, "invalid_request")
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/name", "/description", "/surprise"}


async def test_a_body_that_is_no_json_document_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/pools", content=b"name=billing", headers={"Content-Type": "text/plain"})
    assert_problem(answer, 422, "invalid_request")


async def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length(door: Door) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with door(ApiOptions(max_body_bytes=1000)) as http:
        assert_problem(await http.post("/v1/pools", content=b"x" * 1001), 413, "body_too_large")
        assert_problem(await http.post("/v1/pools", content=in_parts()), 413, "body_too_large")


async def test_a_body_in_parts_is_read_whole(http: httpx.AsyncClient) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        yield b'{"name": '
        yield b'"billing"}'

    answer = await http.post("/v1/pools", content=in_parts(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert await pools(http) == ["billing", "default"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=many"])
async def test_a_page_has_bounds(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/v1/pools?{query}")
    assert_problem(answer, 422, "invalid_request")


async def test_a_cursor_of_another_list_is_refused(http: httpx.AsyncClient) -> None:
    await http.post("/v1/pools", json=POOL)
    cursor = (await http.get("/v1/pools?limit=1")).json()["next_cursor"]
    assert [pool["name"] for pool in (await http.get(f"/v1/pools?cursor={cursor}")).json()["data"]] == ["default"]
    assert_problem(await http.get(f"/v1/skills?cursor={cursor}"), 400, "invalid_cursor")
    assert_problem(await http.get("/v1/pools?cursor=made-up"), 400, "invalid_cursor")


@pytest.mark.parametrize("path", ["/v1/pools?cursor=%00", "/v1/wrap-up-codes/%00"])
async def test_a_nul_in_an_address_is_bad_input(http: httpx.AsyncClient, path: str) -> None:
    answer = await (http.patch(path, json={}) if "codes" in path else http.get(path))
    assert answer.status_code in {400, 404}


async def test_who_asks_too_often_is_told_when_to_come_back(door: Door) -> None:
    async with door(ApiOptions(requests_per_second=0.1, request_burst=2)) as http:
        assert [(await http.get("/v1/pools")).status_code for _ in range(2)] == [200, 200]
        answer = await http.get("/v1/pools")
        assert_problem(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await http.get("/v1/pools", headers=SUPERVISOR)).status_code == 200


async def test_a_repeat_under_one_key_gets_the_first_answer(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = await http.post("/v1/pools", json=POOL, headers=key)
    again = await http.post("/v1/pools", json=POOL, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again.headers["content-type"]) == (first.content, first.headers["content-type"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert (await http.post("/v1/pools", json=POOL)).status_code == 409


async def test_a_refusal_is_replayed_too(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    await http.post("/v1/pools", json=POOL)
    first = await http.post("/v1/pools", json=POOL, headers=key)
    again = await http.post("/v1/pools", json=POOL, headers=key)
    assert first.status_code == 409
    assert (again.status_code, again.json()) == (409, first.json())
    assert again.headers["content-type"] == "application/problem+json"


async def test_another_request_under_the_same_key_is_refused(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    await http.post("/v1/pools", json=POOL, headers=key)
    assert_problem(await http.post("/v1/pools", json={"name": "b"}, headers=key), 422, "idempotency_key_reused")
    assert_problem(await http.post("/v1/skills", json=POOL, headers=key), 422, "idempotency_key_reused")


async def test_a_key_belongs_to_whoever_used_it(database: Database, http: httpx.AsyncClient) -> None:
    async with database.session() as session:
        session.add(ApiKey(id="key_other", role="admin", digest=key_digest("bt_other")))
    await http.post("/v1/pools", json=POOL, headers={"Idempotency-Key": "once"})
    other = {"Idempotency-Key": "once", "Authorization": "Bearer bt_other"}
    assert (await http.post("/v1/pools", json={"name": "other"}, headers=other)).status_code == 201


@pytest.mark.parametrize("key", ["", "with a space", "x" * 256])
async def test_what_can_be_no_key_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post("/v1/pools", json=POOL, headers={"Idempotency-Key": key})
    assert_problem(answer, 400, "invalid_idempotency_key")


async def test_many_at_once_under_one_key_act_once(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*(http.post("/v1/skills", json=POOL, headers=key) for _ in range(10)))
    created = [answer for answer in answers if answer.status_code == 201]
    assert created
    assert len({answer.content for answer in created}) == 1
    for answer in answers:
        if answer not in created:
            assert_problem(answer, 409, "request_in_progress")
    assert (await http.get("/v1/skills")).json()["data"] == [created[0].json()]


async def test_a_first_call_that_died_does_not_block_its_key(database: Database, http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    await http.post("/v1/pools", json=POOL, headers=key)
    async with database.ledger.connection() as connection:
        await connection.execute("delete from pools where name = 'billing'")
        await connection.execute("update idempotency_keys set status = null, body = null")
    assert_problem(await http.post("/v1/pools", json=POOL, headers=key), 409, "request_in_progress")
    async with database.ledger.connection() as connection:
        await connection.execute("update idempotency_keys set created_at = now() - interval '2 minutes'")
    assert_problem(await http.post("/v1/pools", json={"name": "b"}, headers=key), 422, "idempotency_key_reused")
    assert (await http.post("/v1/pools", json=POOL, headers=key)).status_code == 201


async def test_after_a_day_a_key_is_forgotten(database: Database, http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    await http.post("/v1/pools", json=POOL, headers=key)
    async with database.ledger.connection() as connection:
        await connection.execute("update idempotency_keys set created_at = now() - interval '25 hours'")
    assert (await http.post("/v1/pools", json={"name": "b"}, headers=key)).status_code == 201
    await http.post("/v1/pools", json={"name": "c"}, headers={"Idempotency-Key": "another"})
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute("select key from idempotency_keys order by key")).fetchall()
    assert rows == [("another",), ("once",)]


async def test_what_fails_on_our_side_stores_nothing_and_frees_its_key(database: Database) -> None:
    """An operation of the test's own takes the place of a real one: it writes, then fails the first time."""
    failures = [RuntimeError("a secret of ours")]
    router = APIRouter(route_class=BatonRoute)

    @router.post("/v1/skills")
    async def add_skill(records: Records) -> dict[str, str]:
        records.add(Skill(name="billing"))
        await records.flush()
        if failures:
            raise failures.pop()
        return {"name": "billing"}

    app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2))
    app.include_router(router)
    app.router.routes.insert(0, app.router.routes.pop())
    headers = {**ADMIN, "Idempotency-Key": "once"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton", headers=headers) as http:
        failed = await http.post("/v1/skills")
        assert_problem(failed, 500, "internal_error")
        assert "secret" not in failed.text
        assert failed.headers["x-content-type-options"] == "nosniff"
        assert (await http.get("/v1/skills")).json()["data"] == []
        assert (await http.post("/v1/skills")).status_code == 200
        assert len((await http.get("/v1/skills")).json()["data"]) == 1


async def test_readiness_says_what_is_not_ready(http: httpx.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "not_ready": {"temporal": "does not answer"}})
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_an_older_schema_is_not_ready(database: Database, http: httpx.AsyncClient) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute("update alembic_version set version_num = 'older'")
    assert set((await http.get("/readyz")).json()["not_ready"]) == {"migrations", "temporal"}


async def test_measures_name_operations_and_never_what_callers_make_up(http: httpx.AsyncClient) -> None:
    await http.get("/v1/conversations/con_made-up")
    await http.request("BREW", "/coffee")
    text = (await http.get("/metrics")).text
    assert 'baton_http_requests_total{method="other",path="none",status="404"} 1.0' in text
    assert 'baton_outbox_signals{set_aside="false"} 0.0' in text
    assert "made-up" not in text
    assert "BREW" not in text
