"""Whether this process lives, whether it can serve, and what it measures."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, Literal

import structlog
from alembic.script import ScriptDirectory
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from api.context import ApiContext
from api.measures import Measures
from api.route import BatonRoute, Context
from storage.migrate import migration_config

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

router = APIRouter(tags=["ops"], route_class=BatonRoute)

_PATIENCE: Final = 3.0
_NEWEST: Final = ScriptDirectory.from_config(migration_config("")).get_current_head()


class Health(BaseModel):
    status: Literal["ok"] = Field(examples=["ok"])


class Readiness(BaseModel):
    ready: bool = Field(examples=[True])
    not_ready: dict[str, str] = Field(examples=[{}], description="What is not ready, and why")


@router.get("/healthz", summary="Whether this process lives")
async def health() -> Health:
    return Health(status="ok")


@router.get("/readyz", summary="Whether this process can serve, and what keeps it from it")
async def readiness(context: Context, response: Response) -> Readiness:
    checks = {"database": _database(context), "migrations": _migrations(context), "temporal": _temporal(context)}
    reasons = await asyncio.gather(*(_within_patience(name, check) for name, check in checks.items()))
    not_ready = {name: reason for name, reason in zip(checks, reasons, strict=True) if reason is not None}
    response.status_code = 503 if not_ready else 200
    return Readiness(ready=not not_ready, not_ready=not_ready)


@router.get("/metrics", summary="What this process measures, in Prometheus' form", response_class=Response)
async def metrics(request: Request, context: Context) -> Response:
    measures: Measures = request.app.state.measures
    try:
        async with asyncio.timeout(_PATIENCE), context.database.ledger.connection() as connection:
            waiting = await (
                await connection.execute("select pool, count(*) from queue_tickets group by pool")
            ).fetchall()
            owed = await (
                await connection.execute("select set_aside, count(*) from signals group by set_aside")
            ).fetchall()
        measures.queue(dict(waiting), dict(owed))
    except Exception as error:  # noqa: BLE001 -- what the process measures of itself is told even then
        log.warning("no figures from the database", cause=str(error))
    return Response(measures.text(), media_type=CONTENT_TYPE_LATEST)


async def _within_patience(name: str, check: Awaitable[str | None]) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await check
    except TimeoutError:
        return f"no answer within {timedelta(seconds=_PATIENCE).total_seconds():.0f} s"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is not ready, and the log says why
        log.warning("not ready", part=name, cause=str(error))
        return "does not answer"


async def _database(context: ApiContext) -> str | None:
    async with context.database.ledger.connection() as connection:
        await connection.execute("select 1")
    return None


async def _migrations(context: ApiContext) -> str | None:
    async with context.database.ledger.connection() as connection:
        row = await (await connection.execute("select version_num from alembic_version")).fetchone()
    if row is None or row[0] != _NEWEST:
        return f"the schema is at {row[0] if row else 'nothing'}, this process needs {_NEWEST}"
    return None


async def _temporal(context: ApiContext) -> str | None:
    client = await context.temporal()
    return None if await client.service_client.check_health() else "says it is not healthy"
