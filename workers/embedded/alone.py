"""A supervised PostgreSQL, or a supervised Temporal, alone in a data directory, without the rest of the stack."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from workers.embedded.directory import DataDirectory
from workers.embedded.postgres import PostgresServer
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import TemporalServer


@asynccontextmanager
async def postgres_alone(data: Path) -> AsyncIterator[tuple[PostgresServer, Supervisor]]:
    directory = DataDirectory(data)
    supervisor = Supervisor(directory)
    try:
        ports = await supervisor.open()
        server = PostgresServer(directory, ports.port("postgres"))
        await asyncio.to_thread(server.prepare)
        await supervisor.start([server.child()])
        yield server, supervisor
    finally:
        await supervisor.stop()


@asynccontextmanager
async def temporal_alone(
    data: Path, search_attributes: Mapping[str, str], dynamic_config: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[TemporalServer, Supervisor]]:
    directory = DataDirectory(data)
    supervisor = Supervisor(directory)
    try:
        ports = await supervisor.open()
        server = TemporalServer(
            directory, ports, search_attributes=search_attributes, dynamic_config=dynamic_config, quick_stop=True
        )
        await supervisor.start([server.child()])
        await server.register_search_attributes()
        yield server, supervisor
    finally:
        await supervisor.stop()
