"""How good is an intent model? The figures behind `baton evaluate`; `python -m intelligence.evaluate PATH` prints them.

Accuracy says how often the first guess is right. Selective accuracy says how often it is right among the share of
messages the model is surest of, which is what routing without a person relies on. Brier and ECE say whether a
confidence of 0.8 is right four times out of five. The out-of-scope AUROC is the chance that a message of no intent gets
a lower confidence than one that has one.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score, roc_auc_score

from domain.intents import IntentPrediction
from intelligence.intent_model import IntentModel, LinearIntentModel
from intelligence.intent_training import fit_intent_model
from intelligence.labelled_files import read_split
from intelligence.model_store import ModelKind, ModelRefused, ModelStore
from intelligence.sentiment_model import NEGATIVE
from intelligence.sentiment_training import SentimentFit

COVERAGES: Final = (0.5, 0.8, 0.9, 0.95)

_BINS: Final = 10
_TOP: Final = 3
_NOTHING: Final = ""


@dataclass(frozen=True, slots=True)
class SelectiveAccuracy:
    """Accuracy among the `coverage` share of messages the model is surest of, those from confidence `threshold` on."""

    coverage: float
    accuracy: float
    threshold: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Messages whose confidence lies in one tenth: calibrated means both shares are alike."""

    lowest: float
    highest: float
    count: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Time to predict one message alone."""

    median: timedelta
    p95: timedelta


@dataclass(frozen=True, slots=True)
class IntentEvaluation:
    """All shares from 0 to 1; `brier` and `expected_calibration_error` judge the confidence of the first guess."""

    count: int
    accuracy: float
    top3_accuracy: float
    macro_f1: float
    selective: tuple[SelectiveAccuracy, ...]
    brier: float
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    out_of_scope_auroc: float | None


@dataclass(frozen=True, slots=True)
class SentimentEvaluation:
    """Over three moods; the AUROC and the recall are those of the negative one."""

    count: int
    accuracy: float
    negative_recall: float
    negative_auroc: float
    negative_brier: float


def evaluate_intents(
    predictions: Sequence[IntentPrediction], truth: Sequence[str], out_of_scope: Sequence[IntentPrediction] = ()
) -> IntentEvaluation:
    """Judge predictions against the true intents, and those made for texts of no intent by their confidence.

    Raises:
        ValueError: nothing to judge, or not one truth a prediction.
    """
    if not truth or len(predictions) != len(truth):
        raise ValueError("an evaluation needs one true intent for each of its predictions, and at least one")
    guesses = [prediction.intent or _NOTHING for prediction in predictions]
    confidence = np.array([prediction.confidence for prediction in predictions])
    right = np.array([guess == true for guess, true in zip(guesses, truth, strict=True)])
    near = [
        true in (guess, *(intent for intent, _ in prediction.alternatives[: _TOP - 1]))
        for guess, prediction, true in zip(guesses, predictions, truth, strict=True)
    ]
    reliability = _reliability(confidence, right)
    return IntentEvaluation(
        count=len(truth),
        accuracy=float(right.mean()),
        top3_accuracy=float(np.mean(near)),
        macro_f1=float(f1_score(truth, guesses, labels=sorted(set(truth)), average="macro", zero_division=0)),
        selective=tuple(_selective(confidence, right, coverage) for coverage in COVERAGES),
        brier=float(np.mean((confidence - right) ** 2)),
        expected_calibration_error=sum(
            abs(part.accuracy - part.mean_confidence) * part.count / len(truth) for part in reliability
        ),
        reliability=reliability,
        out_of_scope_auroc=_out_of_scope_auroc(confidence, out_of_scope),
    )


def evaluate_sentiment(fit: SentimentFit) -> SentimentEvaluation:
    """Judge a fit on the examples its models had not seen."""
    negative = fit.truth == NEGATIVE
    guesses = fit.held_out.argmax(axis=1)
    return SentimentEvaluation(
        count=len(fit.truth),
        accuracy=float(np.mean(guesses == fit.truth)),
        negative_recall=float(np.mean(guesses[negative] == NEGATIVE)),
        negative_auroc=float(roc_auc_score(negative, fit.held_out[:, NEGATIVE])),
        negative_brier=float(np.mean((fit.held_out[:, NEGATIVE] - negative) ** 2)),
    )


def measured_latency(model: IntentModel, texts: Sequence[str]) -> Latency:
    """Predict each text by itself, as a worker does, and report how long that took.

    Raises:
        ValueError: nothing to measure.
    """
    if not texts:
        raise ValueError("a latency needs at least one text")
    model.predict(texts[:1])
    seconds = []
    for text in texts:
        started = time.perf_counter()
        model.predict([text])
        seconds.append(time.perf_counter() - started)
    return Latency(timedelta(seconds=float(np.median(seconds))), timedelta(seconds=float(np.quantile(seconds, 0.95))))


def report(evaluation: IntentEvaluation, latency: Latency | None = None) -> str:
    """The evaluation as lines for a terminal."""
    lines = [
        f"messages                 {evaluation.count}",
        f"accuracy                 {evaluation.accuracy:.2%}",
        f"right among first three  {evaluation.top3_accuracy:.2%}",
        f"macro F1                 {evaluation.macro_f1:.2%}",
        *(
            f"accuracy at {part.coverage:.0%} coverage {part.accuracy:.2%}  (confidence from {part.threshold:.2f})"
            for part in evaluation.selective
        ),
        f"Brier                    {evaluation.brier:.4f}",
        f"ECE                      {evaluation.expected_calibration_error:.4f}",
    ]
    if evaluation.out_of_scope_auroc is not None:
        lines.append(f"AUROC out of scope       {evaluation.out_of_scope_auroc:.2%}")
    if latency is not None:
        lines.append(
            f"latency                  {latency.median / timedelta(milliseconds=1):.2f} ms median, "
            f"{latency.p95 / timedelta(milliseconds=1):.2f} ms p95"
        )
    lines.append("confidence   messages  mean   right")
    lines += [
        f"{part.lowest:.1f} to {part.highest:.1f}  {part.count:>9}  {part.mean_confidence:.3f}  {part.accuracy:.3f}"
        for part in evaluation.reliability
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate on a labelled file: a model trained on its training part, or the current one of a store."""
    parser = argparse.ArgumentParser(prog="python -m intelligence.evaluate", description=main.__doc__)
    parser.add_argument("path", type=Path, help="a CSV, a folder with train.csv and test.csv, or the CLINC150 JSON")
    parser.add_argument("--store", type=Path, help="judge this store's current intent model; nothing is trained")
    options = parser.parse_args(arguments)
    try:
        split = read_split(options.path)
        model = fit_intent_model(split.train).model if options.store is None else _current(ModelStore(options.store))
    except (OSError, ValueError, ModelRefused) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    texts = [example.text for example in split.test]
    evaluation = evaluate_intents(
        model.predict(texts), [example.label for example in split.test], model.predict(split.out_of_scope)
    )
    sys.stdout.write(report(evaluation, measured_latency(model, texts[:1000])) + "\n")
    return 0


