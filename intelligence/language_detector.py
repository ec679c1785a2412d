"""Which of the languages we ship examples in is this? Naive Bayes on groups of characters.

A handful of letters is enough for the four languages; anything shorter or stranger is answered with None, which routes
by the customer's known language instead.
"""

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from intelligence.labelled_text import LabelledText
from intelligence.text_features import FloatArray, ModelArrays, normalised, packed, unpacked

ENOUGH_READ: Final = 240
"""Characters that settle the language; more only cost time."""

_SURE: Final = 0.8
_FEWEST_LETTERS: Final = 3
_FAMILIAR: Final = 0.5
_RAREST: Final = 2
_SMOOTHING: Final = 0.5
_GROUP_LENGTHS: Final = range(1, 5)
_NO_LETTER: Final = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class LanguageDetector:
    """Log-probabilities of groups of characters (numbered rows) under each language (columns)."""

    languages: tuple[str, ...]
    groups: dict[str, int]
    log_probabilities: FloatArray

    def language_of(self, text: str) -> str | None:
        """The text's ISO 639-1 code, or None when it is too short, mixed, or in none of the languages known here."""
        letters = _letters(text)
        if len(letters.strip()) < _FEWEST_LETTERS:
            return None
        # Most three-letter groups of a language we know are known; those of another language are not.
        triples = {letters[start : start + 3] for start in range(len(letters) - 2)}
        if sum(triple in self.groups for triple in triples) < _FAMILIAR * len(triples):
            return None
        known = [row for group in _groups(letters) if (row := self.groups.get(group)) is not None]
        evidence = self.log_probabilities[known].sum(axis=0, dtype=np.float64)
        likelihood = np.exp(evidence - evidence.max())
        best = int(likelihood.argmax())
        return self.languages[best] if likelihood[best] >= _SURE * likelihood.sum() else None

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The detector as plain arrays, for its file."""
        return {
            "languages": np.array(self.languages),
            "groups": packed(self.groups),
            "log_probabilities": self.log_probabilities,
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays) -> Self:
        """The inverse of `arrays`."""
        return cls(
            tuple(str(language) for language in arrays["languages"]),
            unpacked(arrays["groups"]),
            arrays["log_probabilities"].astype(np.float32, copy=False),
        )


def fit_language_detector(examples: Sequence[LabelledText]) -> LanguageDetector:
    """Learn the languages of the examples that name theirs, and the shipped stop words."""
    content = files("intelligence").joinpath("examples", "stop_words.toml").read_text(encoding="utf-8")
    stop_words: dict[str, str] = tomllib.loads(content)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        if example.language is not None:
            counts[example.language].update(_groups(_letters(example.text)))
    for language, words in stop_words.items():
        counts[language].update(_groups(_letters(words)))
    languages = tuple(sorted(counts))
    known = sorted(group for group, count in sum(counts.values(), Counter[str]()).items() if count >= _RAREST)
    table = np.array([[counts[language][group] for language in languages] for group in known], dtype=np.float64)
    # No prior: most examples are English, most customers may not be.
    smoothed = table + _SMOOTHING
    return LanguageDetector(
        languages,
        {group: row for row, group in enumerate(known)},
        np.log(smoothed / smoothed.sum(axis=0)).astype(np.float32),
    )


def _letters(text: str) -> str:
    return f" {_NO_LETTER.sub(' ', normalised(text[:ENOUGH_READ])).strip()} "


def _groups(letters: str) -> Iterator[str]:
    return (letters[start : start + length] for length in _GROUP_LENGTHS for start in range(len(letters) - length + 1))
