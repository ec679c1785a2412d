"""Intents, out-of-scope detection, speed and size: python bench/intents.py --banking77 DIR --clinc150 FILE.

The two data sets are Banking77 (a folder with train.csv and test.csv) and CLINC150 (data_full.json), official splits.
Without paths only Baton's own held-out messages are judged.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from intelligence.evaluate import IntentEvaluation, Latency, evaluate_intents, measured_latency
from intelligence.intent_model import IntentModel, LinearIntentModel
from intelligence.intent_training import fit_intent_model
from intelligence.labelled_files import LabelledSplit, read_split
from intelligence.labelled_text import held_out_intent_examples, shipped_intent_examples
from intelligence.model_store import ModelKind, ModelStore
from intelligence.train import ensure_models
from intelligence.triage import MessageTriage


@dataclass(frozen=True, slots=True)
class Published:
    """Accuracy others report on the official test splits, in percent."""

    method: str
    banking77: float
    clinc150: float


# Zhang et al. 2023 (ICDA, EACL) for the best; the TF-IDF and MiniLM rows are reproductions on the same splits.
PUBLISHED = (
    Published("TF-IDF word + char, LinearSVC", 91.17, 92.71),
    Published("MiniLM embeddings + logistic regression", 93.05, 95.31),
    Published("best published (ICDA)", 94.42, 97.12),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--banking77", type=Path)
    parser.add_argument("--clinc150", type=Path)
    options = parser.parse_args()
    console = Console(width=120)
    measure_shipped(console)
    table = Table(
        "data", "trained in", "accuracy", "top 3", "80 % cov.", "90 % cov.", "Brier", "ECE", "OOS AUROC", "p50", "p95"
    )
    for name, path in (("Banking77", options.banking77), ("CLINC150", options.clinc150)):
        if path is not None:
            table.add_row(name, *measured(read_split(path)))
    if table.row_count:
        console.print(table)
        published = Table("published accuracy, %", "Banking77", "CLINC150")
        for row in PUBLISHED:
            published.add_row(row.method, f"{row.banking77:.2f}", f"{row.clinc150:.2f}")
        console.print(published)


def measure_shipped(console: Console) -> None:
    """The models every installation starts with: training, loading, size, one whole triage, and how far they carry."""
    with tempfile.TemporaryDirectory() as directory:
        store = ModelStore(Path(directory))
        before, started = resident_megabytes(), time.perf_counter()
        ensure_models(store, datetime.now(UTC))
        training = time.perf_counter() - started
        on_disk = sum(path.stat().st_size for path in store.directory.rglob("*") if path.is_file()) / 1e6
        started = time.perf_counter()
        reader = MessageTriage(store)
        reader.triage("hello")
        loading = (time.perf_counter() - started) * 1000
        console.print(f"shipped models trained in {training:.1f} s; {on_disk:.1f} MB on disk")
        console.print(f"loaded and first message read in {loading:.0f} ms")
        console.print(
            f"resident {before:.0f} MB with the libraries, {resident_megabytes():.0f} MB after training and loading"
        )
        messages = [example.text for example in held_out_intent_examples()]
        console.print(f"triage (intent, mood, language): {milliseconds(triage_latency(reader, messages))} ms p50 / p95")
        long_email = " ".join(messages[:20])[:2000]
        console.print(
            f"triage of a 2000 character e-mail: {milliseconds(triage_latency(reader, [long_email] * 50))} ms"
        )
        version = store.current_version(ModelKind.INTENT) or ""
        model = LinearIntentModel.from_arrays(store.arrays(ModelKind.INTENT, version), version)
        truth = [example.label for example in held_out_intent_examples()]
        own = evaluate_intents(model.predict(messages), truth)
        console.print(
            f"own held-out messages ({own.count}, {len(shipped_intent_examples())} examples): "
            f"accuracy {own.accuracy:.1%}, top 3 {own.top3_accuracy:.1%}, at 80 % coverage {selective(own, 0.8):.1%}, "
            f"at 50 % {selective(own, 0.5):.1%}, Brier {own.brier:.3f}, ECE {own.expected_calibration_error:.3f}"
        )
        for kind in (ModelKind.INTENT, ModelKind.SENTIMENT):
            figures = store.versions(kind)[0].training.figures
            console.print(f"{kind}, cross-validated: " + ", ".join(f"{name} {figure:.3f}" for name, figure in figures))


def measured(split: LabelledSplit) -> tuple[str, ...]:
    started = time.perf_counter()
    model: IntentModel = fit_intent_model(split.train).model
    seconds = time.perf_counter() - started
    texts = [example.text for example in split.test]
    evaluation = evaluate_intents(
        model.predict(texts), [example.label for example in split.test], model.predict(split.out_of_scope)
    )
    latency = measured_latency(model, texts[:1000])
    outside = evaluation.out_of_scope_auroc
    return (
        f"{seconds:.0f} s",
        f"{evaluation.accuracy:.2%}",
        f"{evaluation.top3_accuracy:.2%}",
        f"{selective(evaluation, 0.8):.2%}",
        f"{selective(evaluation, 0.9):.2%}",
        f"{evaluation.brier:.4f}",
        f"{evaluation.expected_calibration_error:.4f}",
        "–" if outside is None else f"{outside:.2%}",  # noqa: RUF001 - no figure
        *milliseconds(latency).split(" / "),
    )


def triage_latency(reader: MessageTriage, messages: Sequence[str]) -> Latency:
    seconds = []
    for message in messages:
        started = time.perf_counter()
        reader.triage(message)
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    return Latency(
        timedelta(seconds=seconds[len(seconds) // 2]), timedelta(seconds=seconds[int(0.95 * (len(seconds) - 1))])
    )


def milliseconds(latency: Latency) -> str:
    return f"{latency.median / timedelta(milliseconds=1):.2f} / {latency.p95 / timedelta(milliseconds=1):.2f}"


def selective(evaluation: IntentEvaluation, coverage: float) -> float:
    return next(part.accuracy for part in evaluation.selective if part.coverage == coverage)


def resident_megabytes() -> float:
    """Memory this process holds now (Linux); 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
