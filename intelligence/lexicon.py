"""Words that colour a message, counted: what the sentiment model knows beyond its examples.

The lexicon never decides: it only feeds the classifier, which learned from labelled messages how far to believe it.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from intelligence.text_features import LONGEST_READ, FloatArray

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_SHOUT: Final = re.compile(r"\b[A-Z]{3,}\b")
_NEGATION_REACH: Final = 3
_SATURATION: Final = 3
_SHORT: Final = 4

SIGNALS: Final = (
    "positive words",
    "negative words",
    "negated positive words",
    "negated negative words",
    "intensified words",
    "more positive than negative",
    "more negative than positive",
    "exclamation marks",
    "question marks",
    "doubled punctuation",
    "shouted words",
    "no coloured word",
    "short",
)
"""The columns of `sentiment_signals`, each between 0 and 1."""


@dataclass(frozen=True, slots=True)
class WordList:
    """Whole words, and beginnings that match every continuation."""

    words: frozenset[str]
    beginnings: tuple[str, ...]

    def __contains__(self, word: str) -> bool:
        return word in self.words or word.startswith(self.beginnings)


@cache
def word_list(kind: str) -> WordList:
    """The shipped list of one kind (positive, negative, negation, intensifier), all languages together."""
    content = files("intelligence").joinpath("examples", "lexicon.toml").read_text(encoding="utf-8")
    languages: dict[str, str] = tomllib.loads(content)[kind]
    entries = {entry for words in languages.values() for entry in words.split()}
    return WordList(
        words=frozenset(entry for entry in entries if not entry.endswith("*")),
        beginnings=tuple(sorted(entry[:-1] for entry in entries if entry.endswith("*"))),
    )


def sentiment_signals(texts: Sequence[str]) -> FloatArray:
    """One row per text, one column per name in `SIGNALS`; counts saturate at three."""
    return np.array([_signals(text[:LONGEST_READ]) for text in texts], dtype=np.float32).reshape(-1, len(SIGNALS))


def _signals(text: str) -> tuple[float, ...]:
    words = [word.replace("\u2019", "'") for word in _WORD.findall(text.lower())]
    positives, negatives = word_list("positive"), word_list("negative")
    negations, intensifiers = word_list("negation"), word_list("intensifier")
    positive = negative = negated_positive = negated_negative = intensified = 0
    for position, word in enumerate(words):
        is_positive, is_negative = word in positives, word in negatives
        if not (is_positive or is_negative):
            continue
        before = words[max(0, position - _NEGATION_REACH) : position]
        negated = any(earlier in negations for earlier in before)
        intensified += any(earlier in intensifiers for earlier in before)
        positive += is_positive and not negated
        negative += is_negative and not negated
        negated_positive += is_positive and negated
        negated_negative += is_negative and negated
    return (
        _saturated(positive),
        _saturated(negative),
        _saturated(negated_positive),
        _saturated(negated_negative),
        _saturated(intensified),
        float(positive > negative),
        float(negative > positive),
        _saturated(text.count("!")),
        _saturated(text.count("?")),
        float("!!" in text or "??" in text or "?!" in text),
        _saturated(len(_SHOUT.findall(text))),
        float(positive + negative + negated_positive + negated_negative == 0),
        float(len(words) <= _SHORT),
    )


def _saturated(count: int) -> float:
    return min(count, _SATURATION) / _SATURATION
