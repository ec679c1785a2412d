"""Texts with the label a person gave them: what every model here is trained and judged on."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from domain.intents import Correction

CORRECTION_WEIGHT: Final = 3.0
"""How many shipped examples an agent's correction is worth: it is this installation's real traffic."""

_INTENT_FILES: Final = (
    "money.toml",
    "account.toml",
    "orders.toml",
    "technical.toml",
    "relationship.toml",
    "phrases.toml",
)
_SENTIMENT_FILE: Final = "sentiment.toml"
_HELD_OUT_FILE: Final = "held_out.toml"


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One example; `language` is an ISO 639-1 code where it is known."""

    text: str
    label: str
    language: str | None = None
    weight: float = 1.0


def shipped_intent_examples() -> tuple[LabelledText, ...]:
    """The examples of Baton's own taxonomy, in a stable order."""
    return tuple(example for name in _INTENT_FILES for example in _read(name))


def shipped_sentiment_examples() -> tuple[LabelledText, ...]:
    """The shipped examples labelled negative, neutral or positive, in a stable order."""
    return tuple(_read(_SENTIMENT_FILE))


def held_out_intent_examples() -> tuple[LabelledText, ...]:
    """Messages of Baton's own taxonomy that no shipped model is trained on."""
    return tuple(_read(_HELD_OUT_FILE))


def with_corrections(examples: Sequence[LabelledText], corrections: Iterable[Correction]) -> tuple[LabelledText, ...]:
    """The examples and what agents put right; where several agents judged the same text, the latest word counts."""
    latest: dict[str, Correction] = {}
    for correction in sorted(corrections, key=lambda correction: correction.at):
        if correction.text.strip():
            latest[correction.text.strip()] = correction
    corrected = (
        LabelledText(text, correction.corrected, weight=CORRECTION_WEIGHT) for text, correction in latest.items()
    )
    return (*(example for example in examples if example.text not in latest), *corrected)


def _read(name: str) -> Iterable[LabelledText]:
    content = files("intelligence").joinpath("examples", name).read_text(encoding="utf-8")
    for label, languages in tomllib.loads(content).items():
        for language, lines in languages.items():
            for line in lines.strip().splitlines():
                yield LabelledText(line, label, language)
