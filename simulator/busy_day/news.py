"""What the floor tells of itself while the day goes on: one live stream that wakes whoever waits for something."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import httpx
import msgspec

TRY_AGAIN: Final = timedelta(milliseconds=300)
QUIET: Final = timedelta(seconds=30)
LINES_KEPT: Final = 12


class LiveEvent(msgspec.Struct, frozen=True):
    id: str
    kind: str
    at: datetime
    conversation_id: str | None = None
    customer_id: str | None = None
    agent_id: str | None = None


class News:
    """Follows `GET /v1/events`; a stream that breaks goes on after the last event it told."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http = http
        self._authorization = f"Bearer {key}"
        self._last_id: str | None = None
        self._kinds: Counter[str] = Counter()
        self._by_topic: Counter[str] = Counter()
        self._by_topic_and_kind: Counter[tuple[str, str]] = Counter()
        self._bells: dict[str, asyncio.Event] = {}
        self._latest: deque[LiveEvent] = deque(maxlen=LINES_KEPT)
        self._begun = asyncio.Event()

    @property
    def kinds(self) -> Counter[str]:
        return self._kinds

    @property
    def latest(self) -> Sequence[LiveEvent]:
        return tuple(self._latest)

    def heard(self, topic: str, kind: str | None = None) -> int:
        """How many events named this conversation, customer or agent so far."""
        return self._by_topic[topic] if kind is None else self._by_topic_and_kind[topic, kind]

    async def begun(self) -> None:
        await self._begun.wait()

    async def after(self, topic: str, heard: int, at_most: timedelta) -> bool:
        """Wait for more than the `heard` events of a topic; False when there was none in time."""
        if self._by_topic[topic] > heard:
            return True
        bell = self._bells.setdefault(topic, asyncio.Event())
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await bell.wait()
        except TimeoutError:
            return False
        return True

    async def follow(self) -> None:
        while True:
            # Its process may just have been killed; the next stream goes on where this one ended.
            with suppress(httpx.TransportError):
                await self._stream()
            await asyncio.sleep(TRY_AGAIN.total_seconds())

    async def _stream(self) -> None:
        headers = {"Authorization": self._authorization, "Accept": "text/event-stream"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        timeout = httpx.Timeout(10, read=QUIET.total_seconds())
        async with self._http.stream("GET", "/v1/events", headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                return
            kind = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    self._last_id = value
                elif name == "data" and kind == "snapshot":
                    self._begun.set()
                elif name == "data":
                    self._tell(msgspec.json.decode(value, type=LiveEvent))

    def _tell(self, event: LiveEvent) -> None:
        self._latest.append(event)
        self._kinds[event.kind] += 1
        for topic in (event.conversation_id, event.customer_id, event.agent_id):
            if topic is not None:
                self._by_topic[topic] += 1
                self._by_topic_and_kind[topic, event.kind] += 1
                bell = self._bells.pop(topic, None)
                if bell is not None:
                    bell.set()
