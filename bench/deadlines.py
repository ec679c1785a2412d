"""How late a broken promise is noticed: 2,000 conversations are open, some of their deadlines fall due every second.

    python -m bench.deadlines [--open 2000] [--due 200] [--per-second 5]

The whole embedded stack runs as `baton up` starts it. A trigger of the bench notes when each breach is written; its
lateness is that instant less the one that was due. Three rounds: undisturbed, with the worker killed in the middle, and
with the Temporal server killed in the middle. What fell due while something was away counts from when that was ready
again. Aims: the 99th percentile at most 1 s undisturbed, and at most 2 s after a recovery.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
from psycopg.types.json import Jsonb

from bench.whole_stack import whole_stack
from channels.addresses import normal_address
from domain.channels import Channel
from storage.database import Database
from storage.ids import new_id
from storage.ledger.intake_message import Intake
from storage.ledger.intakes import Intakes
from workers.embedded.stack import EmbeddedStack

VICTIMS = ("worker", "temporal")
ASK = "I was charged twice for my invoice, please refund me"
AT_ONCE = 16
SETTLED = timedelta(minutes=10)
JUST_BEFORE = timedelta(seconds=2)
"""What fell due so shortly before a kill may not have been written by then."""
WATCH = """
create table breach_seen (
    conversation_id text primary key, due timestamptz, seen timestamptz default clock_timestamp()
);
create function note_breach() returns trigger language plpgsql as $$ begin
    insert into breach_seen (conversation_id, due) values (new.conversation_id, new.at);
    return null;
end $$;
create trigger note_breach after insert on events
    for each row when (new.kind = 'sla_breached') execute function note_breach();
"""


@dataclass
class Bench:
    stack: EmbeddedStack
    database: Database
    intakes: Intakes

    async def sql(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        async with self.database.ledger.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def opened(self, channel: Channel) -> str:
        taken = await self.intakes.take_in(
            Intake(
                channel=channel,
                account="bench",
                provider_message_id=uuid4().hex,
                sender=normal_address(Channel.EMAIL, f"{uuid4().hex}@customers.example"),
                verified=True,
                sent_at=datetime.now(UTC),
                text=ASK,
                thread_key=uuid4().hex,
            )
        )
        return taken.conversation_id

    async def promise(self, name: str, channel: Channel, seconds: float) -> None:
        await self.sql(
            "insert into sla_policies (id, name, version, applies_to, targets, warn_fraction, pause_on, ladder, rank,"
            " active, updated_at) values (%s, %s, 1, %s, %s, 0.8, '[]', '[]', 0, true, now())",
            new_id("sla"),
            name,
            Jsonb({"channels": [channel.value]}),
            Jsonb({"first_response_seconds": seconds}),
        )


async def run(opened: int, due: int, per_second: float) -> None:
    async with whole_stack() as stack:
        database = Database(stack.info.postgres_url, pool_size=AT_ONCE)
        await database.open()
        bench = Bench(stack, database, Intakes(database))
        await bench.sql(WATCH)
        target = timedelta(seconds=due / per_second + 20)
        await bench.promise("a quiet day", Channel.WEB_CHAT, timedelta(days=1).total_seconds())
        await bench.promise("soon", Channel.SMS, target.total_seconds())
        await fill(bench, opened - due)
        print(f"{'round':<26} {'breaches':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst ms':>9} {'away s':>7}")
        for victim in (None, *VICTIMS):
            name = "undisturbed" if victim is None else f"{victim} killed"
            report(name, *await measured(bench, due, per_second, target, victim))
        await database.close()


async def fill(bench: Bench, count: int) -> None:
    """Open the conversations that only have to be there."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            await bench.opened(Channel.WEB_CHAT)

    await asyncio.gather(*(one() for _ in range(count)))
    async with asyncio.timeout(SETTLED.total_seconds()):
        while await bench.sql("select 1 from conversations where state = 'new' limit 1"):  # noqa: ASYNC110 -- elsewhere
            await asyncio.sleep(0.5)


async def measured(
    bench: Bench, due: int, per_second: float, target: timedelta, victim: str | None
) -> tuple[Sequence[float], float]:
    """Seconds of lateness of each breach of a round, and how long the killed process was away."""
    chosen = []
    for number in range(due):
        began = time.monotonic()
        chosen.append(await bench.opened(Channel.SMS))
        if number < due - 1:
            await asyncio.sleep(max(0.0, 1 / per_second - (time.monotonic() - began)))
    away_from = away_until = datetime.now(UTC)
    if victim is not None:
        [(first,)] = await bench.sql("select min(at) from messages where conversation_id = any(%s)", chosen)
        assert isinstance(first, datetime)
        middle = first + target + timedelta(seconds=due / per_second / 2)
        await asyncio.sleep(max(0.0, (middle - datetime.now(UTC)).total_seconds()))
        away_from = datetime.now(UTC)
        await bench.stack.kill(victim)
        await bench.stack.wait_ready(victim, deadline=timedelta(minutes=2))
        away_until = datetime.now(UTC)
    seen_so_far = "select due, seen from breach_seen where conversation_id = any(%s)"
    async with asyncio.timeout((target + SETTLED).total_seconds()):
        while len(rows := await bench.sql(seen_so_far, chosen)) < due:  # noqa: ASYNC110 -- the worker is elsewhere
            await asyncio.sleep(0.5)
    late = []
    for owed, seen in rows:
        assert isinstance(owed, datetime)
        assert isinstance(seen, datetime)
        while_away = away_from - JUST_BEFORE <= owed < away_until and victim is not None
        since = away_until if while_away else owed
        late.append(max(0.0, (seen - since).total_seconds()))
    return late, (away_until - away_from).total_seconds()


def report(name: str, late: Sequence[float], away: float) -> None:
    middle, high = np.percentile(late, [50, 99]) * 1000
    print(f"{name:<26} {len(late):>8} {middle:>8.0f} {high:>8.0f} {max(late) * 1000:>9.0f} {away:>7.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=int, default=2000)
    parser.add_argument("--due", type=int, default=200)
    parser.add_argument("--per-second", type=float, default=5.0)
    asked = parser.parse_args()
    asyncio.run(run(asked.open, asked.due, asked.per_second))
