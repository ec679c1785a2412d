"""The codec's address, as the Temporal UI's browser uses it."""

import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from workflows.payload_codec import SealedPayloads, codec_pass

SECRET = b"0123456789abcdef" * 2
OLDER = b"fedcba9876543210" * 2
PLAIN = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": base64.b64encode(b"1").decode()}


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, SECRET, older_secrets=(OLDER,)))
    address = f"http://baton/v1/codec/{codec_pass(SECRET)}/"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address) as http:
        yield http


async def test_what_is_sealed_can_be_opened_from_the_page_of_the_ui(http: httpx.AsyncClient) -> None:
    sealed = (await http.post("encode", json={"payloads": [PLAIN]})).json()
    assert sealed["payloads"][0]["data"] != PLAIN["data"]
    opened = await http.post("decode", json=sealed, headers={"Origin": "http://ui"})
    assert opened.json() == {"payloads": [PLAIN]}
    assert opened.headers["Access-Control-Allow-Origin"] == "*"
    asked = await http.options("decode", headers={"Origin": "http://ui", "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 204
    assert "X-Namespace" in asked.headers["Access-Control-Allow-Headers"]


async def test_an_older_secret_still_opens_and_a_strange_one_is_told(http: httpx.AsyncClient) -> None:
    for secret, status in ((OLDER, 200), (b"x" * 32, 400)):
        sealed = await SealedPayloads(secret).encode([Payload(data=b"1")])
        answer = await http.post("decode", json={"payloads": [json_format.MessageToDict(one) for one in sealed]})
        assert answer.status_code == status
    assert answer.json()["code"] == "payload_not_ours"


async def test_without_the_pass_there_is_nothing_here(http: httpx.AsyncClient) -> None:
    answer = await http.post("http://baton/v1/codec/0000/decode", json={"payloads": []})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("payload", "status"), [({"data": "%"}, 422), ({"metadata": {"encoding": "%"}}, 422), ({"data": "a"}, 400)]
)
async def test_a_malformed_payload_is_told(http: httpx.AsyncClient, payload: dict[str, object], status: int) -> None:
    answer = await http.post("decode", json={"payloads": [payload]})
    assert answer.status_code == status
    assert answer.json()["code"] == {422: "invalid_request", 400: "malformed_request"}[status]
