"""`baton customers`: what is done to customers in bulk, from files."""

import asyncio
import json
from pathlib import Path
from typing import Final

import typer
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from rich.console import Console

from api.customer_events import addressed
from domain.customers.events import EventRow, events_from_csv
from domain.errors import InvalidInput
from storage.database import Database
from storage.ledger.customer_events import Imported, import_events
from workers.settings import ProcessSettings

BAD_DATA: Final = 65
UNAVAILABLE: Final = 69
LARGEST_FILE: Final = 16 * 1024 * 1024

_console = Console(stderr=True)


def import_file(settings: ProcessSettings, file: Path, *, as_json: bool) -> int:
    """Import the events of a CSV file, all or none; returns the exit code."""
    if file.stat().st_size > LARGEST_FILE:
        _console.print(f"[red]{file}: more than {LARGEST_FILE} bytes; split it[/red]")
        return BAD_DATA
    try:
        rows = events_from_csv(file.read_bytes())
        kept = asyncio.run(_imported(settings, rows))
    except InvalidInput as error:
        for problem in error.problems:
            _console.print(f"{file}{problem.pointer}: {problem.detail}", style="red", markup=False)
        _console.print("nothing was imported", style="red")
        return BAD_DATA
    except (OperationalError, PoolTimeout):
        _console.print("[red]the database does not answer[/red]")
        return UNAVAILABLE
    if as_json:
        typer.echo(json.dumps({"stored": kept.stored, "known": kept.known}))
    else:
        typer.echo(f"{kept.stored} events stored, {kept.known} known before")
    return 0


async def _imported(settings: ProcessSettings, rows: tuple[EventRow, ...]) -> Imported:
    database = Database(settings.postgres_url, pool_size=1)
    await database.open()
    try:
        return await import_events(database, addressed([row.event for row in rows], [row.pointer for row in rows]))
    finally:
        await database.close()
