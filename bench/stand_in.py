"""How long a customer waits for a free agent while dispatchers are killed: two of them run, one or the other dies.

    python -m bench.stand_in [--kills 12] [--per-second 5]

The whole embedded stack and a second dispatcher beside it. An agent always has room, and new customers write all the
time. A trigger notes when each conversation enters the queue and when its offer is committed. One of the two
dispatchers, in turns, is killed with -9, five seconds after both are ready. Aim: nobody waits longer than a second.
"""

import argparse
import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import httpx
import numpy as np
import psutil
import psycopg

from bench.offer_latency import AGENT, message
from bench.whole_stack import whole_stack
from workers.embedded.stack import EmbeddedStack
from workers.roles import role_argv

SETTLED = 5.0
WATCH = """
create table seen (conversation_id text, what text, at timestamptz default clock_timestamp());
create function note_seen() returns trigger language plpgsql as $$ begin
    insert into seen (conversation_id, what) values (new.conversation_id, tg_argv[0]);
    return null;
end $$;
create trigger note_ticket after insert on queue_tickets for each row execute function note_seen('queued');
create trigger note_offer after insert on offers for each row execute function note_seen('offered');
"""
WAITS = """
select extract(epoch from min(o.at) - min(q.at))::float8
from seen q left join seen o on o.conversation_id = q.conversation_id and o.what = 'offered'
where q.what = 'queued' group by q.conversation_id
"""
TWICE = "select count(*) - count(distinct conversation_id) from offers"


class Second:
    """A dispatcher with the same surroundings as the stack's own."""

    def __init__(self, stack: EmbeddedStack) -> None:
        surroundings = psutil.Process(stack.info.pids["dispatcher"]).environ()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._env = {**surroundings, "BATON_HEALTH_PORT": str(self._port)}
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(role_argv("dispatcher"), env=self._env, stderr=subprocess.DEVNULL)  # noqa: S603 -- ours

    def start_again(self) -> None:
        self.kill()
        self._process = self._started()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def wait_ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
            while True:
                try:
                    await http.get(f"http://127.0.0.1:{self._port}/healthz")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)


@contextmanager
def second_dispatcher(stack: EmbeddedStack) -> Iterator[Second]:
    second = Second(stack)
    try:
        yield second
    finally:
        second.kill()


async def run(kills: int, per_second: float) -> None:
    async with (
        whole_stack() as stack,
        await psycopg.AsyncConnection.connect(stack.info.postgres_url, autocommit=True) as ledger,
    ):
        await ledger.execute(WATCH)
        await ledger.execute(AGENT)
        await accept_by_itself(stack)
        with second_dispatcher(stack) as second:
            writing = asyncio.create_task(write(stack, per_second))
            for number in range(kills):
                await second.wait_ready()
                await stack.wait_ready("dispatcher")
                await asyncio.sleep(SETTLED)
                if number % 2:
                    second.start_again()
                else:
                    await stack.kill("dispatcher")
            await asyncio.sleep(SETTLED)
            writing.cancel()
            await asyncio.sleep(SETTLED)
        waits = [row[0] for row in await (await ledger.execute(WAITS)).fetchall()]
        twice = await (await ledger.execute(TWICE)).fetchone()
    if None in waits:
        raise RuntimeError(f"{waits.count(None)} conversations were never offered")
    middle, high = np.percentile(waits, [50, 99]) * 1000
    print(
        f"{kills} kills, {len(waits)} conversations: from the queue to the offer p50 {middle:.0f} ms, p99"
        f" {high:.0f} ms, most {max(waits) * 1000:.0f} ms (aim 1000); offered twice: {twice[0] if twice else '?'}"
    )


async def accept_by_itself(stack: EmbeddedStack) -> None:
    """An agent who lets offers pass is soon asked no more."""
    headers = {"Authorization": f"Bearer {stack.info.keys.admin}"}
    async with httpx.AsyncClient(base_url=stack.info.api_url, headers=headers, trust_env=False) as http:
        (await http.patch("/v1/settings", json={"auto_accept": {"sms": True}})).raise_for_status()


async def write(stack: EmbeddedStack, per_second: float) -> None:
    headers = {"Authorization": f"Bearer {stack.info.keys.adapter}"}
    async with httpx.AsyncClient(base_url=stack.info.api_url, headers=headers, trust_env=False) as http:
        for number in count():
            (await http.post("/v1/messages", json=message(number))).raise_for_status()
            await asyncio.sleep(1 / per_second)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--per-second", type=float, default=5.0)
    asked = parser.parse_args()
    asyncio.run(run(asked.kills, asked.per_second))
