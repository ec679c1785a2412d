import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intents import IntentPrediction
from intelligence.evaluate import evaluate_intents, main, measured_latency, report
from intelligence.intent_training import fit_intent_model
from intelligence.labelled_files import UnreadableExamples, read_csv, read_split
from intelligence.labelled_text import LabelledText, shipped_intent_examples
from intelligence.model_store import ModelStore
from intelligence.train import train_intents


def guess(intent: str | None, confidence: float, *others: str) -> IntentPrediction:
    return IntentPrediction(intent, confidence, tuple((other, 0.0) for other in others), "v1")


def csv_of(path: Path, examples: list[LabelledText]) -> Path:
    path.write_text("text,label\n" + "".join(f'"{e.text}",{e.label}\n' for e in examples), encoding="utf-8")
    return path


TOY = [LabelledText(f"refund please {word}", "refund") for word in "abcdefghijkl"]
TOY += [LabelledText(f"where is my parcel {word}", "parcel") for word in "abcdefghijkl"]


def test_the_figures_of_four_messages_worked_out_by_hand() -> None:
    predictions = [guess("a", 0.9), guess("a", 0.8), guess("b", 0.6, "a"), guess(None, 0.0)]
    evaluation = evaluate_intents(predictions, ["a", "b", "a", "b"])
    assert evaluation.accuracy == 0.25
    assert evaluation.top3_accuracy == 0.5
    assert evaluation.macro_f1 == pytest.approx(0.25)
    assert evaluation.brier == pytest.approx((0.01 + 0.64 + 0.36 + 0) / 4)
    assert evaluation.expected_calibration_error == pytest.approx((0.1 + 0.8 + 0.6 + 0) / 4)
    assert evaluation.selective[0].accuracy == 0.5
    assert evaluation.selective[0].threshold == 0.8
    assert evaluation.out_of_scope_auroc is None


def test_texts_of_no_intent_are_told_apart_by_their_low_confidence() -> None:
    predictions = [guess("a", 0.9), guess("a", 0.8)]
    apart = evaluate_intents(predictions, ["a", "a"], [guess("a", 0.1), guess("a", 0.2)])
    mixed = evaluate_intents(predictions, ["a", "a"], [guess("a", 0.95), guess("a", 0.2)])
    assert apart.out_of_scope_auroc == 1.0
    assert mixed.out_of_scope_auroc == 0.5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.floats(0, 1)), min_size=1, max_size=40))
def test_every_share_stays_between_zero_and_one(rows: list[tuple[str, str, float]]) -> None:
    evaluation = evaluate_intents([guess(mine, sure) for mine, _, sure in rows], [true for _, true, _ in rows])
    shares = (evaluation.accuracy, evaluation.macro_f1, evaluation.brier, evaluation.expected_calibration_error)
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert evaluation.accuracy <= evaluation.top3_accuracy
    assert sum(part.count for part in evaluation.reliability) == len(rows)


def test_an_evaluation_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        evaluate_intents([], [])
    with pytest.raises(ValueError, match="at least one text"):
        measured_latency(fit_intent_model(TOY).model, [])


def test_a_report_names_every_figure() -> None:
    model = fit_intent_model(TOY).model
    evaluation = evaluate_intents(model.predict(["my parcel"]), ["parcel"], model.predict(["the moon"]))
    lines = report(evaluation, measured_latency(model, ["my parcel"]))
    assert all(name in lines for name in ("accuracy", "macro F1", "Brier", "ECE", "AUROC out of scope", "latency"))


def test_a_csv_is_read_by_its_header_whatever_its_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('\ufeffCategory,Text\nrefund,"money, back"\n,nobody labelled me\nparcel,\n', encoding="utf-8")
    assert read_csv(path) == (LabelledText("money, back", "refund"),)


def test_files_without_labelled_texts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UnreadableExamples, match="columns"):
        read_split(path)
    path.write_text("text,label\n", encoding="utf-8")
    with pytest.raises(UnreadableExamples, match="no labelled rows"):
        read_split(path)
    with pytest.raises(UnreadableExamples, match=r"train\.csv"):
        read_split(tmp_path)
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UnreadableExamples, match="train"):
        read_split(tmp_path / "other.json")


def test_one_csv_gives_every_fifth_row_to_the_test(tmp_path: Path) -> None:
    split = read_split(csv_of(tmp_path / "rows.csv", TOY))
    assert len(split.test) == 5
    assert len(split.train) == len(TOY) - 5
    assert not set(split.test) & set(split.train)


def test_evaluating_a_folder_prints_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv_of(tmp_path / "train.csv", TOY)
    csv_of(tmp_path / "test.csv", TOY[:2])
    assert main([str(tmp_path)]) == 0
    assert "accuracy                 100.00%" in capsys.readouterr().out


def test_evaluating_a_json_with_texts_of_no_intent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(example.text, example.label) for example in TOY]
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"train": rows, "test": rows[:3], "oos_test": [("the moon", "oos")]}), encoding="utf-8")
    assert main([str(path)]) == 0
    assert "AUROC out of scope" in capsys.readouterr().out


def test_evaluating_the_current_model_of_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = csv_of(tmp_path / "rows.csv", [LabelledText("where is my parcel", "parcel")])
    assert main([str(rows), "--store", str(tmp_path / "models")]) == 1
    assert "no intent model" in capsys.readouterr().err
    train_intents(ModelStore(tmp_path / "models"), TOY, datetime(2026, 3, 2, tzinfo=UTC))
    assert main([str(rows), "--store", str(tmp_path / "models")]) == 0
    assert "accuracy                 100.00%" in capsys.readouterr().out


def test_latency_is_a_time_per_message() -> None:
    latency = measured_latency(
        fit_intent_model(TOY).model, [example.text for example in shipped_intent_examples()[:20]]
    )
    assert timedelta(0) < latency.median <= latency.p95
