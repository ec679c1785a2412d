"""The work behind `baton train`, `baton evaluate` and `baton models`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import typer
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from domain.intents import Correction
from domain.routing.calibration import Calibration, calibration
from intelligence.evaluate import evaluate_intents, measured_latency, report
from intelligence.intent_model import LinearIntentModel
from intelligence.intent_training import fit_intent_model
from intelligence.labelled_files import LabelledSplit, read_csv, read_split
from intelligence.labelled_text import LabelledText, shipped_intent_examples
from intelligence.model_store import ModelKind, ModelMetadata, ModelOrigin, ModelRefused, ModelStore
from intelligence.train import train_intents
from storage.database import Database
from storage.ledger.decision_outcomes import DecisionOutcomes, decision_outcomes
from storage.records.intent_corrections import read_corrections

Answer = TypeVar("Answer")

BAD_INPUT: Final = 65
NO_DATABASE: Final = 78
_STACK_FILE: Final = "stack.json"
_TIMED: Final = 500
_MODELS_FOLDER: Final = "models"

_console = Console(stderr=True)


class _Places(BaseSettings):
    """Where the models lie and where the ledger answers; neither needs the secrets of a process."""

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    model_directory: str = ".baton/models"
    postgres_url: str | None = None


def train(csv: Path | None, data: Path | None, *, corrections: bool, shipped: bool, as_json: bool) -> None:
    """Publish a new intent model and print what the examples held out say of it."""
    store = _store(data)
    try:
        examples: tuple[LabelledText, ...] = shipped_intent_examples() if shipped else ()
        own = () if csv is None else read_csv(csv)
        known = _corrections(data) if corrections else ()
        before = store.current_version(ModelKind.INTENT)
        origin = ModelOrigin.OWN if own or known else ModelOrigin.SHIPPED
        trained = train_intents(store, (*examples, *own), datetime.now(UTC), known, origin)
    except (OSError, ValueError, ModelRefused) as problem:
        _fail(str(problem))
    version = trained.metadata.version
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "version": version,
                    "previous_version": before,
                    "examples": trained.metadata.training.example_count,
                    "own_examples": len(own),
                    "corrections": len(known),
                    "figures": dict(trained.metadata.training.figures),
                }
            )
        )
        return
    typer.echo(report(trained.evaluation))
    _console.print(f"{version} is in use now, trained on {trained.metadata.training.example_count} examples.")
    if before is not None and before != version:
        _console.print(f"Back to the one before: baton models promote {before}")


def evaluate(path: Path, data: Path | None, *, fit: bool, as_json: bool) -> None:
    """Judge the model in use, or one fitted to the file's own training part, on labelled messages."""
    try:
        split = _split(path, fit=fit)
        model = fit_intent_model(split.train).model if fit else _current(_store(data))
        texts = [example.text for example in split.test]
        truth = [example.label for example in split.test]
        evaluation = evaluate_intents(model.predict(texts), truth, model.predict(split.out_of_scope))
        latency = measured_latency(model, texts[:_TIMED])
    except (OSError, ValueError, ModelRefused) as problem:
        _fail(str(problem))
    if as_json:
        milliseconds = {
            "median_ms": latency.median / timedelta(milliseconds=1),
            "p95_ms": latency.p95 / timedelta(milliseconds=1),
        }
        typer.echo(json.dumps({"version": model.version, **asdict(evaluation), "latency": milliseconds}))
        return
    typer.echo(report(evaluation, latency))


def list_versions(data: Path | None, *, as_json: bool) -> None:
    """Print all stored versions, the latest trained first."""
    store = _store(data)
    rows = [(metadata, store.current_version(kind)) for kind in ModelKind for metadata in store.versions(kind)]
    if as_json:
        typer.echo(json.dumps([_version_json(metadata, current) for metadata, current in rows]))
        return
    for metadata, current in rows:
        figures = "  ".join(f"{name} {figure:.3f}" for name, figure in metadata.training.figures)
        mark = "*" if metadata.version == current else " "
        typer.echo(f"{mark} {metadata.version}  {metadata.training.trained_at:%Y-%m-%d %H:%M}  {figures}")


