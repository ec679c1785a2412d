from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from domain.intents import Correction
from intelligence.labelled_text import CORRECTION_WEIGHT, LabelledText, with_corrections
from intelligence.language_detector import LanguageDetector
from intelligence.model_store import (
    CurrentModel,
    ModelKind,
    ModelOrigin,
    ModelRefused,
    ModelStore,
    TrainingRecord,
)
from intelligence.text_features import ModelArrays
from intelligence.train import data_sha256, ensure_models, train_intents, train_language, train_sentiment
from intelligence.triage import MessageTriage

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RECORD = TrainingRecord(NOW, ModelOrigin.OWN, "0" * 64, 3, (("accuracy", 0.9),))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    ensure_models(store, NOW)
    return store


def arrays(number: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]]:
    return {"numbers": np.array([number], dtype=np.int64)}


def toy(*labels: str) -> list[LabelledText]:
    return [LabelledText(f"{label} {word}", label) for label in labels for word in "abcdefgh"]


def number(content: ModelArrays, _version: str) -> int:
    return int(content["numbers"].astype(np.int64)[0])


def test_what_was_published_is_read_back_and_known(store: ModelStore) -> None:
    metadata = store.publish(ModelKind.INTENT, arrays(7), RECORD)
    assert store.current_version(ModelKind.INTENT) == metadata.version
    assert number(store.arrays(ModelKind.INTENT, metadata.version), "") == 7
    assert store.versions(ModelKind.INTENT) == (metadata,)
    assert metadata.training == RECORD


def test_the_same_content_is_the_same_version(store: ModelStore) -> None:
    first = store.publish(ModelKind.INTENT, arrays(7), RECORD)
    second = store.publish(ModelKind.INTENT, arrays(7), RECORD)
    assert first.version == second.version
    assert len(store.versions(ModelKind.INTENT)) == 1


def test_a_touched_file_is_refused(store: ModelStore, tmp_path: Path) -> None:
    version = store.publish(ModelKind.INTENT, arrays(7), RECORD).version
    file = tmp_path / "models" / "intent" / version / "model.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelRefused, match="not the file"):
        store.arrays(ModelKind.INTENT, version)
    with pytest.raises(ModelRefused):
        store.promote(ModelKind.INTENT, version)


def test_publishing_again_repairs_a_touched_file(store: ModelStore, tmp_path: Path) -> None:
    version = store.publish(ModelKind.INTENT, arrays(7), RECORD).version
    (tmp_path / "models" / "intent" / version / "model.npz").write_bytes(b"")
    store.publish(ModelKind.INTENT, arrays(7), RECORD)
    assert number(store.arrays(ModelKind.INTENT, version), "") == 7


@pytest.mark.parametrize(
    "version", ["../../etc", "intent-../x", "sentiment-0123456789abcdef", "intent-0123456789abcdef"]
)
def test_a_version_nobody_published_is_refused(store: ModelStore, version: str) -> None:
    with pytest.raises(ModelRefused):
        store.arrays(ModelKind.INTENT, version)


def test_a_model_that_would_run_code_cannot_be_published(store: ModelStore) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        store.publish(ModelKind.INTENT, {"objects": np.array([object()])}, RECORD)
    assert store.current_version(ModelKind.INTENT) is None
    assert not list(store.directory.rglob("*"))


def test_old_versions_go_but_the_current_one_stays(store: ModelStore) -> None:
    records = [replace(RECORD, trained_at=NOW + timedelta(days=day)) for day in range(9)]
    versions = [store.publish(ModelKind.INTENT, arrays(day), record).version for day, record in enumerate(records)]
    kept = [metadata.version for metadata in store.versions(ModelKind.INTENT)]
    assert kept == versions[:2:-1]


def test_a_worker_uses_a_newly_published_model_without_restart(store: ModelStore) -> None:
    current = CurrentModel(store, ModelKind.INTENT, number)
    with pytest.raises(ModelRefused, match="no intent model"):
        current.get()
    first = store.publish(ModelKind.INTENT, arrays(1), RECORD)
    assert current.get() == 1
    store.publish(ModelKind.INTENT, arrays(2), RECORD)
    assert current.get() == 2
    store.promote(ModelKind.INTENT, first.version)
    assert current.get() == 1


