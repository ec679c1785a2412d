"""A small busy day, as somebody plays it who has just installed Baton: the real processes, nothing replaced."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import pytest

from simulator.busy_day.plan import plan_day

pytestmark = pytest.mark.stack

DEADLINE: Final = 240
STRAYS: Final = sum(customer.stray is not None for customer in plan_day(7, 12).customers)
PLAY: Final = """
import sys
from pathlib import Path
from workers.demo import demo
from workers.embedded.stack import log_to_stderr
log_to_stderr()
sys.exit(demo(12, 7, 60.0, None, True, True, Path(sys.argv[1])))
"""


class Verdicts(msgspec.Struct):
    met: int
    breached: int


class Summary(msgspec.Struct):
    messages_sent: int
    messages_acknowledged: int
    messages_stored: int
    duplicates_sent: int
    duplicates_stored: int
    conversations: int
    merged: int
    offers: dict[str, int]
    reroutes: int
    sla: dict[str, Verdicts]
    suggestions: dict[str, int]
    kpis: dict[str, msgspec.Raw]
    violations: list[dict[str, str]]


async def play(data: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PLAY, str(data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


async def until(
    holds: Callable[[], bool], playing: asyncio.subprocess.Process, reading: asyncio.Task[tuple[bytes, bytes]]
) -> None:
    """Wait for something that the day does; fail with what it said when it ends before."""
    while not holds():
        assert playing.returncode is None, (await reading)[1].decode()[-3000:]
        await asyncio.sleep(0.1)


async def test_a_small_day_shows_every_mishap_and_loses_nothing(tmp_path: Path) -> None:
    playing = await play(tmp_path / "data")
    try:
        async with asyncio.timeout(DEADLINE):
            told, errors = await playing.communicate()
    finally:
        if playing.returncode is None:
            playing.terminate()
            await playing.wait()

    assert playing.returncode == 0, errors.decode()[-3000:] + told.decode()[-3000:]
    summary = msgspec.json.decode(told, type=Summary)
    assert summary.violations == []
    assert summary.messages_stored == summary.messages_acknowledged == summary.messages_sent
    assert summary.duplicates_sent >= 2
    assert summary.duplicates_stored == 0
    assert summary.conversations == 12
    assert summary.merged == STRAYS >= 1
    assert summary.offers["timed_out"] >= 1
    assert summary.offers["declined"] >= 1
    assert summary.offers["accepted"] >= 12
    assert "pending" not in summary.offers
    assert summary.reroutes >= 1
    assert summary.suggestions.keys() == {"accepted", "declined", "ignored"}
    assert summary.sla["owner_silence"].breached >= 1
    assert summary.sla["resolution"].met + summary.sla["resolution"].breached > summary.conversations  # one came back
    assert json.loads(bytes(summary.kpis["conversations"])) >= 12


@pytest.mark.chaos
async def test_killing_every_process_once_changes_nothing_of_what_a_day_promises(tmp_path: Path) -> None:
    """Each as soon as the one killed before it is back, while customers write and agents work."""
    published = tmp_path / "data" / "stack.json"
    playing = await play(tmp_path / "data")
    reading = asyncio.create_task(playing.communicate())

    def pid_of(name: str) -> int:
        return int(json.loads(published.read_bytes())["pids"].get(name, 0))

    def is_back(name: str, before: int) -> bool:
        return pid_of(name) not in {before, 0}

    try:
        async with asyncio.timeout(2 * DEADLINE):
            await until(published.exists, playing, reading)
            for name in ("worker", "dispatcher", "postgres", "temporal", "api"):
                before = pid_of(name)
                os.kill(before, signal.SIGKILL)
                await until(partial(is_back, name, before), playing, reading)
            told, errors = await reading
    finally:
        if playing.returncode is None:
            playing.kill()
            await playing.wait()
        await asyncio.gather(reading, return_exceptions=True)

    assert playing.returncode == 0, errors.decode()[-3000:] + told.decode()[-3000:]
    summary = msgspec.json.decode(told, type=Summary)
    assert summary.violations == []
    assert summary.messages_stored == summary.messages_acknowledged == summary.messages_sent
    assert summary.duplicates_stored == 0
    assert summary.conversations == 12
    assert "pending" not in summary.offers


async def test_ctrl_c_ends_a_day_and_leaves_nothing_running(tmp_path: Path) -> None:
    data = tmp_path / "data"
    playing = await play(data)
    reading = asyncio.create_task(playing.communicate())
    try:
        async with asyncio.timeout(DEADLINE):
            await until((data / "stack.json").exists, playing, reading)
            postgres_url = json.loads((data / "stack.json").read_bytes())["postgres_url"]
            playing.send_signal(signal.SIGINT)
            told, errors = await reading
    finally:
        if playing.returncode is None:
            playing.kill()
            await playing.wait()

    assert playing.returncode == 130, errors.decode()[-3000:]
    assert told == b""
    assert b"Traceback" not in errors
    assert not (data / "stack.json").exists()
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(postgres_url)
