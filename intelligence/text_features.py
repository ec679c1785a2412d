"""How a message becomes numbers: pairs of word beginnings and character n-grams, both weighted by TF-IDF.

Short support messages carry their intent in which words stand near each other, not in any single word; cutting words
to their beginnings makes "refund", "refunded" and a typo in the ending the same. Character n-grams forgive the rest.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

FloatArray: TypeAlias = npt.NDArray[np.float32]
ModelArrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
"""What a model file holds: named plain arrays, no code."""

LONGEST_READ: Final = 800
"""Characters of a message that are read: what somebody wants stands at the beginning, and reading costs time."""

_WORD: Final = re.compile(r"\w+|[?!]")
_DIGIT: Final = re.compile(r"\d")
_STEM: Final = 4
_REACH: Final = 3


def normalised(text: str) -> str:
    """`text` in compatibility form and lower case, every digit a 0: order numbers say nothing, their shape does."""
    return _DIGIT.sub("0", unicodedata.normalize("NFKC", text[:LONGEST_READ]).lower())


def word_pairs(text: str) -> list[str]:
    """The word beginnings of an already normalised text, and every two of them at most three words apart."""
    words = ["^", *(word[:_STEM] for word in _WORD.findall(text))]
    terms = words[1:]
    for position, first in enumerate(words):
        for distance, second in enumerate(words[position + 1 : position + 1 + _REACH]):
            terms.append(f"{first} {second}" if distance == 0 else f"{first} * {second}")
    return terms


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """The two fitted vectorisers; both rows have length one, so each has an equal say."""

    words: TfidfVectorizer
    characters: TfidfVectorizer

    @classmethod
    def fit(cls, texts: Sequence[str], rarest: int = 2) -> Self:
        """Learn which terms there are from `texts`; a term counts when it occurs in at least `rarest` of them."""
        read = [normalised(text) for text in texts]
        features = cls(_word_vectoriser(rarest), _character_vectoriser(rarest))
        features.words.fit(read)
        features.characters.fit(read)
        return features

    @property
    def width(self) -> int:
        return len(self.words.vocabulary_) + len(self.characters.vocabulary_)

    def rows(self, texts: Sequence[str]) -> sparse.csr_array:
        """One row per text, `width` columns wide."""
        read = [normalised(text) for text in texts]
        return sparse.csr_array(sparse.hstack([self.words.transform(read), self.characters.transform(read)], "csr"))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything needed to build these features again, as plain arrays: a model file holds no code."""
        return {
            "word_terms": _packed(self.words),
            "word_weights": self.words.idf_.astype(np.float32),
            "character_terms": _packed(self.characters),
            "character_weights": self.characters.idf_.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays) -> Self:
        """The inverse of `arrays`."""
        words, characters = _word_vectoriser(1), _character_vectoriser(1)
        for vectoriser, name in ((words, "word"), (characters, "character")):
            terms: list[str] = json.loads(arrays[f"{name}_terms"].tobytes())
            vectoriser.vocabulary = {term: column for column, term in enumerate(terms)}
            vectoriser.idf_ = arrays[f"{name}_weights"]
        return cls(words, characters)


def _word_vectoriser(rarest: int) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=word_pairs, sublinear_tf=True, min_df=rarest, dtype=np.float32)


def _character_vectoriser(rarest: int) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 5), lowercase=False, sublinear_tf=True, min_df=rarest, dtype=np.float32
    )


def _packed(vectoriser: TfidfVectorizer) -> npt.NDArray[np.uint8]:
    terms = sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
    return np.frombuffer(json.dumps(terms, ensure_ascii=False).encode(), dtype=np.uint8)
