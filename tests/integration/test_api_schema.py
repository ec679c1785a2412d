"""The API under requests made from its own OpenAPI document: whatever is sent, nothing breaks on our side."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from api.openapi import document_of
from storage.database import Database

ADMIN = {"Authorization": "Bearer bt_admin_made-up-for-the-tests-0123456789abcdefghij"}
ENDLESS = {"/v1/events", "/v1/web-chat/{account}/events"}
EXAMPLES = 6


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture(scope="module")
async def shared(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(module_database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="module")
def app(shared: Database) -> FastAPI:
    options = ApiOptions(requests_per_second=1e6, request_burst=1_000_000)
    return create_app(ApiContext(shared, no_temporal, b"0123456789abcdef" * 2, options))


def test_every_body_comes_with_an_example(app: FastAPI) -> None:
    document = document_of(app)
    without = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for kind in operation.get("requestBody", {}).get("content", {}).values():
                schema = kind["schema"]
                shape = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
                parts = [shape, *shape.get("properties", {}).values(), kind]
                if not any("examples" in part or "example" in part for part in parts):
                    without.append(f"{method} {path}")
    assert not without


async def test_no_request_that_the_document_allows_or_forbids_breaks_the_api(app: FastAPI) -> None:
    schema = schemathesis.openapi.from_dict(document_of(app))
    loop = asyncio.get_running_loop()
    broken: list[str] = []

    async def sent(case: schemathesis.Case) -> None:
        request = case.as_transport_kwargs(base_url="http://baton", headers=ADMIN)
        request.pop("cookies", None)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as http:
            answer = await http.request(**request)
        if answer.status_code >= 500 and answer.status_code != 503:
            broken.append(f"{case.method} {case.path} {request} {answer.text}")

    def explore() -> None:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.path in ENDLESS:
                continue

            @seed(7)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)))
            def hold(case: schemathesis.Case) -> None:
                asyncio.run_coroutine_threadsafe(sent(case), loop).result(30)

            hold()

    await asyncio.to_thread(explore)
    assert not broken
