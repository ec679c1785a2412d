"""Who may call what: every operation under every role, from the one matrix."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api.access import _RULES, PUBLIC, Role
from api.app import create_app
from api.context import ApiContext
from api.openapi import document_of
from storage.database import Database
from storage.migrate import key_digest

OPERATIONS = sorted(_RULES)
STREAMS = {"GET /v1/events"}


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture(scope="module")
async def shared(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(module_database_url)
    await database.open()
    async with database.ledger.connection() as connection:
        await connection.execute(
            "insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,"
            " channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at) values"
            " ('agt_one', 'Bea', 'default', 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'offline', now(), true,"
            " now(), now())"
        )
        for role in Role:
            await connection.execute(
                "insert into api_keys (id, role, digest, agent_id, label, created_at)"
                " values (%s, %s, %s, %s, '', now())",
                (f"key_{role}", role, key_digest(f"bt_{role}_roles"), "agt_one" if role is Role.AGENT else None),
            )
    yield database
    await database.close()


@pytest.fixture(scope="module")
def app(shared: Database) -> FastAPI:
    return create_app(ApiContext(shared, no_temporal, b"0123456789abcdef" * 2))


async def asked(app: FastAPI, operation: str, role: Role | None) -> httpx.Response:
    method, path = operation.split(" ", 1)
    address = path.replace("{id}", "none").replace("{code}", "none").replace("{account}", "none")
    headers = {} if role is None else {"Authorization": f"Bearer bt_{role}_roles"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as http:
        return await http.request(method, address, headers=headers)


def test_every_operation_is_in_the_matrix_and_every_rule_has_its_operation(app: FastAPI) -> None:
    offered = {f"{method.upper()} {path}" for path, item in document_of(app)["paths"].items() for method in item}
    assert offered ^ set(OPERATIONS) == set()


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if _RULES[name] != PUBLIC])
async def test_an_operation_is_open_to_its_roles_only(app: FastAPI, operation: str) -> None:
    assert (await asked(app, operation, None)).status_code == 401
    for role in Role:
        if role not in _RULES[operation]:
            answer = await asked(app, operation, role)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), role
        elif operation not in STREAMS:  # an open stream has no end to wait for
            assert (await asked(app, operation, role)).status_code not in {401, 403, 405, 500}, role
