"""What a worker's memory holds for every open conversation.

    python -m bench.open_conversations [--conversations 5000]

The whole embedded stack; no agent is there, so all conversations wait, open, in the worker's cache.
"""

import argparse
import asyncio
import time
from typing import Final

import httpx
import psutil
import psycopg

from bench.offer_latency import message
from bench.whole_stack import whole_stack
from workers.embedded.stack import StackInfo

AT_ONCE: Final = 8
WARM_UP: Final = 50


async def opened(info: StackInfo, numbers: range) -> None:
    """One conversation a customer; return when all of them wait."""
    headers = {"Authorization": f"Bearer {info.keys.adapter}"}
    left = iter(numbers)
    async with httpx.AsyncClient(base_url=info.api_url, headers=headers, trust_env=False, timeout=30) as http:

        async def one() -> None:
            for number in left:
                (await http.post("/v1/messages", json=message(number))).raise_for_status()

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    async with await psycopg.AsyncConnection.connect(info.postgres_url, autocommit=True) as ledger:
        while True:
            row = await (await ledger.execute("select count(*) from conversations where state = 'queued'")).fetchone()
            if row is not None and row[0] >= numbers.stop:
                return
            await asyncio.sleep(0.2)


async def run(conversations: int) -> None:
    async with whole_stack() as stack:
        worker = psutil.Process(stack.info.pids["worker"])
        await opened(stack.info, range(WARM_UP))
        before, cpu = worker.memory_info().rss, worker.cpu_times()
        began = time.perf_counter()
        await opened(stack.info, range(WARM_UP, WARM_UP + conversations))
        seconds = time.perf_counter() - began
        after, cpu_after = worker.memory_info().rss, worker.cpu_times()
    used = cpu_after.user + cpu_after.system - cpu.user - cpu.system
    print(
        f"{conversations} open conversations: worker {after / 2**20:.0f} MB, {before / 2**20:.0f} MB with {WARM_UP};"
        f" {(after - before) / conversations / 2**10:.0f} KB each; opened in {seconds:.0f} s,"
        f" {used * 1000 / conversations:.0f} CPU-ms of the worker each"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=5000)
    asyncio.run(run(parser.parse_args().conversations))
