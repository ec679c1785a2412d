"""The API process: uvicorn around the app, with a Temporal client that connects when it is first needed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from api.presence_watch import PresenceWatch
from intelligence.model_store import ModelRefused, ModelStore
from intelligence.triage import MessageTriage
from storage.database import Database
from workers.garbage import leave_what_is_loaded
from workers.settings import ProcessSettings
from workers.temporal_connection import connect

_CONNECTIONS = 30
_GRACE_SECONDS = 5


class _Server(uvicorn.Server):
    """Leaves the signals to the command line, which stops every role the same way."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run_api(settings: ProcessSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; live streams are given a few seconds to end."""
    database = Database(settings.postgres_url, pool_size=_CONNECTIONS)
    await database.open()
    client = await connect(settings, lazy=True)

    async def temporal() -> Client:
        return client

    triage = MessageTriage(ModelStore(Path(settings.model_directory)))

    async def intent_of(text: str) -> str | None:
        try:
            return (await asyncio.to_thread(triage.triage, text)).intent.intent
        except ModelRefused:
            return None  # the workers have not trained them yet

    context = ApiContext(
        database=database,
        temporal=temporal,
        secret=settings.secret_bytes,
        older_secrets=settings.older_secret_bytes,
        options=ApiOptions(temporal_ui_url=settings.temporal_ui_url, temporal_namespace=settings.temporal_namespace),
        intent_of=intent_of,
    )
    app = create_app(context)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    leave_what_is_loaded()
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    watch: PresenceWatch = app.state.presence_watch
    watching = asyncio.create_task(watch.run())
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await database.close()
