"""The migrate role: the ledger's schema, and the search attributes of an external Temporal."""

import asyncio

from storage.migrate import migrate
from workers.settings import ProcessSettings
from workers.temporal_connection import connect
from workflows.search_attributes import register


def run_migration(settings: ProcessSettings) -> None:
    """Upgrade both; whatever is already there stays as it is."""
    migrate(settings.postgres_url, settings.bootstrap_keys)
    asyncio.run(_register(settings))


async def _register(settings: ProcessSettings) -> None:
    await register(await connect(settings), settings.temporal_namespace)
