"""`baton train`, `baton evaluate` and `baton models`: the models an installation trains, judges and chooses itself.

They work on the store the workers read; a worker takes a newly published or promoted version up at its next message.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

models = typer.Typer(no_args_is_help=True, help="The versions of the models, and which one is in use.")

DataFolder = Annotated[
    Path | None, typer.Option("--data", help="The folder of `baton up`; BATON_* settings are read if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


class Kind(StrEnum):
    """The models of a store."""

    INTENT = "intent"
    SENTIMENT = "sentiment"
    LANGUAGE = "language"


def train(
    csv: Annotated[
        Path | None, typer.Option(help="A CSV with a text and a label column: messages of your own.")
    ] = None,
    corrections: Annotated[bool, typer.Option("--corrections", help="Learn what agents put right.")] = False,
    shipped: Annotated[bool, typer.Option(help="Learn the shipped examples too.")] = True,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Train the intent model anew, judge it on examples held out, and put it to use."""
    from workers import model_work  # noqa: PLC0415 -- scikit-learn is slow to load

    model_work.train(csv, data, corrections=corrections, shipped=shipped, as_json=as_json)


def evaluate(
    path: Annotated[
        Path | None, typer.Argument(help="A CSV, a folder with train.csv and test.csv, or the CLINC150 JSON.")
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Judge a model trained on the file's own training part, not the one in use.")
    ] = False,
    success: Annotated[
        bool, typer.Option("--success", help="Judge P(success): what routing decisions promised and what came of it.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How far back the decisions are judged.")] = 90,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Judge the intent model in use on labelled messages, or P(success) on the ledger's own decisions."""
    from workers import model_work  # noqa: PLC0415 -- as above

    if success == (path is not None):
        raise typer.BadParameter("name a file to judge the intent model on, or ask for --success")
    if path is not None:
        model_work.evaluate(path, data, fit=fit, as_json=as_json)
    else:
        model_work.evaluate_success(data, days, as_json=as_json)


@models.command("list")
def list_versions(data: DataFolder = None, as_json: AsJson = False) -> None:
    """All stored versions, the latest trained first; the one in use is marked."""
    from workers import model_work  # noqa: PLC0415 -- as above

    model_work.list_versions(data, as_json=as_json)


@models.command()
def promote(version: str, data: DataFolder = None) -> None:
    """Put a stored version to use: workers take it up at their next message."""
    from workers import model_work  # noqa: PLC0415 -- as above

    model_work.promote(version, data)


@models.command()
def rollback(kind: Annotated[Kind, typer.Argument()] = Kind.INTENT, data: DataFolder = None) -> None:
    """Go back to the version trained before the one in use."""
    from workers import model_work  # noqa: PLC0415 -- as above

    model_work.rollback(kind.value, data)
