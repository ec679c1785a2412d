"""From labelled messages to a published model: the functions behind `baton train`.

The figures in a model's record come from the folds held out while it was calibrated: no example judges a model that
has seen it, and none is wasted.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.intents import Correction
from intelligence.evaluate import IntentEvaluation, SentimentEvaluation, evaluate_intents, evaluate_sentiment
from intelligence.intent_training import fit_intent_model
from intelligence.labelled_text import (
    LabelledText,
    shipped_intent_examples,
    shipped_sentiment_examples,
    with_corrections,
)
from intelligence.language_detector import fit_language_detector
from intelligence.model_store import (
    ModelKind,
    ModelMetadata,
    ModelOrigin,
    ModelRefused,
    ModelStore,
    TrainingRecord,
)
from intelligence.sentiment_training import fit_sentiment_model


@dataclass(frozen=True, slots=True)
class TrainedIntents:
    """The published version, and what its held-out folds say about it."""

    metadata: ModelMetadata
    evaluation: IntentEvaluation


@dataclass(frozen=True, slots=True)
class TrainedSentiment:
    """The published version, and what its held-out folds say about it."""

    metadata: ModelMetadata
    evaluation: SentimentEvaluation


def train_intents(
    store: ModelStore,
    examples: Sequence[LabelledText],
    trained_at: datetime,
    corrections: Iterable[Correction] = (),
    origin: ModelOrigin = ModelOrigin.OWN,
) -> TrainedIntents:
    """Train on the examples and on what agents put right, publish the model, and make it the current one."""
    merged = with_corrections(examples, corrections)
    fit = fit_intent_model(merged)
    evaluation = evaluate_intents(fit.held_out, [example.label for example in merged])
    figures = (
        ("accuracy", evaluation.accuracy),
        ("top3_accuracy", evaluation.top3_accuracy),
        ("macro_f1", evaluation.macro_f1),
        ("brier", evaluation.brier),
        ("expected_calibration_error", evaluation.expected_calibration_error),
    )
    record = _record(merged, trained_at, origin, figures)
    return TrainedIntents(store.publish(ModelKind.INTENT, fit.model.arrays(), record), evaluation)


def train_sentiment(
    store: ModelStore,
    examples: Sequence[LabelledText],
    trained_at: datetime,
    origin: ModelOrigin = ModelOrigin.OWN,
) -> TrainedSentiment:
    """Train on messages labelled negative, neutral or positive, publish the model, and make it the current one."""
    fit = fit_sentiment_model(examples)
    evaluation = evaluate_sentiment(fit)
    figures = (
        ("accuracy", evaluation.accuracy),
        ("negative_recall", evaluation.negative_recall),
        ("negative_auroc", evaluation.negative_auroc),
        ("negative_brier", evaluation.negative_brier),
    )
    record = _record(examples, trained_at, origin, figures)
    return TrainedSentiment(store.publish(ModelKind.SENTIMENT, fit.model.arrays(), record), evaluation)


def train_language(
    store: ModelStore,
    examples: Sequence[LabelledText],
    trained_at: datetime,
    origin: ModelOrigin = ModelOrigin.OWN,
) -> ModelMetadata:
    """Train on the examples that name their language, publish the detector, and make it the current one."""
    record = _record(examples, trained_at, origin, ())
    return store.publish(ModelKind.LANGUAGE, fit_language_detector(examples).arrays(), record)


def ensure_models(store: ModelStore, now: datetime) -> tuple[ModelKind, ...]:
    """Train from the shipped examples whatever kind has no usable model, and say which kinds those were.

    A model an installation trained itself stays. One from shipped examples is trained again once an upgrade has
    brought other examples.
    """
    trained = []
    for kind, (examples, train) in _SHIPPED.items():
        shipped = examples()
        if not _is_usable(store, kind, data_sha256(shipped)):
            train(store, shipped, now)
            trained.append(kind)
    return tuple(trained)


def data_sha256(examples: Sequence[LabelledText]) -> str:
    """Identifies a set of examples, order included: the same examples train the same model."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.text, example.label, example.language, example.weight]).encode())
    return digest.hexdigest()


def _is_usable(store: ModelStore, kind: ModelKind, shipped_sha256: str) -> bool:
    version = store.current_version(kind)
    if version is None:
        return False
    try:
        store.arrays(kind, version)
        training = store.metadata(kind, version).training
    except ModelRefused:
        return False
    return training.origin is ModelOrigin.OWN or training.data_sha256 == shipped_sha256


def _record(
    examples: Sequence[LabelledText],
    trained_at: datetime,
    origin: ModelOrigin,
    figures: tuple[tuple[str, float], ...],
) -> TrainingRecord:
    return TrainingRecord(trained_at, origin, data_sha256(examples), len(examples), figures)


def _all_shipped() -> tuple[LabelledText, ...]:
    return (*shipped_intent_examples(), *shipped_sentiment_examples())


def _train_shipped_intents(store: ModelStore, examples: Sequence[LabelledText], now: datetime) -> None:
    train_intents(store, examples, now, origin=ModelOrigin.SHIPPED)


def _train_shipped_sentiment(store: ModelStore, examples: Sequence[LabelledText], now: datetime) -> None:
    train_sentiment(store, examples, now, ModelOrigin.SHIPPED)


def _train_shipped_language(store: ModelStore, examples: Sequence[LabelledText], now: datetime) -> None:
    train_language(store, examples, now, ModelOrigin.SHIPPED)


_SHIPPED: Final[
    dict[
        ModelKind,
        tuple[Callable[[], tuple[LabelledText, ...]], Callable[[ModelStore, Sequence[LabelledText], datetime], None]],
    ]
] = {
    ModelKind.INTENT: (shipped_intent_examples, _train_shipped_intents),
    ModelKind.SENTIMENT: (shipped_sentiment_examples, _train_shipped_sentiment),
    ModelKind.LANGUAGE: (_all_shipped, _train_shipped_language),
}
