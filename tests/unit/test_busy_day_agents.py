"""What an agent of the busy day does when the floor answers otherwise than they hoped."""

import asyncio
from datetime import timedelta

import httpx

from simulator.busy_day.agents_day import AgentsDay
from simulator.busy_day.door import Door
from simulator.busy_day.floor_setup import Desk, Floor
from simulator.busy_day.news import News
from simulator.busy_day.pace import Pace
from simulator.busy_day.plan import PlannedAgent
from simulator.busy_day.strays import Stray, Strays


async def test_a_stray_that_was_closed_meanwhile_keeps_no_customer_waiting() -> None:
    asked: list[str] = []
    replied = asyncio.Event()

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        mine = {"id": "con_1", "state": "assigned", "customer_id": "cus_1", "agent_id": "agt_1"}
        match request.method, request.url.path:
            case "POST", "/v1/conversations/con_1/merge":
                return httpx.Response(409, json={"code": "conversation_ended"})
            case "POST", "/v1/conversations/con_1/messages":
                replied.set()
                return httpx.Response(200, json={})
            case "GET", "/v1/conversations/con_1":
                return httpx.Response(200, json=mine | ({"state": "closed"} if replied.is_set() else {}))
            case "GET", "/v1/conversations":
                return httpx.Response(200, json={"data": [] if replied.is_set() else [mine]})
            case _:
                return httpx.Response(200, json={"data": []})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://baton.test")
    strays = Strays(["cus_1"], Door(http, "bt_supervisor_made-up"))
    strays.tell("cus_1", Stray("con_other", "cus_other"))
    desk = Desk(PlannedAgent("Alex", (), None, timedelta(0)), "agt_1", "bt_agent_made-up")
    floor = Floor((desk,), {1: "cus_1"}, {}, frozenset())
    agents = AgentsDay(http, floor, News(http, "bt_supervisor_made-up"), Pace(10_000), 1, strays)

    working = asyncio.create_task(agents.work())
    async with asyncio.timeout(10):
        await replied.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)

    assert asked.count("/v1/conversations/con_1/merge") == 1
    assert await strays.of("cus_1") is None
