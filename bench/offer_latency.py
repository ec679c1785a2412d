"""How soon an agent who is free has the offer: from the acknowledgement of a message to its committed offer.

    python -m bench.offer_latency [--conversations 200]

The whole embedded stack as `baton up` runs it, otherwise idle: one new customer after the other writes one message.
"""

import argparse
import asyncio
import statistics
import time
from typing import Final
from uuid import uuid4

import httpx
import psycopg

from bench.whole_stack import whole_stack
from workers.embedded.stack import StackInfo

WARM_UP: Final = 10
LOOK_EVERY: Final = 0.001
AGENT: Final = """
insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit, channel_ceilings,
    preferences, presence, presence_since, active, created_at, updated_at)
values ('agt_bench', 'Ann', 'default', 'human', '{"billing": 5, "refunds": 5, "triage": 5}', '[]', 1000000, 0, 1000000,
    '{}', '{}', 'online', now(), true, now(), now())
"""
OFFERED: Final = "select from offers where conversation_id = %s"


async def measured(info: StackInfo, conversations: int) -> list[float]:
    """Milliseconds from each acknowledgement to its offer."""
    waits: list[float] = []
    headers = {"Authorization": f"Bearer {info.keys.adapter}"}
    async with (
        httpx.AsyncClient(base_url=info.api_url, headers=headers, trust_env=False) as http,
        await psycopg.AsyncConnection.connect(info.postgres_url, autocommit=True) as ledger,
    ):
        await ledger.execute(AGENT)
        for number in range(WARM_UP + conversations):
            answer = await http.post("/v1/messages", json=message(number))
            acknowledged = time.perf_counter()
            conversation = answer.raise_for_status().json()["conversation_id"]
            while (await ledger.execute(OFFERED, (conversation,))).rowcount == 0:  # noqa: ASYNC110 -- another process commits it
                await asyncio.sleep(LOOK_EVERY)
            waits.append((time.perf_counter() - acknowledged) * 1000)
            await asyncio.sleep(0.05)
    return waits[WARM_UP:]


def message(number: int) -> dict[str, object]:
    return {
        "channel": "sms",
        "account": "bench",
        "provider_message_id": uuid4().hex,
        "from": {"address": f"+4930{number:08}", "verified": True},
        "text": "I was charged twice for my invoice, please refund me",
        "sent_at": "2026-03-02T09:30:00Z",
    }


async def run(conversations: int) -> None:
    async with whole_stack() as stack:
        waits = await measured(stack.info, conversations)
    cuts = statistics.quantiles(waits, n=100)
    print(
        f"acknowledgement to offer, {len(waits)} conversations, otherwise idle: p50 {cuts[49]:.0f} ms (aim at most"
        f" 100), p99 {cuts[98]:.0f} ms (aim at most 400), most {max(waits):.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=200)
    asyncio.run(run(parser.parse_args().conversations))
