"""What the API needs from the process that runs it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import Client

from storage.database import Database

TemporalGetter = Callable[[], Awaitable[Client]]
"""Answers with a connected client, or raises while Temporal is out of reach."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How this deployment's API behaves; what an admin changes while it runs is in `domain.settings` instead."""

    temporal_ui_url: str | None = None
    temporal_namespace: str = "default"
    max_body_bytes: int = 1024 * 1024
    requests_per_second: float = 200.0
    """Sustained, per API key (per client address without one)."""
    request_burst: int = 1000
    update_timeout: timedelta = timedelta(seconds=10)
    """How long a conversation may take to answer a request."""
    heartbeat: timedelta = timedelta(seconds=15)
    """How often a silent live stream says that it still lives."""


@dataclass(frozen=True, slots=True)
class ApiContext:
    database: Database
    temporal: TemporalGetter
    secret: bytes
    """The deployment's secret; keys for single uses are derived from it."""
    options: ApiOptions = field(default_factory=ApiOptions)
    older_secrets: tuple[bytes, ...] = ()
    """Secrets of before: what they sealed can still be opened."""
    intent_of: Callable[[str], Awaitable[str | None]] | None = None
    """Reads what a text is about; None where this process has no models."""
