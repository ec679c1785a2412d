"""Labelled texts out of files: CSV with a text and a label column, and the CLINC150 JSON."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intelligence.labelled_text import LabelledText

_TEXT_COLUMNS: Final = ("text", "utterance", "message", "document")
_LABEL_COLUMNS: Final = ("label", "intent", "category", "topic_group")
_TEST_EVERY: Final = 5


class UnreadableExamples(ValueError):  # noqa: N818 - named after what happened
    """A file that holds no labelled texts in a form known here."""


@dataclass(frozen=True, slots=True)
class LabelledSplit:
    """What to learn from and what to be judged on; `out_of_scope` texts belong to none of the intents."""

    train: tuple[LabelledText, ...]
    test: tuple[LabelledText, ...]
    out_of_scope: tuple[str, ...] = ()


def read_csv(path: Path) -> tuple[LabelledText, ...]:
    """The rows of a CSV file whose header names a text and a label column; rows without either are left out.

    Raises:
        UnreadableExamples: no such columns, or no rows.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        text_column = next((columns[name] for name in _TEXT_COLUMNS if name in columns), None)
        label_column = next((columns[name] for name in _LABEL_COLUMNS if name in columns), None)
        if text_column is None or label_column is None:
            raise UnreadableExamples(f"{path.name} has no text and label columns")
        examples = tuple(
            LabelledText(text, label)
            for row in rows
            if (text := (row[text_column] or "").strip()) and (label := (row[label_column] or "").strip())
        )
    if not examples:
        raise UnreadableExamples(f"{path.name} has no labelled rows")
    return examples


def read_split(path: Path) -> LabelledSplit:
    """A split from a CLINC150 JSON, a folder with train.csv and test.csv, or one CSV (every fifth row is for the test).

    Raises:
        UnreadableExamples: the path is none of these.
    """
    if path.is_dir():
        if (path / "train.csv").is_file() and (path / "test.csv").is_file():
            return LabelledSplit(read_csv(path / "train.csv"), read_csv(path / "test.csv"))
        raise UnreadableExamples(f"{path.name} holds no train.csv and test.csv")
    if path.suffix.lower() == ".json":
        return _read_clinc(path)
    examples = read_csv(path)
    return LabelledSplit(
        tuple(example for row, example in enumerate(examples) if row % _TEST_EVERY),
        tuple(example for row, example in enumerate(examples) if row % _TEST_EVERY == 0),
    )


def _read_clinc(path: Path) -> LabelledSplit:
    content: dict[str, list[tuple[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
    try:
        return LabelledSplit(
            tuple(LabelledText(text, label) for text, label in content["train"]),
            tuple(LabelledText(text, label) for text, label in content["test"]),
            tuple(text for text, _ in content["oos_test"]),
        )
    except KeyError as missing:
        raise UnreadableExamples(f"{path.name} has no part named {missing}") from missing