def test_a_worker_keeps_its_model_when_the_new_one_is_refused(store: ModelStore, tmp_path: Path) -> None:
    current = CurrentModel(store, ModelKind.INTENT, number)
    store.publish(ModelKind.INTENT, arrays(1), RECORD)
    assert current.get() == 1
    (tmp_path / "models" / "intent" / "other").write_text("intent-0123456789abcdef\n")
    (tmp_path / "models" / "intent" / "other").replace(tmp_path / "models" / "intent" / "current")
    assert current.get() == 1
    assert current.refusal is not None
    store.publish(ModelKind.INTENT, arrays(2), RECORD)
    assert current.get() == 2
    assert current.refusal is None


def test_the_shipped_models_are_trained_once(trained: ModelStore) -> None:
    assert ensure_models(trained, NOW) == ()
    assert all(trained.versions(kind)[0].training.origin is ModelOrigin.SHIPPED for kind in ModelKind)


def test_a_shipped_model_of_older_examples_is_trained_again_but_an_own_one_stays(store: ModelStore) -> None:
    german = [LabelledText("wo ist das paket", "x", "de"), LabelledText("wo ist die rechnung", "y", "de")]
    english = [LabelledText("where is the parcel", "x", "en"), LabelledText("where is the bill", "y", "en")]
    train_intents(store, toy("refund", "parcel"), NOW)
    train_sentiment(store, toy("negative", "neutral", "positive"), NOW)
    own = train_language(store, [*german, *english], NOW)
    assert ensure_models(store, NOW) == ()
    assert store.current_version(ModelKind.LANGUAGE) == own.version
    train_language(store, [*german, *english, *english], NOW, ModelOrigin.SHIPPED)
    assert ensure_models(store, NOW) == (ModelKind.LANGUAGE,)


def test_triage_reads_intent_mood_and_language_in_one_call(trained: ModelStore) -> None:
    intent, sentiment, language = MessageTriage(trained).triage(
        "Mein Paket ist nie angekommen, das ist eine Frechheit!", "AW: Bestellung 4711"
    )
    assert intent.intent == "missing_delivery"
    assert intent.model_version == trained.current_version(ModelKind.INTENT)
    assert sentiment.score < 0
    assert language == "de"


def test_a_subject_speaks_when_the_text_does_not(trained: ModelStore) -> None:
    reader = MessageTriage(trained)
    assert reader.triage("see above", "Re: Re: refund request").intent.intent == "refund_request"
    assert reader.triage("Where is my refund", "Where is my refund") == reader.triage("Where is my refund", None)


def test_a_correction_outweighs_the_shipped_example_it_contradicts(store: ModelStore) -> None:
    examples = toy("refund", "parcel")
    corrections = [
        Correction("the inverter hums", "refund", "parcel", NOW),
        Correction("the inverter hums", "refund", "inverter", NOW + timedelta(hours=1)),
        Correction("refund a", "refund", "inverter", NOW),
        Correction("  ", None, "inverter", NOW),
    ]
    merged = with_corrections(examples, corrections)
    assert len(merged) == 17
    assert LabelledText("the inverter hums", "inverter", weight=CORRECTION_WEIGHT) in merged
    assert LabelledText("refund a", "refund") not in merged
    trained = train_intents(store, examples, NOW, corrections)
    assert trained.metadata.training.example_count == 17
    assert trained.evaluation.count == 17


def test_other_examples_have_another_hash() -> None:
    one = [LabelledText("a", "x"), LabelledText("b", "y")]
    assert data_sha256(one) == data_sha256(list(one))
    assert data_sha256(one) != data_sha256(one[::-1])


def test_a_detector_survives_publishing(trained: ModelStore) -> None:
    version = trained.current_version(ModelKind.LANGUAGE) or ""
    detector = LanguageDetector.from_arrays(trained.arrays(ModelKind.LANGUAGE, version))
    assert detector.language_of("Où est ma commande, s'il vous plaît ?") == "fr"
