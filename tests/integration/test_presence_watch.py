"""Agents whose console falls silent: what is taken from them, when, and what never is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from api.presence_watch import PresenceWatch
from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.matching import match_pool, take_lease
from storage.migrate import key_digest
from storage.tables import ApiKey
from tests.integration.dispatch_ledger import (
    POOL,
    add,
    add_agent,
    add_assignment,
    add_conversation,
    add_ticket,
    loads,
    offered,
    rows,
    set_setting,
)

ANN = {"Authorization": "Bearer bt_ann"}
GRACE = 45.0
LONG = GRACE + 2


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
async def ann(database: Database) -> None:
    await add_agent(database, "agt_ann")
    await add(database, ApiKey(id="key_ann", role="agent", digest=key_digest("bt_ann"), agent_id="agt_ann"))


@pytest.fixture
async def app(database: Database) -> FastAPI:
    return create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2))


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        yield client


async def heard_ago(database: Database, seconds: float) -> None:
    await rows(
        database,
        "insert into agent_leases values ('agt_ann', now() - make_interval(secs => %s)) on conflict (agent_id)"
        " do update set seen_at = excluded.seen_at",
        seconds,
    )


def watch(database: Database, *, since: float = LONG) -> PresenceWatch:
    """A watch that has been up for so many seconds."""
    clock = Clock()
    started = PresenceWatch(database, clock)
    clock.now += since
    return started


async def presence(database: Database) -> str:
    [(now,)] = await rows(database, "select presence from agents where id = 'agt_ann'")
    return str(now)


async def test_any_request_of_an_agent_is_a_sign_of_life(database: Database, app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as http:
        assert (await http.get("/v1/offers", headers=ANN)).status_code == 200
    await app.state.presence_watch.look()
    [(agent, fresh)] = await rows(database, "select agent_id, seen_at > now() - interval '10 s' from agent_leases")
    assert (agent, fresh) == ("agt_ann", True)


async def test_an_older_sign_never_replaces_a_newer_one(database: Database) -> None:
    await heard_ago(database, 0)
    clock = Clock()
    late = PresenceWatch(database, clock)
    late.note("agt_ann")
    clock.now += 30
    await late.look()
    assert await rows(database, "select seen_at > now() - interval '10 s' from agent_leases") == [(True,)]


async def test_offers_of_a_lost_console_go_back_at_once_and_work_only_if_the_house_says_so(database: Database) -> None:
    await add_conversation(database, "con_held")
    await add_assignment(database, "con_held", "agt_ann")
    await rows(database, "update agents set load = 34")
    await add_ticket(database, "con_offered")
    await match_pool(database, await take_lease(database, POOL, "test"), SuccessLearner().model())
    assert await offered(database) == {"con_offered": "agt_ann"}
    await heard_ago(database, LONG)
    assert await watch(database).look() == ("agt_ann",)
    assert (await offered(database), await loads(database)) == ({}, {"agt_ann": 34})
    assert await presence(database) == "offline"
    assert await rows(database, "select kind, payload ->> 'cause' from signals where kind <> 'offer_made'") == [
        ("offer_lost", "connection_lost")
    ]
    assert await rows(
        database, "select data ->> 'presence', data ->> 'cause' from events where kind = 'presence_changed'"
    ) == [("offline", "connection_lost")]
    assert await watch(database).look() == ()


async def test_with_reassign_on_away_the_work_of_a_lost_console_goes_back_too(database: Database) -> None:
    await set_setting(database, "reassign_on_away", value=True)
    await add_conversation(database, "con_held")
    await add_assignment(database, "con_held", "agt_ann")
    await heard_ago(database, LONG)
    await watch(database).look()
    assert await rows(database, "select conversation_id, kind, payload ->> 'cause' from signals") == [
        ("con_held", "agent_left", "connection_lost")
    ]


async def test_within_the_grace_nobody_is_gone(database: Database) -> None:
    await heard_ago(database, GRACE - 5)
    assert await watch(database).look() == ()
    assert await presence(database) == "online"


async def test_who_never_had_a_console_has_none_to_lose(database: Database) -> None:
    assert await watch(database).look() == ()


async def test_a_watch_that_has_just_begun_takes_nobody_for_silent(database: Database) -> None:
    await heard_ago(database, 3600)
    assert await watch(database, since=GRACE - 1).look() == ()
    assert await presence(database) == "online"


async def test_while_the_database_does_not_answer_nobody_is_watched_and_a_whole_grace_begins_anew(
    database: Database,
) -> None:
    await heard_ago(database, 3600)
    clock = Clock()
    watching = PresenceWatch(database, clock)
    clock.now += LONG
    await rows(database, "alter table agent_leases rename to out_of_reach")
    assert await watching.look() == ()
    await rows(database, "alter table out_of_reach rename to agent_leases")
    assert await watching.look() == ()
    clock.now += LONG
    assert await watching.look() == ("agt_ann",)


async def test_who_comes_back_at_the_last_moment_stays(database: Database, http: httpx.AsyncClient) -> None:
    await heard_ago(database, 3600)
    answer = await http.put("/v1/me/presence", json={"presence": "online"}, headers=ANN)
    assert answer.status_code == 200
    assert await watch(database).look() == ()


async def test_presence_may_be_for_some_channels_and_offers_on_the_others_go_back(
    database: Database, http: httpx.AsyncClient
) -> None:
    await add_ticket(database, "con_chat")
    await match_pool(database, await take_lease(database, POOL, "test"), SuccessLearner().model())
    asked = {"presence": "online", "channels": ["email", "voice"]}
    answer = await http.put("/v1/me/presence", json=asked, headers=ANN)
    assert answer.json()["revoked_offers"] == 1
    assert answer.json()["agent"]["presence_channels"] == ["email", "voice"]
    again = await http.put("/v1/me/presence", json=asked, headers=ANN)
    assert again.json()["revoked_offers"] == 0
    assert await rows(database, "select count(*) from events where kind = 'presence_changed'") == [(1,)]
    everywhere = await http.put("/v1/me/presence", json={"presence": "online"}, headers=ANN)
    assert everywhere.json()["agent"]["presence_channels"] is None


async def test_an_agent_past_their_shift_is_told_that_they_may_go(database: Database, http: httpx.AsyncClient) -> None:
    today = datetime.now(UTC).weekday()
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    everyday = {day: [["00:00", "24:00"]] for day in days}
    elsewhen = {days[(today + 3) % 7]: [["00:00", "24:00"]]}
    for hours, suggested in ((everyday, None), (elsewhen, "offline"), ({}, None)):
        await rows(database, "update agents set hours = %s, time_zone = 'UTC'", Jsonb(hours))
        agent = (await http.get("/v1/me", headers=ANN)).json()["agent"]
        assert agent["suggested_presence"] == suggested
        # Hours that go on and on end as little as none.
        assert (agent["shift_ends_at"] is None) == (hours != elsewhen)
