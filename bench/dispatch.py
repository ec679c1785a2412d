"""What a pass of the dispatcher costs on a real database, and whether it is right: `python -m bench.dispatch`.

It fills the queue and matches it, frees single places, lets a burst
come in, lets agents leave and come while two pools reach for them, and counts what must never be: a conversation
offered twice, an agent with more than they can hold.
"""

import argparse
import asyncio
import os
import resource
import statistics
import time
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench.empty_ledger import empty_ledger
from domain.routing.success import SuccessLearner
from storage.database import Database, LedgerConnection
from storage.ledger.matching import Lease, Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from storage.ledger.roster import AgentReader

POOL = "default"
MODEL = SuccessLearner().model()

_AGENTS = """
insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit, channel_ceilings,
    preferences, time_zone, hours, presence, presence_since, active, created_at, updated_at)
select 'agt_' || n, 'Alex', %s, 'human', jsonb_build_object('skill_' || n %% 8, 3, 'skill_' || (n + 3) %% 8, 5),
    '["en"]', 102, 0, 102, '{}', '{}', 'UTC',
    (select jsonb_object_agg(day, '[["00:00", "24:00"]]'::jsonb)
     from unnest(array['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']) as day),
    'online', now(), true, now(), now()
from generate_series(1, %s) as n
"""
_CUSTOMERS = """
insert into customers (id, display_name, segment, languages, preferred_channels, attributes, created_at, updated_at)
select 'cus_' || n, 'Mia', 'standard', '[]', '[]', '{}', now(), now() from generate_series(%s::int, %s::int) as n
"""
_CONVERSATIONS = """
insert into conversations (id, customer_id, merge_scope, state, step, episode, priority, pool, channels, opened_at,
    updated_at)
select 'con_' || n, 'cus_' || n, 'default', 'queued', 1, 1, 3, %s, '["web_chat"]', now(), now()
from generate_series(%s::int, %s::int) as n
"""
_TICKETS = """
insert into queue_tickets (conversation_id, ticket, pool, episode, queued_at, entered_at, channel, units, priority,
    urgent, segment, intent, languages, required_skills, excluded, offer_seconds, auto_accept)
select 'con_' || n, 1, %s, 1, now() - n * interval '10 ms', now(), 'web_chat', 34, 1 + n %% 5, false, 'standard',
    'intent_' || n %% 12, '["en"]', jsonb_build_array(jsonb_build_array('skill_' || n %% 8, 2)), '[]', 30, false
from generate_series(%s::int, %s::int) as n
"""
_GIVE_BACK = "update agents set load = load - 34 where id = 'agt_' || %s::int"
_MOVE = "update queue_tickets set pool = 'second' where conversation_id like '%3'"
_SHARE = "update agents set also_pools = '[\"second\"]'"
_LEAVE = "update agents set presence = case when random() < 0.3 then 'offline' else 'online' end"
_DONE = "update agents set load = 0 where random() < 0.3"
_WRONG = """
select (select count(*) - count(distinct conversation_id) from offers),
       (select count(*) from agents where load > capacity),
       (select count(*) from offers join queue_tickets using (conversation_id))
"""


async def fill(connection: LedgerConnection, agents: int, waiting: int) -> None:
    await connection.execute(_AGENTS.encode(), (POOL, agents))
    await add_waiting(connection, 1, waiting)
    await connection.execute(b"analyze queue_tickets, agents, offers, conversations, customers")


async def add_waiting(connection: LedgerConnection, first: int, last: int) -> None:
    await connection.execute(_CUSTOMERS.encode(), (first, last))
    await connection.execute(_CONVERSATIONS.encode(), (POOL, first, last))
    await connection.execute(_TICKETS.encode(), (POOL, first, last))


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds by the clock, and of this process's processor time: sturdier where others work on the machine."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} ms ({self.cpu:.1f} ms of processor time here)"


class Dispatcher:
    """One pool's dispatcher, with what it keeps from pass to pass."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._queue = PoolQueue(lease.pool)
        self._agents = AgentReader()

    async def look(self) -> tuple[Pass, "Spent"]:
        began, cpu_began = time.perf_counter(), time.process_time()
        done = await match_pool(self._database, self._lease, MODEL, queue=self._queue, agents=self._agents)
        return done, Spent(_ms(time.perf_counter() - began), _ms(time.process_time() - cpu_began))


async def measure(url: str, agents: int, waiting: int, freed: int, rounds: int) -> None:
    database = Database(url)
    await database.open()
    await run(database, b"insert into pools (name, description) values ('second', '') on conflict do nothing")
    async with database.ledger.connection() as connection:
        await fill(connection, agents, waiting)
    first = Dispatcher(database, await take_lease(database, POOL, "bench"))
    done, spent = await first.look()
    print(f"{waiting} waiting, {agents} agents, nothing known before: {len(done.offers)} offers in {spent}")
    _, spent = await first.look()
    print(f"nobody free: {spent}")
    taken = []
    for number in range(1, freed + 1):
        await run(database, _GIVE_BACK.encode(), number)
        done, spent = await first.look()
        taken.append(spent)
        assert len(done.offers) == 1
    middle = Spent(statistics.median(one.wall for one in taken), statistics.median(one.cpu for one in taken))
    print(f"one place freed: median {middle}, most {max(one.wall for one in taken):.1f} ms, over {freed}")
    async with database.ledger.connection() as connection:
        await add_waiting(connection, waiting + 1, waiting + 1_000)
    await run(database, _GIVE_BACK.encode(), 1)
    done, spent = await first.look()
    print(f"a burst of 1,000 and one place freed: {len(done.offers)} offers in {spent}")
    await coming_and_going(database, first, rounds)
    print(f"memory of this process at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    await database.close()


async def coming_and_going(database: Database, first: Dispatcher, rounds: int) -> None:
    """Two pools share all agents, who leave, come and get done: what must never be is counted after each round."""
    await run(database, _MOVE.encode())
    await run(database, _SHARE.encode())
    second = Dispatcher(database, await take_lease(database, "second", "bench"))
    offers = 0
    for _ in range(rounds):
        await run(database, _LEAVE.encode())
        await run(database, _DONE.encode())
        passes = await asyncio.gather(first.look(), second.look())
        offers += sum(len(done.offers) for done, _ in passes)
        async with database.ledger.connection() as connection:
            wrong = await (await connection.execute(_WRONG.encode())).fetchone()
        assert wrong == (0, 0, 0), f"twice offered, over capacity, offered and waiting: {wrong}"
    print(f"two pools, shared agents, {rounds} rounds of coming and going: {offers} offers, none twice, nobody over")


async def run(database: Database, statement: bytes, *values: int) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute(statement, values or None)


def _ms(seconds: float) -> float:
    return seconds * 1000


async def on_a_ledger_of_its_own(agents: int, waiting: int, freed: int, rounds: int) -> None:
    async with empty_ledger() as url:
        await measure(url, agents, waiting, freed, rounds)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--agents", type=int, default=1_000)
    arguments.add_argument("--waiting", type=int, default=10_000)
    arguments.add_argument("--freed", type=int, default=30)
    arguments.add_argument("--rounds", type=int, default=10)
    given = arguments.parse_args()
    asyncio.run(on_a_ledger_of_its_own(given.agents, given.waiting, given.freed, given.rounds))


if __name__ == "__main__":
    main()
