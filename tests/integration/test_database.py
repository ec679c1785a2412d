import asyncio

import psycopg

from storage.database import Database


async def test_connections_that_the_server_ended_are_replaced_before_anybody_gets_one(
    database: Database, database_url: str
) -> None:
    async def backends(count: int) -> set[int]:
        """So many connections held at once, each one's server process."""
        together = asyncio.Barrier(count)

        async def one() -> int:
            async with database.ledger.connection() as connection:
                row = await (await connection.execute("select pg_backend_pid()")).fetchone()
                await together.wait()
            assert row is not None
            return int(row[0])

        return set(await asyncio.gather(*(one() for _ in range(count))))

    before = await backends(5)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(pid, 5000) from unnest(%s::int[]) as pid", (list(before),))
    after = await backends(10)
    assert not before & after