def promote(version: str, data: Path | None) -> None:
    """Make a stored version the current one."""
    kind = next((kind for kind in ModelKind if version.startswith(f"{kind}-")), None)
    if kind is None:
        _fail(f"{version} is no version of a model")
    try:
        _store(data).promote(kind, version)
    except (OSError, ModelRefused) as problem:
        _fail(str(problem))
    _console.print(f"{version} is in use now.")


def rollback(kind: str, data: Path | None) -> None:
    """Make the version trained before the current one the current one."""
    store, model = _store(data), ModelKind(kind)
    try:
        trained = [metadata.version for metadata in store.versions(model)]
        current = store.current_version(model)
        older = trained[trained.index(current) + 1 :] if current in trained else []
        if not older:
            _fail(f"no {kind} model was trained before the one in use")
        store.promote(model, older[0])
    except (OSError, ModelRefused) as problem:
        _fail(str(problem))
    typer.echo(older[0])
    _console.print(f"{older[0]} is in use again.")


def evaluate_success(data: Path | None, days: int, *, as_json: bool) -> None:
    """Judge the probabilities that decisions were made with by what became of them."""
    since = datetime.now(UTC) - timedelta(days=days)

    async def outcomes(database: Database) -> DecisionOutcomes:
        return await decision_outcomes(database, since)

    found = asyncio.run(_with_database(data, outcomes))
    judged = calibration(found.predicted, found.resolved)
    if judged is None:
        _fail(f"no decision of the last {days} days has an outcome yet")
    if as_json:
        typer.echo(json.dumps(asdict(judged)))
        return
    typer.echo(_calibration_report(judged))


def _calibration_report(judged: Calibration) -> str:
    lines = [
        f"decisions  {judged.cases}",
        f"resolved   {judged.base_rate:.2%}",
        f"Brier      {judged.brier:.4f}  (always saying the rate: {judged.base_brier:.4f})",
        f"ECE        {judged.expected_error:.4f}",
        f"log loss   {judged.log_loss:.4f}",
        "predicted    decisions  mean   resolved",
    ]
    lines += [
        f"{part.low:.1f} to {part.high:.1f}  {part.cases:>11}  {part.predicted:.3f}  {part.observed:.3f}"
        for part in judged.bins
    ]
    return "\n".join(lines)


def _split(path: Path, *, fit: bool) -> LabelledSplit:
    if fit or path.is_dir() or path.suffix.lower() == ".json":
        return read_split(path)
    return LabelledSplit((), read_csv(path))


def _current(store: ModelStore) -> LinearIntentModel:
    version = store.current_version(ModelKind.INTENT)
    if version is None:
        raise ModelRefused("no intent model was published yet; baton train makes one")
    return LinearIntentModel.from_arrays(store.arrays(ModelKind.INTENT, version), version)


def _version_json(metadata: ModelMetadata, current: str | None) -> dict[str, object]:
    return {
        "kind": metadata.kind.value,
        "version": metadata.version,
        "in_use": metadata.version == current,
        "trained_at": metadata.training.trained_at.isoformat(),
        "origin": metadata.training.origin.value,
        "examples": metadata.training.example_count,
        "figures": dict(metadata.training.figures),
    }


def _store(data: Path | None) -> ModelStore:
    return ModelStore(Path(_Places().model_directory) if data is None else data / _MODELS_FOLDER)


def _corrections(data: Path | None) -> Sequence[Correction]:
    return asyncio.run(_with_database(data, read_corrections))


async def _with_database(data: Path | None, ask: Callable[[Database], Awaitable[Answer]]) -> Answer:
    database = Database(_postgres_url(data), pool_size=2)
    await database.open()
    try:
        return await ask(database)
    except (OperationalError, PoolTimeout):
        _fail("the database does not answer", NO_DATABASE)
    finally:
        await database.close()


def _postgres_url(data: Path | None) -> str:
    url = _Places().postgres_url
    if data is not None:
        try:
            url = json.loads((data / _STACK_FILE).read_text(encoding="utf-8"))["postgres_url"]
        except (OSError, ValueError, KeyError):
            _fail(f"no stack runs on {data}; start it with: baton up --data {data}", NO_DATABASE)
    if url is None:
        _fail("BATON_POSTGRES_URL, or --data with the folder of a running stack, is needed", NO_DATABASE)
    return url


def _fail(problem: str, code: int = BAD_INPUT) -> NoReturn:
    _console.print(f"[red]{problem}[/red]")
    raise typer.Exit(code)
