"""Who may be offered what: presence by channel, shifts, ceilings, interrupts, owners who are waited for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.errors import CheckViolation

from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.matching import Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from storage.violations import violations
from tests.integration.dispatch_ledger import (
    POOL,
    add_agent,
    add_assignment,
    add_conversation,
    add_ticket,
    loads,
    offered,
    rows,
    set_setting,
)

NOBODY_KNOWN = SuccessLearner().model()
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


async def matched(database: Database, queue: PoolQueue | None = None) -> Pass:
    return await match_pool(database, await take_lease(database, POOL, "test"), NOBODY_KNOWN, queue=queue)


async def busy(database: Database, agent: str, conversation: str, *, units: int, channel: str = "web_chat") -> None:
    await add_conversation(database, conversation)
    await rows(database, "update conversations set state = 'assigned' where id = %s", conversation)
    await add_assignment(database, conversation, agent, units=units, channel=channel)


async def test_an_agent_is_offered_the_channels_they_take_work_on(database: Database) -> None:
    await add_agent(database, "agt_1", channels=["email"])
    await add_ticket(database, "con_chat")
    await add_ticket(database, "con_mail", channel="email", units=15)
    await matched(database)
    assert await offered(database) == {"con_mail": "agt_1"}


async def test_nothing_new_is_offered_outside_an_agents_hours(database: Database) -> None:
    now = datetime.now(UTC)
    shut, day = {name: [] for name in DAYS}, DAYS[now.weekday()]
    other = DAYS[(now.weekday() + 3) % 7]
    await add_agent(database, "agt_off", hours={**shut, other: [["00:00", "24:00"]]}, time_zone="UTC")
    await add_ticket(database, "con_1")
    assert [one.exclusions[0].reason for one in (await matched(database)).unmatched] == ["shift_end"]
    everyday = {**shut, day: [["00:00", "24:00"]], DAYS[(now.weekday() + 1) % 7]: [["00:00", "24:00"]]}
    await add_agent(database, "agt_on", hours=everyday, time_zone="UTC")
    await matched(database)
    assert await offered(database) == {"con_1": "agt_on"}


async def test_a_woken_conversation_is_kept_for_its_owner_while_they_are_there(database: Database) -> None:
    soon = datetime.now(UTC) + 2 * MINUTE
    await add_agent(database, "agt_owner", load=100)
    await busy(database, "agt_owner", "con_other", units=100)
    await add_agent(database, "agt_free")
    await add_ticket(database, "con_1", owner="agt_owner", owner_until=soon)
    queue = PoolQueue(POOL)
    await matched(database, queue)
    assert await offered(database) == {}
    await rows(database, "update assignments set ended_at = now() where agent_id = 'agt_owner'")
    await rows(database, "update agents set load = 0 where id = 'agt_owner'")
    await matched(database, queue)
    assert await offered(database) == {"con_1": "agt_owner"}


@pytest.mark.parametrize("why", ["the grace is over", "the owner went away", "a breach is near"])
async def test_it_is_everybodys_once_the_owner_is_not_worth_waiting_for(database: Database, why: str) -> None:
    await add_agent(database, "agt_owner", load=100)
    await busy(database, "agt_owner", "con_other", units=100)
    await add_agent(database, "agt_free")
    await add_ticket(database, "con_1", owner="agt_owner", owner_until=datetime.now(UTC) + 2 * MINUTE, waited=HOUR)
    queue = PoolQueue(POOL)
    await matched(database, queue)
    assert await offered(database) == {}
    match why:
        case "the grace is over":
            await rows(database, "update queue_tickets set owner_until = now()")
        case "the owner went away":
            await rows(database, "update agents set presence = 'away' where id = 'agt_owner'")
        case _:
            await rows(database, "update queue_tickets set next_breach_at = now() + interval '10 seconds'")
    await matched(database, queue)
    assert await offered(database) == {"con_1": "agt_free"}


async def test_a_call_interrupts_only_where_the_house_lets_it(database: Database) -> None:
    await add_agent(database, "agt_1", load=68)
    await busy(database, "agt_1", "con_a", units=34)
    await busy(database, "agt_1", "con_b", units=34)
    await add_ticket(database, "con_call", channel="voice", units=100)
    await matched(database)
    assert await offered(database) == {}
    await set_setting(database, "interrupts", {"voice": True})
    await matched(database)
    assert await offered(database) == {"con_call": "agt_1"}
    assert await rows(database, "select units from offers") == [(32,)]
    assert await loads(database) == {"agt_1": 100}


async def test_a_call_interrupts_who_is_full_and_takes_nothing_from_them(database: Database) -> None:
    await set_setting(database, "interrupts", {"voice": True})
    await add_agent(database, "agt_1", capacity=34, load=34)
    await busy(database, "agt_1", "con_a", units=34)
    await add_ticket(database, "con_call", channel="voice", units=34)
    await matched(database)
    assert await rows(database, "select agent_id, units from offers") == [("agt_1", 0)]


async def test_a_call_goes_to_who_is_free_before_it_interrupts_anybody(database: Database) -> None:
    await set_setting(database, "interrupts", {"voice": True})
    await add_agent(database, "agt_busy", load=34)
    await busy(database, "agt_busy", "con_a", units=34)
    await add_agent(database, "agt_free")
    await add_ticket(database, "con_call", channel="voice", units=100)
    await matched(database)
    assert await offered(database) == {"con_call": "agt_free"}


async def test_who_is_on_a_call_is_neither_interrupted_again_nor_given_anything_else(database: Database) -> None:
    await set_setting(database, "interrupts", {"voice": True, "video": True})
    await add_agent(database, "agt_1", load=32)
    await busy(database, "agt_1", "con_call", units=32, channel="voice")
    await add_ticket(database, "con_video", channel="video", units=100)
    await add_ticket(database, "con_chat")
    await matched(database)
    assert await offered(database) == {}


async def test_one_agent_is_interrupted_by_one_call_of_many(database: Database) -> None:
    await set_setting(database, "interrupts", {"voice": True, "video": True})
    await add_agent(database, "agt_1", load=34)
    await busy(database, "agt_1", "con_a", units=34)
    for number in range(3):
        await add_ticket(database, f"con_{number}", channel="voice", units=100)
    await add_ticket(database, "con_video", channel="video", units=100)
    await matched(database)
    assert len(await offered(database)) == 1
    async with database.ledger.connection() as connection:
        assert [one for one in await violations(connection) if one.invariant == "S4"] == []


async def test_the_database_refuses_what_is_over_a_ceiling_whoever_asks(database: Database) -> None:
    await add_agent(database, "agt_1", capacity=1000, ceilings={"web_chat": 2})
    for number in range(8):
        await add_conversation(database, f"con_{number}")
    insert = (
        "insert into assignments (id, conversation_id, episode, agent_id, channel, units, how, full_history,"
        " started_at) values (%s, %s, 1, 'agt_1', 'web_chat', 34, 'claim', true, now())"
    )

    answers = await asyncio.gather(
        *(rows(database, insert, f"asg_{number}", f"con_{number}") for number in range(8)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, CheckViolation)]
    assert {one.diag.constraint_name for one in refused} == {"agents_channel_ceiling"}
    assert len(answers) - len(refused) == 2
