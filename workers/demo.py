"""`baton demo`: the whole stack, a mail system beside it, and a simulated busy day from outside."""

import asyncio
import csv
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psycopg
from rich.console import Console
from rich.live import Live

from simulator.busy_day.agents_day import AgentsDay
from simulator.busy_day.customers_day import CustomersDay
from simulator.busy_day.door import Door, Json
from simulator.busy_day.floor_setup import SHOP_DOMAIN, Floor, MailSystem, set_up
from simulator.busy_day.live_view import LiveView
from simulator.busy_day.mail import MailProgram
from simulator.busy_day.news import News
from simulator.busy_day.pace import Pace
from simulator.busy_day.plan import MAIL_DOMAIN, DayPlan, plan_day
from simulator.busy_day.strays import Strays
from storage.database import LedgerConnection
from storage.day_figures import day_figures
from storage.violations import acknowledged_but_not_stored, violations
from workers.embedded.errors import EmbeddedStackError
from workers.embedded.stack import EmbeddedStack, StackInfo, stop_on_signals
from workers.roles import role_argv
from workers.temporal_options import DYNAMIC_CONFIG, search_attribute_types

VIOLATED: Final = 3
INTERRUPTED: Final = 130
LOOK_AGAIN: Final = timedelta(milliseconds=500)
SETTLES_WITHIN: Final = timedelta(minutes=5)
"""After the last customer has gone; what is still open then is told as it is."""
CALL_TIMEOUT: Final = 30.0
MAIL_LOG: Final = "mail-server.log"
OPEN_STATES: Final = ("new", "queued", "offered", "assigned", "pending_customer", "on_hold", "wrap_up")

_console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    plan: DayPlan
    seed: int
    pace: Pace
    as_json: bool
    exit_after: bool


class _Row(msgspec.Struct):
    id: str


class _Rows(msgspec.Struct):
    data: list[_Row]


class _Ports(msgspec.Struct):
    smtp_port: int
    imap_port: int


class _KpiAnswer(msgspec.Struct):
    kpis: msgspec.Raw


def demo(
    conversations: int,
    seed: int,
    speed: float,
    utterances: Path | None,
    as_json: bool,
    exit_after: bool,
    data: Path | None,
) -> int:
    """Run the day and return the command's exit code."""
    try:
        said = () if utterances is None else _first_column(utterances)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        _console.print(f"[red]{utterances}: {error}[/red]")
        return 2
    asked = _Asked(plan_day(seed, conversations, said), seed, Pace(speed), as_json, exit_after)
    try:
        return asyncio.run(_demo(asked, data))
    except EmbeddedStackError as error:
        _console.print(f"[red]{error}[/red]")
        return error.exit_code


