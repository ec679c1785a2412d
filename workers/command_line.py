"""The `baton` command. Data goes to stdout, everything else to stderr; each kind of failure has its exit code."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console

from workers.embedded.errors import EmbeddedStackError
from workers.embedded.stack import StackInfo, log_to_stderr, run_stack, stop_on_signals
from workers.model_commands import evaluate, models, train
from workers.roles import role_argv
from workers.settings import ProcessSettings
from workers.temporal_options import DYNAMIC_CONFIG, search_attribute_types
from workflows.payload_codec import codec_pass

BAD_SETTINGS: Final = 78

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Customer-support routing that drops nothing.")
customers = typer.Typer(no_args_is_help=True, help="What is done to customers in bulk.")
app.add_typer(customers, name="customers")
app.command()(train)
app.command()(evaluate)
app.add_typer(models, name="models")
_console = Console(stderr=True)

CsvFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="Customer events, UTF-8 with a header.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]


def main() -> None:
    app()


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept; a later start finds it again.")] = Path(
        ".baton"
    ),
    port: Annotated[int | None, typer.Option(help="The API's port; 8080, or a free one, when not given.")] = None,
) -> None:
    """Start everything here: PostgreSQL, Temporal with its UI, worker, dispatcher and API."""
    log_to_stderr()

    async def run() -> None:
        await run_stack(
            data,
            port=port,
            search_attributes=search_attribute_types(),
            role_argv=role_argv,
            stop=stop_on_signals(),
            on_ready=_show,
            environment={"BATON_MODEL_DIRECTORY": str((data / "models").absolute())},
            dynamic_config=DYNAMIC_CONFIG,
        )

    try:
        asyncio.run(run())
    except EmbeddedStackError as error:
        _console.print(f"[red]{error}[/red]")
        raise typer.Exit(error.exit_code) from None


@app.command()
def worker() -> None:
    """Run the conversations, the relay and the mailboxes."""
    from workers.worker_process import run_worker  # noqa: PLC0415 -- each role loads only what it needs

    _run_role("worker", run_worker)


@app.command()
def dispatcher() -> None:
    """Match waiting conversations with agents."""
    from workers.dispatcher_process import run_dispatcher  # noqa: PLC0415 -- sets thread counts before numpy loads

    _run_role("dispatcher", run_dispatcher)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from workers.api_process import run_api  # noqa: PLC0415 -- each role loads only what it needs

    _run_role("api", run_api)


@app.command()
def migrate() -> None:
    """Bring the database and Temporal's search attributes to the newest form."""
    from workers.migration import run_migration  # noqa: PLC0415 -- Alembic is slow to load

    run_migration(_settings())
    _end_at_once()


@app.command()
def codec_path() -> None:
    """Print the path at which the Temporal UI has payloads opened; whoever knows it can read them."""
    typer.echo(f"/v1/codec/{codec_pass(_settings().secret_bytes)}")


@app.command()
def demo(
    conversations: Annotated[int, typer.Option(min=1, help="How many conversations are to be resolved.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed plans the same day.")] = 7,
    speed: Annotated[float, typer.Option(min=0.1, help="How many times faster than people.")] = 60.0,
    utterances: Annotated[Path | None, typer.Option(help="A CSV whose first column the customers say.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where to keep the stack's data; a temporary folder if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object on stdout.")] = False,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop everything after the summary.")] = False,
) -> None:
    """Watch a support floor through a simulated busy day."""
    from workers.demo import demo as run_demo  # noqa: PLC0415 -- only this command simulates

    log_to_stderr()
    raise typer.Exit(run_demo(conversations, seed, speed, utterances, as_json, exit_after, data))


@customers.command("import")
def import_customers(file: CsvFile, as_json: AsJson = False) -> None:
    """Import what customers bought and used from a CSV file: all of it, or nothing."""
    from workers.customers_command import import_file  # noqa: PLC0415 -- only this command needs it

    raise typer.Exit(import_file(_settings(), file, as_json=as_json))


@app.command()
def replay(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A JSON file, or the preset live_calls or tickets, for all pools; POOL=FILE for one of them; may be"
            " repeated. The present ones if not given."
        ),
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="In UTC; from the first decision if not given.")] = None,
    until: Annotated[datetime | None, typer.Option(help="In UTC; to now if not given.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="An agent who is not there; may be repeated.")] = None,
    twin: Annotated[list[str] | None, typer.Option(help="An agent who is there twice; may be repeated.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The folder of a running `up` or `demo`; BATON_POSTGRES_URL if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object on stdout.")] = False,
    print_policy: Annotated[bool, typer.Option("--print-policy", help="Print the present policy, to edit it.")] = False,
) -> None:
    """See what another policy or staffing would have changed in the recorded decisions."""
    from workers import replay_command as command  # noqa: PLC0415 -- only this command simulates
    from workers.replay import Asked  # noqa: PLC0415 -- the same

    url = command.ledger_url(data) if data is not None else _settings().postgres_url
    asked = Asked(
        tuple(policy or ()), command.in_utc(since), command.in_utc(until), tuple(without or ()), tuple(twin or ())
    )
    raise typer.Exit(command.run(url, asked, json_wanted=as_json, policy_wanted=print_policy))


def _settings() -> ProcessSettings:
    try:
        return ProcessSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            _console.print(f"[red]BATON_{name}: {problem['msg']}[/red]")
        raise typer.Exit(BAD_SETTINGS) from None


def _run_role(name: str, run: Callable[[ProcessSettings, asyncio.Event], Awaitable[None]]) -> None:
    log_to_stderr()
    structlog.contextvars.bind_contextvars(process=name)
    settings = _settings()

    async def until_stopped() -> None:
        await run(settings, stop_on_signals())

    asyncio.run(until_stopped())
    _end_at_once()


def _end_at_once() -> NoReturn:
    """Temporal's runtime may abort the interpreter's own ending after a clean stop: all is closed by now, so leave."""
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _show(info: StackInfo) -> None:
    _console.print(f"[bold]Baton is up.[/bold]  API {info.api_url}/docs   Temporal UI {info.temporal_ui_url}")
    typer.echo(json.dumps({"api_url": info.api_url, "temporal_ui_url": info.temporal_ui_url}))
