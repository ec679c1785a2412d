"""Which of the languages we ship examples in is this? Multinomial naive Bayes on character n-grams.

A handful of letters is enough for the four languages; anything shorter or stranger is answered with None, which routes
by the customer's known language instead.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from intelligence.labelled_text import LabelledText
from intelligence.text_features import FloatArray, ModelArrays, normalised

ENOUGH_READ: Final = 240
"""Characters that settle the language; more only cost time."""

_SURE: Final = 0.8
_FEWEST_LETTERS: Final = 3
_FAMILIAR: Final = 0.5
_NO_LETTER: Final = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class LanguageDetector:
    """Log-probabilities of character n-grams (rows) under each language (columns), and the n-grams that say any."""

    languages: tuple[str, ...]
    characters: CountVectorizer
    log_probabilities: FloatArray

    def language_of(self, text: str) -> str | None:
        """The text's ISO 639-1 code, or None when it is too short, mixed, or in none of the languages known here."""
        letters = _letters(text)
        if len(letters.strip()) < _FEWEST_LETTERS:
            return None
        counts = self.characters.transform([letters])
        # Most three-letter groups of a language we know are in the vocabulary; those of another language are not.
        groups = {letters[start : start + 3] for start in range(len(letters) - 2)}
        if sum(group in self.characters.vocabulary_ for group in groups) < _FAMILIAR * len(groups):
            return None
        evidence = (counts @ self.log_probabilities).ravel().astype(np.float64)
        likelihood = np.exp(evidence - evidence.max())
        best = int(likelihood.argmax())
        return self.languages[best] if likelihood[best] >= _SURE * likelihood.sum() else None

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The detector as plain arrays, for its file."""
        terms = sorted(self.characters.vocabulary_, key=self.characters.vocabulary_.__getitem__)
        return {
            "languages": np.array(self.languages),
            "terms": np.frombuffer(json.dumps(terms, ensure_ascii=False).encode(), dtype=np.uint8),
            "log_probabilities": self.log_probabilities,
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays) -> Self:
        """The inverse of `arrays`."""
        terms: list[str] = json.loads(arrays["terms"].tobytes())
        characters = _vectoriser(1, {term: column for column, term in enumerate(terms)})
        characters.fit([])
        return cls(
            tuple(str(language) for language in arrays["languages"]),
            characters,
            arrays["log_probabilities"].astype(np.float32, copy=False),
        )


def fit_language_detector(examples: Sequence[LabelledText]) -> LanguageDetector:
    """Learn the languages of the examples that name theirs, and the shipped stop words."""
    content = files("intelligence").joinpath("examples", "stop_words.toml").read_text(encoding="utf-8")
    stop_words: dict[str, str] = tomllib.loads(content)
    known = [(_letters(example.text), example.language) for example in examples if example.language is not None]
    known += [(_letters(words), language) for language, words in stop_words.items()]
    characters = _vectoriser(2, None)
    counts = characters.fit_transform([text for text, _ in known])
    # Equal priors: most examples are English, most customers may not be.
    bayes = MultinomialNB(alpha=0.5, fit_prior=False).fit(counts, [language for _, language in known])
    return LanguageDetector(
        tuple(str(language) for language in bayes.classes_), characters, bayes.feature_log_prob_.T.astype(np.float32)
    )


def _letters(text: str) -> str:
    return f" {_NO_LETTER.sub(' ', normalised(text[:ENOUGH_READ])).strip()} "


def _vectoriser(rarest: int, vocabulary: dict[str, int] | None) -> CountVectorizer:
    return CountVectorizer(
        analyzer="char", ngram_range=(1, 4), lowercase=False, min_df=rarest, vocabulary=vocabulary, dtype=np.float32
    )
