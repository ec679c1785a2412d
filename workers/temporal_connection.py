"""One way to Temporal for all processes: with our payload form, sealed, and patient while the server is away."""

import asyncio
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from workers.settings import ProcessSettings
from workflows.payload_codec import sealed_converter

RETRY_SECONDS: Final = 0.5

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def connect(settings: ProcessSettings, *, lazy: bool = False) -> Client:
    """Connect once; a lazy client connects at its first call.

    Raises:
        RuntimeError: the server is out of reach.
    """
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=sealed_converter(settings.secret_bytes, *settings.older_secret_bytes),
        lazy=lazy,
    )


async def connect_patiently(settings: ProcessSettings, stop: asyncio.Event) -> Client | None:
    """Try until the server answers; None when `stop` came first."""
    while not stop.is_set():
        try:
            return await connect(settings)
        except (RuntimeError, RPCError) as error:
            log.warning("temporal_out_of_reach", cause=str(error))
        try:
            await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
        except TimeoutError:
            continue
    return None
