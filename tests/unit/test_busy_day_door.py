from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from simulator.busy_day.door import Door, Refused

Answers = Callable[[httpx.Request], httpx.Response]


def door(answers: Answers) -> Door:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://baton.test")
    return Door(http, "bt_agent_made-up", first_pause=timedelta(0))


async def test_a_call_is_repeated_under_the_same_key_until_it_is_answered() -> None:
    seen: list[str] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Idempotency-Key"])
        if len(seen) == 1:
            raise httpx.ConnectError("refused")
        if len(seen) < 4:
            return httpx.Response([503, 429][len(seen) - 2])
        return httpx.Response(200, json={"done": True})

    assert await door(answers).send("POST", "/v1/things", {}, dict[str, bool]) == {"done": True}
    assert len(seen) == 4
    assert len(set(seen)) == 1


async def test_two_calls_never_share_a_key() -> None:
    seen: set[str] = set()

    def answers(request: httpx.Request) -> httpx.Response:
        seen.add(request.headers["Idempotency-Key"])
        return httpx.Response(200, json={})

    caller = door(answers)
    for _ in range(2):
        await caller.send("POST", "/v1/things", {}, dict[str, str])
    assert len(seen) == 2


async def test_a_refusal_is_told_with_its_code_and_not_repeated() -> None:
    calls: list[int] = []

    def answers(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(409, json={"code": "offer_gone", "detail": "no longer yours"})

    with pytest.raises(Refused) as refused:
        await door(answers).send("POST", "/v1/offers/off_a/accept", {}, dict[str, str])
    assert (refused.value.status, refused.value.code, len(calls)) == (409, "offer_gone", 1)


async def test_a_first_call_still_running_is_waited_for() -> None:
    left = [httpx.Response(409, json={"code": "request_in_progress"}), httpx.Response(200, json={"id": "a"})]

    assert await door(lambda _: left.pop(0)).send("POST", "/v1/things", {}, dict[str, str]) == {"id": "a"}