def _first_column(path: Path) -> Sequence[str]:
    """The questions of a CSV file, less its heading when it has more than one column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    beginning = 1 if rows and len(rows[0]) > 1 else 0
    return [row[0] for row in rows[beginning:]]


async def _demo(asked: _Asked, data: Path | None) -> int:
    stop = stop_on_signals()
    running = asyncio.create_task(_run(asked, data, stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        running.cancel()
        with suppress(asyncio.CancelledError):
            return await running
        return INTERRUPTED
    return await running


async def _run(asked: _Asked, data: Path | None, stop: asyncio.Event) -> int:
    async with AsyncExitStack() as opened:
        if data is None:
            # The servers may still write a last file while they end.
            folder = tempfile.TemporaryDirectory(prefix="baton-demo-", ignore_cleanup_errors=True)
            data = Path(opened.enter_context(folder))
        stack = EmbeddedStack(
            data,
            search_attributes=search_attribute_types(),
            role_argv=role_argv,
            environment={"BATON_MODEL_DIRECTORY": str((data / "models").absolute())},
            dynamic_config=DYNAMIC_CONFIG,
        )
        await opened.enter_async_context(stack)
        mail = await opened.enter_async_context(_mail_system(data / MAIL_LOG))
        _console.print(f"API {stack.info.api_url}/docs   Temporal UI {stack.info.temporal_ui_url}")
        # A proxy of the environment is for the world outside, not for this machine.
        limits = httpx.Limits(max_connections=60)
        http = httpx.AsyncClient(base_url=stack.info.api_url, trust_env=False, timeout=CALL_TIMEOUT, limits=limits)
        await opened.enter_async_context(http)
        return await _day(asked, stack.info, http, mail, stop)


async def _day(asked: _Asked, info: StackInfo, http: httpx.AsyncClient, mail: MailSystem, stop: asyncio.Event) -> int:
    floor: Floor = await set_up(Door(http, info.keys.admin), asked.plan, asked.pace, mail)
    supervisor = Door(http, info.keys.supervisor)
    news = News(http, info.keys.supervisor)
    strays = Strays(
        (floor.customer_ids[one.number] for one in asked.plan.customers if one.stray is not None), supervisor
    )
    agents = AgentsDay(http, floor, news, asked.pace, asked.seed, strays)
    program = MailProgram(mail.smtp_port, mail.imap_port, mail.password)
    day = f"{asked.seed}-{secrets.token_hex(4)}"
    customers = CustomersDay(Door(http, info.keys.adapter), program, floor, news, asked.pace, day, strays)
    following = asyncio.create_task(news.follow())
    working: asyncio.Task[None] | None = None
    try:
        with _watched(LiveView(news, info.api_url, info.temporal_ui_url, len(asked.plan.customers)), asked):
            await news.begun()
            await agents.arrive()
            working = asyncio.create_task(agents.work())
            await _unless_ended(working, customers.write(asked.plan))
            await _unless_ended(working, _settled(supervisor, info.postgres_url, customers))
            summary = await _summary(supervisor, info.postgres_url, customers)
            sys.stdout.write(json.dumps(summary, indent=None if asked.as_json else 2) + "\n")
            sys.stdout.flush()
            if not asked.exit_after:
                await stop.wait()
        return VIOLATED if summary["violations"] else 0
    finally:
        tasks = [following] if working is None else [following, working]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _watched(view: LiveView, asked: _Asked) -> Iterator[None]:
    if asked.as_json or not _console.is_terminal:
        yield
        return
    with Live(view, console=_console, refresh_per_second=4):
        yield


async def _unless_ended(working: asyncio.Task[None], awaited: Coroutine[None, None, None]) -> None:
    """Wait for something that needs the agents; when their work fails, the failure is raised here."""
    waiting = asyncio.create_task(awaited)
    try:
        await asyncio.wait({waiting, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        await waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _settled(supervisor: Door, postgres_url: str, customers: CustomersDay) -> None:
    """Wait until everything that was taken is stored and nothing is open any more."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLES_WITHIN.total_seconds()
    still_open = "&".join(f"state={state}" for state in OPEN_STATES)
    while loop.time() < give_up:
        async with _ledger(postgres_url) as connection:
            missing = await acknowledged_but_not_stored(connection, customers.acknowledged)
        if not missing and not (await supervisor.get(f"/v1/conversations?limit=1&{still_open}", _Rows)).data:
            return
        await asyncio.sleep(LOOK_AGAIN.total_seconds())


async def _summary(supervisor: Door, postgres_url: str, customers: CustomersDay) -> dict[str, Json]:
    """What was sent is the simulator's word; everything else is counted in the ledger or answered by the API."""
    kpis = await supervisor.get("/v1/kpis", _KpiAnswer)
    async with _ledger(postgres_url) as connection:
        figures = await day_figures(connection)
        found = [
            *await acknowledged_but_not_stored(connection, customers.acknowledged),
            *await violations(connection),
        ]
    return {
        "messages_sent": customers.sent,
        "messages_acknowledged": len(customers.acknowledged),
        "messages_stored": figures.messages_stored,
        "duplicates_sent": customers.sent_again,
        "duplicates_stored": figures.duplicates_stored,
        "conversations": figures.conversations,
        "merged": figures.merged,
        "offers": dict(figures.offers),
        "reroutes": figures.reroutes,
        "sla": {metric: asdict(verdicts) for metric, verdicts in figures.sla.items()},
        "suggestions": dict(figures.suggestions),
        "kpis": json.loads(bytes(kpis.kpis)),
        "violations": [asdict(violation) for violation in found],
    }


@asynccontextmanager
async def _ledger(postgres_url: str) -> AsyncIterator[LedgerConnection]:
    """A connection that only reads; the server may just be coming back."""
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                postgres_url, autocommit=True, options="-c default_transaction_read_only=on"
            )
        except psycopg.OperationalError:
            await asyncio.sleep(LOOK_AGAIN.total_seconds())
        else:
            break
    async with connection:
        yield connection


@asynccontextmanager
async def _mail_system(log: Path) -> AsyncIterator[MailSystem]:
    """A mail server in a process of its own; it ends with the context."""
    password = secrets.token_hex(16)
    with log.open("ab") as said:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulator.mail_server", "--domain", SHOP_DOMAIN, "--password", password),
            *("--authenticated-domain", MAIL_DOMAIN),
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            # Ctrl-C is for us, who end the mail server in our own time.
            start_new_session=True,
        )
    try:
        if child.stdout is None:
            raise RuntimeError("the mail server's ports can't be read")
        told = await child.stdout.readline()
        if not told:
            raise RuntimeError(f"the mail server did not start, see {log}")
        ports = msgspec.json.decode(told, type=_Ports)
        yield MailSystem(ports.smtp_port, ports.imap_port, password, f"mx.{SHOP_DOMAIN}")
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
