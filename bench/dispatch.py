"""What a pass of the dispatcher costs on a real database: `python bench/dispatch.py postgresql://… --waiting 5000`.

Needs a migrated database that nobody else uses: it fills the queue, matches, and gives one agent's units back.
"""

import argparse
import asyncio
import os
import statistics
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from domain.routing.success import SuccessLearner
from storage.database import Database, LedgerConnection
from storage.ledger.matching import match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue

POOL = "default"
MODEL = SuccessLearner().model()

_EMPTY = "truncate signals, routing_decisions, offers, queue_tickets, conversations, customers, agents cascade"
_AGENTS = """
insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit, channel_ceilings,
    preferences, presence, presence_since, active, created_at, updated_at)
select 'agt_' || n, 'Alex', %s, 'human', jsonb_build_object('skill_' || n %% 8, 3, 'skill_' || (n + 3) %% 8, 5),
    '["en"]', 102, 0, 102, '{}', '{}', 'online', now(), true, now(), now()
from generate_series(1, %s) as n
"""
_CUSTOMERS = """
insert into customers (id, display_name, segment, languages, preferred_channels, attributes, created_at, updated_at)
select 'cus_' || n, 'Mia', 'standard', '[]', '[]', '{}', now(), now() from generate_series(1, %s) as n
"""
_CONVERSATIONS = """
insert into conversations (id, customer_id, merge_scope, state, step, episode, priority, pool, channels, opened_at,
    updated_at)
select 'con_' || n, 'cus_' || n, 'default', 'queued', 1, 1, 3, %s, '["web_chat"]', now(), now()
from generate_series(1, %s) as n
"""
_TICKETS = """
insert into queue_tickets (conversation_id, ticket, pool, episode, queued_at, entered_at, channel, units, priority,
    urgent, segment, intent, languages, required_skills, excluded, offer_seconds, auto_accept)
select 'con_' || n, 1, %s, 1, now() - n * interval '10 ms', now(), 'web_chat', 34, 1 + n %% 5, false, 'standard',
    'intent_' || n %% 12, '["en"]', jsonb_build_array(jsonb_build_array('skill_' || n %% 8, 2)), '[]', 30, false
from generate_series(1, %s) as n
"""
_GIVE_BACK = "update agents set load = load - 34 where id = 'agt_' || %s::int"


async def fill(connection: LedgerConnection, agents: int, waiting: int) -> None:
    await connection.execute(_EMPTY.encode())
    await connection.execute(_AGENTS.encode(), (POOL, agents))
    await connection.execute(_CUSTOMERS.encode(), (waiting,))
    await connection.execute(_CONVERSATIONS.encode(), (POOL, waiting))
    await connection.execute(_TICKETS.encode(), (POOL, waiting))
    await connection.execute(b"analyze queue_tickets, agents, offers, conversations")


async def measure(url: str, agents: int, waiting: int, freed: int) -> None:
    database = Database(url)
    await database.open()
    async with database.ledger.connection() as connection:
        await fill(connection, agents, waiting)
    queue = PoolQueue(POOL)
    lease = await take_lease(database, POOL, "bench")
    began = time.perf_counter()
    first = await match_pool(database, lease, MODEL, queue=queue)
    print(f"{waiting} waiting, {agents} agents: {len(first.offers)} offers in {_ms(began):.0f} ms")
    began = time.perf_counter()
    await match_pool(database, lease, MODEL, queue=queue)
    print(f"nobody free: {_ms(began):.1f} ms")
    taken = []
    for number in range(1, freed + 1):
        async with database.ledger.connection() as connection:
            await connection.execute(_GIVE_BACK.encode(), (number,))
        began = time.perf_counter()
        done = await match_pool(database, lease, MODEL, queue=queue)
        taken.append(_ms(began))
        assert len(done.offers) == 1
    print(f"one place freed: median {statistics.median(taken):.1f} ms, most {max(taken):.1f} ms over {freed}")
    await database.close()


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--agents", type=int, default=200)
    arguments.add_argument("--waiting", type=int, default=5_000)
    arguments.add_argument("--freed", type=int, default=30)
    given = arguments.parse_args()
    asyncio.run(measure(given.url, given.agents, given.waiting, given.freed))


if __name__ == "__main__":
    main()
