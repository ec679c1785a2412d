"""A ledger of its own for benches that need no Temporal."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.migrate import migrate
from workers.embedded.alone import postgres_alone
from workers.embedded.stack import log_to_stderr


@asynccontextmanager
async def empty_ledger(keys: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """The address of a migrated database, with `keys` by role; gone afterwards."""
    log_to_stderr()
    # The server may still write a last file while it ends.
    with TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as folder:
        async with postgres_alone(Path(folder)) as (server, _):
            await asyncio.to_thread(migrate, server.url(), keys or {})
            yield server.url()
