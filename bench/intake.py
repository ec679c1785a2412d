"""How many inbound messages a second are acknowledged, beside a bare endpoint that inserts a row and answers.

    python -m bench.intake [--seconds 5] [--rounds 3] [--connections 16] [--customers 500]

One embedded PostgreSQL with its usual durability, each endpoint in one uvicorn process, the load in this one. The
rounds alternate, so that all meet the same machine. New customers: every message is from a sender nobody knows.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Final

import psycopg
import uvicorn
from fastapi import Body, FastAPI
from psycopg_pool import AsyncConnectionPool
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from bench.empty_ledger import empty_ledger
from storage.database import Database

KEY: Final = "bt_adapter_" + "b" * 43
SECRET: Final = b"a secret of the bench, 32 bytes."
POOL: Final = 10
TEXT: Final = "My parcel was said to come on Monday and the tracking page still shows nothing. What can I do?"

numbers = count()


async def no_temporal() -> Client:
    raise ConnectionError("the bench has no Temporal: an acknowledgement does not wait for it")


def baton(url: str) -> FastAPI:
    database = Database(url, pool_size=POOL)
    app = create_app(
        ApiContext(database, no_temporal, SECRET, ApiOptions(requests_per_second=1e6, request_burst=10**6))
    )
    app.router.on_startup.append(database.open)
    app.router.on_shutdown.append(database.close)
    return app


def bare(url: str) -> FastAPI:
    """The least that can be called taking a message: read the JSON, insert it, commit, answer."""
    app = FastAPI()
    pool = AsyncConnectionPool(url, min_size=POOL, max_size=POOL, open=False)
    app.router.on_startup.append(pool.open)
    app.router.on_shutdown.append(pool.close)

    @app.post("/v1/messages", status_code=202)
    async def insert(message: Annotated[dict[str, object], Body()]) -> dict[str, int]:
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "insert into bare (channel, account, provider_message_id, sender, text) values (%s, %s, %s, %s, %s)"
                " returning id",
                (
                    message["channel"],
                    message["account"],
                    message["provider_message_id"],
                    json.dumps(message["from"]),
                    message["text"],
                ),
            )
            row = await cursor.fetchone()
        return {"id": row[0] if row else 0}

    return app


@dataclass(frozen=True, slots=True)
class Figure:
    per_second: float
    p50_ms: float
    p99_ms: float


async def load(port: int, seconds: float, connections: int, body: Callable[[], bytes]) -> Figure:
    """Closed-loop load over kept-alive connections, written by hand so that the loader costs little."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            content = body()
            began = time.perf_counter()
            writer.write(
                b"POST /v1/messages HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer "
                + KEY.encode()
                + b"\r\ncontent-length: "
                + str(len(content)).encode()
                + b"\r\n\r\n"
                + content
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if b" 202 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(answer.decode())
            latencies.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    taken = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return Figure(len(latencies) / taken, cuts[49] * 1e3, cuts[98] * 1e3)


def message(sender: int) -> bytes:
    return json.dumps(
        {
            "channel": "sms",
            "account": "bench",
            "provider_message_id": f"SM{next(numbers):010}",
            "from": {"address": f"+4930{sender:08}"},
            "text": TEXT,
            "sent_at": "2026-03-02T09:30:00Z",
        }
    ).encode()


@asynccontextmanager
async def serving(kind: str, url: str) -> AsyncIterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(  # noqa: ASYNC220, S603 -- this very program, before anything is measured
        [sys.executable, "-m", "bench.intake", "--serve", kind, "--port", str(port)],
        env={**os.environ, "BENCH_POSTGRES_URL": url},
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


async def measure(seconds: float, rounds: int, connections: int, customers: int) -> dict[str, list[Figure]]:
    figures: dict[str, list[Figure]] = {"bare": [], "baton": [], "baton, new customers": []}
    newcomers = count(50_000_000)
    known = count()
    async with empty_ledger({"adapter": KEY}) as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                "create table bare (id bigint generated always as identity primary key, channel text, account text,"
                " provider_message_id text, sender jsonb, text text, at timestamptz default now(),"
                " unique (channel, account, provider_message_id))"
            )
        async with serving("bare", url) as bare_port, serving("baton", url) as port:
            for sender in range(customers):
                await load_one(port, message(sender))
            await load(bare_port, 1, connections, lambda: message(0))
            for _ in range(rounds):
                bodies: dict[str, tuple[int, Callable[[], bytes]]] = {
                    "bare": (bare_port, lambda: message(next(known) % customers)),
                    "baton": (port, lambda: message(next(known) % customers)),
                    "baton, new customers": (port, lambda: message(next(newcomers))),
                }
                for name, (where, body) in bodies.items():
                    figures[name].append(await load(where, seconds, connections, body))
    return figures


async def load_one(port: int, content: bytes) -> None:
    sent = iter([content])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer "
        + KEY.encode()
        + b"\r\ncontent-length: "
        + str(len(content)).encode()
        + b"\r\n\r\n"
        + next(sent)
    )
    answer = await reader.read()
    writer.close()
    if b" 202 " not in answer.partition(b"\r\n")[0]:
        raise RuntimeError(answer.decode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Acknowledged messages a second.")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--serve", choices=["bare", "baton"])
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    if given.serve is not None:
        made = (bare if given.serve == "bare" else baton)(os.environ["BENCH_POSTGRES_URL"])
        uvicorn.run(made, host="127.0.0.1", port=given.port, log_level="warning", access_log=False)
        return
    figures = asyncio.run(measure(given.seconds, given.rounds, given.connections, given.customers))
    base = statistics.median(figure.per_second for figure in figures["bare"])
    print(f"{'endpoint':<24}{'msg/s':>10}{'of bare':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for name, rounds in figures.items():
        rate = statistics.median(figure.per_second for figure in rounds)
        p50 = statistics.median(figure.p50_ms for figure in rounds)
        p99 = statistics.median(figure.p99_ms for figure in rounds)
        print(f"{name:<24}{rate:>10.0f}{rate / base:>10.2f}{p50:>10.1f}{p99:>10.1f}")


if __name__ == "__main__":
    main()
