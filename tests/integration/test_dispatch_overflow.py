"""Overflow by queue conditions, its protection of valued customers, and the bound on everybody's wait."""

import asyncio
from datetime import timedelta

import pytest

from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.matching import Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from tests.integration.dispatch_ledger import (
    POOL,
    add_agent,
    add_pool,
    add_ticket,
    loads,
    offered,
    rows,
    set_setting,
)

NOBODY_KNOWN = SuccessLearner().model()
SKILLS = {"billing": 3, "orders": 3, "returns": 3, "accounts": 3}
RULE = {
    "name": "many wait",
    "pool": POOL,
    "waiting_over": 1,
    "to_generalists": True,
    "generalist_skills": 4,
    "lower_levels": 1,
    "to_pools": ["second"],
}


async def matched(database: Database, pool: str = POOL) -> Pass:
    return await match_pool(database, await take_lease(database, pool, "test"), NOBODY_KNOWN)


@pytest.fixture(autouse=True)
async def two_pools(database: Database) -> None:
    await add_pool(database, "second")
    await set_setting(database, "widening", [])


async def test_a_queue_over_its_limit_goes_to_generalists_first_and_then_to_the_next_pool(database: Database) -> None:
    await set_setting(database, "overflow", [RULE])
    await add_agent(database, "agt_generalist", skills=SKILLS, capacity=34)
    await add_agent(database, "agt_away", skills={"billing": 5}, pool="second", capacity=34)
    await add_ticket(database, "con_1", skills=[("billing", 4)], waited=timedelta(seconds=3))
    await matched(database)
    assert await offered(database) == {}
    await add_ticket(database, "con_2", skills=[("billing", 4)], waited=timedelta(seconds=2))
    await add_ticket(database, "con_3", skills=[("billing", 4)], waited=timedelta(seconds=1))
    await matched(database)
    assert set((await offered(database)).values()) == {"agt_generalist", "agt_away"}
    assert await rows(database, "select record ->> 'overflow' from routing_decisions") == [("many wait",)] * 2


async def test_one_case_of_an_overflowing_queue_prefers_the_generalist_at_home(database: Database) -> None:
    await set_setting(database, "overflow", [{**RULE, "waiting_over": 0}])
    await add_agent(database, "agt_away", skills={"billing": 5}, pool="second")
    await add_agent(database, "agt_generalist", skills=SKILLS)
    await add_ticket(database, "con_1", skills=[("billing", 4)])
    await matched(database)
    assert await offered(database) == {"con_1": "agt_generalist"}


async def test_a_queue_that_is_old_overflows_and_one_within_its_limits_does_not(database: Database) -> None:
    old = {"name": "old", "pool": POOL, "oldest_over_seconds": 30, "to_pools": ["second"]}
    await set_setting(database, "overflow", [old])
    await add_agent(database, "agt_away", pool="second", capacity=1000)
    await add_ticket(database, "con_1", waited=timedelta(seconds=20))
    done = await matched(database)
    assert await offered(database) == {}
    assert done.until_next_change is not None
    assert done.until_next_change <= timedelta(seconds=10)
    await add_ticket(database, "con_2", waited=timedelta(seconds=31))
    await matched(database)
    assert await offered(database) == {"con_1": "agt_away", "con_2": "agt_away"}


async def test_valued_customers_go_first_in_an_overflow_but_nobody_waits_past_the_bound(database: Database) -> None:
    """A gold customer comes every ten seconds, and one place frees up every ten seconds: somebody has to lose."""
    bound = timedelta(seconds=60)
    await set_setting(database, "overflow", [{**RULE, "waiting_over": 0, "protect_value_over": 1.3, "protection": 5}])
    await set_setting(database, "longest_wait_seconds", bound.total_seconds())
    await add_agent(database, "agt_1", capacity=34)
    await add_ticket(database, "con_standard")
    lease, queue = await take_lease(database, POOL, "test"), PoolQueue(POOL)
    order: list[str] = []
    for turn in range(10):
        await add_ticket(database, f"con_gold_{turn}", segment="gold")
        done = await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
        order += [made.conversation_id for made in done.offers]
        # Ten seconds go by, and the agent is done.
        await rows(database, "update queue_tickets set queued_at = queued_at - interval '10 s'")
        await rows(database, "update offers set state = 'accepted'")
        await rows(database, "update agents set load = 0")
    assert order[0] == "con_gold_0"
    served_at = order.index("con_standard")
    assert 0 < served_at <= bound / timedelta(seconds=10) + 1
    assert len(order) == len(set(order)) == 10


async def test_several_dispatchers_with_shared_agents_never_give_more_than_one_can_hold(database: Database) -> None:
    pools = [POOL, "second", "third", "fourth"]
    for pool in pools[2:]:
        await add_pool(database, pool)
    await set_setting(
        database,
        "overflow",
        [{"name": f"from {pool}", "pool": pool, "waiting_over": 3, "to_pools": pools} for pool in pools],
    )
    for number in range(12):
        home = pools[number % 4]
        await add_agent(database, f"agt_{number:02}", pool=home, capacity=68, also_pools=[pools[(number + 1) % 4]])
    for number in range(60):
        await add_ticket(database, f"con_{number:02}", pool=pools[number % 4], waited=timedelta(seconds=number))
    for _ in range(3):
        await asyncio.gather(*(matched(database, pool) for pool in pools))
    assert set((await loads(database)).values()) == {68}
    assert await rows(database, "select count(*), count(distinct conversation_id) from offers") == [(24, 24)]
    assert await rows(
        database,
        "select count(*) from (select agent_id from offers where state = 'pending' group by agent_id having"
        " sum(units) > 68) over_full",
    ) == [(0,)]
