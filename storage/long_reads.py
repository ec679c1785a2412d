"""Long answers, read so that nothing else of the process is held up meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from psycopg import AsyncCursor

_AT_ONCE: Final = 1_000

Row = TypeVar("Row")


async def pages(cursor: AsyncCursor[Row]) -> AsyncIterator[list[Row]]:
    """The rows of what was executed, a thousand at a time."""
    while page := await cursor.fetchmany(_AT_ONCE):
        yield page
        await asyncio.sleep(0)
