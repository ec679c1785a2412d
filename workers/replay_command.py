"""`baton replay` on the command line: where the ledger is, and how the answer reads."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.table import Table

from domain.routing.policy import RoutingPolicy
from simulator.routing.recorded import Figures
from storage.database import Database
from workers.embedded.directory import DataDirectory
from workers.embedded.stack import StackInfo
from workers.replay import Asked, NothingToReplayError, Replayed, present_policies, replay

NOTHING_TO_REPLAY: Final = 4
_LISTED: Final = 20

_console = Console(stderr=True)


def ledger_url(data: Path) -> str | None:
    """The ledger of the stack that runs in a data directory, None when none does."""
    try:
        return msgspec.json.decode(DataDirectory(data).stack_file.read_bytes(), type=StackInfo).postgres_url
    except (OSError, msgspec.DecodeError):
        return None


def run(url: str | None, asked: Asked, *, json_wanted: bool, policy_wanted: bool) -> int:
    """Replay and print; the exit code."""
    if url is None:
        _console.print("[red]No stack runs in that folder.[/red]")
        return NOTHING_TO_REPLAY
    try:
        answer = asyncio.run(_answer(url, asked, policy_wanted=policy_wanted))
    except (NothingToReplayError, OperationalError, PoolTimeout) as error:
        _console.print(f"[red]{error}[/red]")
        return NOTHING_TO_REPLAY
    if isinstance(answer, RoutingPolicy):
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    elif json_wanted:
        print(as_json(answer))
    else:
        show(answer, Console())
    return 0


async def _answer(url: str, asked: Asked, *, policy_wanted: bool) -> Replayed | RoutingPolicy:
    database = Database(url, pool_size=2)
    await database.open()
    try:
        return (await present_policies(database)).general if policy_wanted else await replay(database, asked)
    finally:
        await database.close()


def in_utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)


def as_json(replayed: Replayed) -> str:
    """The whole replay as one document; instants in ISO 8601, waits in seconds, work in hours."""
    return json.dumps(asdict(replayed), default=_instant)


def _instant(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a replay holds a {type(value).__name__}")


def show(replayed: Replayed, console: Console) -> None:
    """The replay for people: figures side by side, load by agent, and the first cases that would change."""
    told = replayed.comparison
    console.print(
        f"{replayed.decisions} decisions from {replayed.since:%Y-%m-%d %H:%M:%S} to "
        f"{replayed.until:%Y-%m-%d %H:%M:%S} UTC, made by {', '.join(replayed.recorded_policies) or 'no policy'}. "
        f"Present policy: {', '.join(replayed.present_policies)}; asked: {', '.join(replayed.other_policies)}."
    )
    if replayed.unrecorded or replayed.by_hand:
        console.print(
            f"Left out: {replayed.unrecorded} decisions without their case, {replayed.by_hand} assignments by hand."
        )
    figures = Table("", "as recorded", "present, simulated", "asked, simulated")
    for name, of in _ROWS:
        figures.add_row(name, *(of(one) for one in (told.recorded, told.present, told.other)))
    console.print(figures)
    load = Table("agent", "cases", "asked", "hours", "asked")
    for one in told.agents:
        load.add_row(one.agent_id, str(one.cases), str(one.other_cases), f"{one.hours:.2f}", f"{one.other_hours:.2f}")
    console.print(load)
    console.print(f"{told.other_agent} of {told.present.cases} cases would go to another agent.")
    if told.changed:
        changes = Table("conversation", "agent", "waited", "asked: agent", "waited")
        for case in told.changed[:_LISTED]:
            changes.add_row(
                case.conversation_id,
                case.agent or "nobody",
                _seconds(case.wait),
                case.other_agent or "nobody",
                _seconds(case.other_wait),
            )
        console.print(changes)


def _seconds(wait: float | None) -> str:
    return "-" if wait is None else f"{wait:.1f} s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


_ROWS: Final[Sequence[tuple[str, Callable[[Figures], str]]]] = (
    ("cases", lambda one: str(one.cases)),
    ("taken", lambda one: str(one.taken)),
    ("mean wait", lambda one: _seconds(one.mean_wait)),
    ("p95 wait", lambda one: _seconds(one.p95_wait)),
    ("before the next breach", lambda one: _share(one.on_time)),
    ("P(success)", lambda one: _share(one.success)),
    ("Gini of occupancy", lambda one: _share(one.gini)),
)
