"""Asks a customer-success system for the health of its customers, page by page, and keeps what it says."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import JsonValue
from temporalio import activity
from temporalio.exceptions import ApplicationError

from channels.customer_refs import customer_address
from channels.outbound import AnswerUnusable, CheckedUrl, NotAllowed, check_url, fetch_json_text
from domain.channels import Channel
from domain.customers.health import HealthMapping, HealthReading, NotAHealthAnswer, mapping_from, read_page
from domain.errors import InvalidInput
from storage.database import Database
from storage.ledger.customer_health import HealthKept, HealthScore, keep_health
from storage.ledger.customer_lookup import CustomerId, CustomerRef
from storage.sealed_box import BoxNotOurs, SealedBox
from workflows.health_pull import PULL_HEALTH, HealthSourceId

UNUSABLE: Final = "health_source_unusable"
UNREACHABLE: Final = "health_source_unreachable"
MOST_PAGES: Final = 200

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_SOURCE: Final = "select id, url, mapping, secrets, active from health_sources where id = %s"
_KEEP: Final = "update health_sources set pulled_at = clock_timestamp(), outcome = %s where id = %s"


@dataclass(frozen=True, slots=True)
class _Source:
    id: str
    url: str
    mapping: dict[str, JsonValue]
    secrets: bytes | None
    active: bool


class HealthPulls:
    def __init__(self, database: Database, box: SealedBox) -> None:
        self._database = database
        self._box = box

    @activity.defn(name=PULL_HEALTH)
    async def pull(self, asked: HealthSourceId) -> None:
        """Pull one source; a repeat is harmless, for of two scores the later counts.

        Raises:
            ApplicationError: `health_source_unusable` when trying again does not help, else
                `health_source_unreachable`.
        """
        source = await self._source(asked.source_id)
        if source is None or not source.active:
            return
        try:
            outcome = await self._pulled(source)
        except (NotAllowed, AnswerUnusable, NotAHealthAnswer, InvalidInput, BoxNotOurs, json.JSONDecodeError) as error:
            await self._keep_outcome(source.id, {"error": str(error)})
            raise ApplicationError(str(error), type=UNUSABLE, non_retryable=True) from error
        except httpx.HTTPError as error:
            # What an HTTP error says may name the URL and what stands in it: its kind is enough.
            await self._keep_outcome(source.id, {"error": type(error).__name__})
            raise ApplicationError(type(error).__name__, type=UNREACHABLE) from error
        await self._keep_outcome(source.id, outcome)

    async def _source(self, source_id: str) -> _Source | None:
        async with (
            self._database.ledger.connection() as connection,
            connection.cursor(row_factory=class_row(_Source)) as cursor,
        ):
            return await (await cursor.execute(_SOURCE, (source_id,))).fetchone()

    async def _pulled(self, source: _Source) -> dict[str, JsonValue]:
        mapping = mapping_from(source.mapping)
        headers = self._headers(source)
        first = check_url(source.url)
        url: CheckedUrl | None = first
        updated = unknown = unreadable = pages = 0
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            while url is not None and pages < MOST_PAGES:
                activity.heartbeat()
                document = json.loads(await fetch_json_text(client, url, headers))
                page = read_page(document, mapping, datetime.now(UTC))
                kept, unnamed = await self._kept(page.readings, mapping)
                updated += kept.updated
                unknown += kept.unknown
                unreadable += page.unreadable + unnamed
                pages += 1
                url = None if page.next is None else _next(first, url, page.next)
        return {"updated": updated, "unknown": unknown, "unreadable": unreadable, "pages": pages}

    def _headers(self, source: _Source) -> dict[str, str]:
        if source.secrets is None:
            return {}
        return {"Authorization": f"Bearer {self._box.unseal(source.secrets, source.id)['bearer_token']}"}

    async def _kept(self, readings: tuple[HealthReading, ...], mapping: HealthMapping) -> tuple[HealthKept, int]:
        """What was kept of the readings, and how many named nobody in a form that can be looked up."""
        scores: list[HealthScore] = []
        for reading in readings:
            ref = _ref(reading.customer, mapping.channel)
            if ref is not None:
                scores.append(HealthScore(ref, reading.score, reading.at))
        return await keep_health(self._database, scores), len(readings) - len(scores)

    async def _keep_outcome(self, source_id: str, outcome: dict[str, JsonValue]) -> None:
        async with self._database.ledger.connection() as connection:
            await connection.execute(_KEEP, (Jsonb(outcome), source_id))


def _ref(customer: str, channel: Channel | None) -> CustomerRef | None:
    try:
        address = customer_address(customer if channel is None else f"{channel}:{customer}")
    except ValueError:
        return None
    return address or CustomerId(customer)


def _next(first: CheckedUrl, present: CheckedUrl, named: str) -> CheckedUrl:
    """The next page, which stays with the system that was set up: nobody else is sent its token."""
    following = check_url(str(httpx.URL(present.url).join(named)))
    if following.origin != first.origin:
        raise NotAllowed("the next page is on another host")
    if following == present:
        raise NotAllowed("the next page is the same again")
    return following