def _current(store: ModelStore) -> LinearIntentModel:
    version = store.current_version(ModelKind.INTENT)
    if version is None:
        raise ModelRefused("no intent model was published yet")
    return LinearIntentModel.from_arrays(store.arrays(ModelKind.INTENT, version), version)


def _selective(
    confidence: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    coverage: float,
) -> SelectiveAccuracy:
    surest_first = np.argsort(-confidence, kind="stable")
    kept = surest_first[: max(1, round(coverage * len(confidence)))]
    return SelectiveAccuracy(coverage, float(right[kept].mean()), float(confidence[kept[-1]]))


def _reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return tuple(
        ReliabilityBin(
            lowest=number / _BINS,
            highest=(number + 1) / _BINS,
            count=int(inside.sum()),
            mean_confidence=float(confidence[inside].mean()),
            accuracy=float(right[inside].mean()),
        )
        for number in range(_BINS)
        if (inside := bins == number).any()
    )


def _out_of_scope_auroc(in_scope: npt.NDArray[np.float64], out_of_scope: Sequence[IntentPrediction]) -> float | None:
    if not out_of_scope:
        return None
    outside = [prediction.confidence for prediction in out_of_scope]
    belongs = np.concatenate([np.ones(len(in_scope)), np.zeros(len(outside))])
    return float(roc_auc_score(belongs, np.concatenate([in_scope, outside])))


if __name__ == "__main__":
    sys.exit(main())
