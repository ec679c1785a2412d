"""How a message becomes numbers: pairs of word beginnings and character n-grams, both weighted by TF-IDF.

Short support messages carry their intent in which words stand near each other, not in any single word; cutting words
to their beginnings makes "refund", "refunded" and a typo in the ending the same. Character n-grams forgive the rest.

A worker reads every message with this, so it needs numpy and scipy's sparse rows only: scikit-learn's vectorisers give
the same numbers at twice the time a message, and importing them costs a second and most of a hundred megabytes.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray: TypeAlias = npt.NDArray[np.float32]
ModelArrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
"""What a model file holds: named plain arrays, no code."""

LONGEST_READ: Final = 800
"""Characters of a message that are read: what somebody wants stands at the beginning, and reading costs time."""

_WORD: Final = re.compile(r"\w+|[?!]")
_DIGIT: Final = re.compile(r"\d")
_STEM: Final = 4
_REACH: Final = 3
_GROUP_LENGTHS: Final = range(2, 6)


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


def character_groups(text: str) -> list[str]:
    """All groups of two to five characters inside the words of an already normalised text, their edges marked."""
    words = [f" {word} " for word in text.split()]
    return [
        word[start : start + length]
        for word in words
        for length in _GROUP_LENGTHS
        for start in range(len(word) - length + 1)
    ]


@dataclass(frozen=True, slots=True)
class TermWeights:
    """Known terms with their columns, and how much each says: the rarer, the more.

    A row holds (1 + ln occurrences) x inverse document frequency, scaled to length one.
    """

    columns: dict[str, int]
    rarity: FloatArray

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]], rarest: int) -> Self:
        """Know the terms that occur in at least `rarest` of the documents; smoothed so that no weight is infinite."""
        containing: Counter[str] = Counter()
        count = 0
        for document in documents:
            containing.update(set(document))
            count += 1
        known = sorted(term for term, occurrences in containing.items() if occurrences >= rarest)
        occurrences = np.array([containing[term] for term in known], dtype=np.float64)
        rarity = np.log((1 + count) / (1 + occurrences)) + 1
        return cls({term: column for column, term in enumerate(known)}, rarity.astype(np.float32))

    def rows(self, documents: Iterable[Iterable[str]]) -> sparse.csr_array:
        """One row per document, in ascending columns."""
        column_of = self.columns.get
        indices = [np.empty(0, dtype=np.int32)]
        values = [np.empty(0, dtype=np.float32)]
        for document in documents:
            counted = sorted(
                (column, occurrences)
                for term, occurrences in Counter(document).items()
                if (column := column_of(term)) is not None
            )
            table = np.array(counted, dtype=np.int32).reshape(-1, 2)
            weights = (1 + np.log(table[:, 1].astype(np.float32))) * self.rarity[table[:, 0]]
            indices.append(table[:, 0])
            values.append(weights / np.sqrt(weights @ weights))
        ends = np.cumsum([len(row) for row in indices], dtype=np.int32)
        return sparse.csr_array(
            (np.concatenate(values), np.concatenate(indices), ends), shape=(len(ends) - 1, len(self.columns))
        )

    def packed_terms(self) -> npt.NDArray[np.uint8]:
        """The terms in the order of their columns, as bytes for a model file."""
        return packed(self.columns)

    @classmethod
    def unpacked(cls, terms: npt.NDArray[np.generic], rarity: npt.NDArray[np.generic]) -> Self:
        """The inverse of `packed_terms` and `rarity`."""
        return cls(unpacked(terms), rarity.astype(np.float32, copy=False))


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Both views of a text side by side; each view's row has length one, so each has an equal say."""

    words: TermWeights
    characters: TermWeights

    @classmethod
    def fit(cls, texts: Sequence[str], rarest: int = 2) -> Self:
        """Learn which terms there are from `texts`; a term counts when it occurs in at least `rarest` of them."""
        read = [normalised(text) for text in texts]
        return cls(
            TermWeights.fit(map(word_pairs, read), rarest),
            TermWeights.fit(map(character_groups, read), rarest),
        )

    @property
    def width(self) -> int:
        return len(self.words.columns) + len(self.characters.columns)

    def rows(self, texts: Sequence[str]) -> sparse.csr_array:
        """One row per text, `width` columns wide."""
        read = [normalised(text) for text in texts]
        views = [self.words.rows(map(word_pairs, read)), self.characters.rows(map(character_groups, read))]
        joined: sparse.csr_array = sparse.hstack(views, "csr")
        return joined

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything needed to build these features again, as plain arrays."""
        return {
            "word_terms": self.words.packed_terms(),
            "word_rarity": self.words.rarity,
            "character_terms": self.characters.packed_terms(),
            "character_rarity": self.characters.rarity,
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays) -> Self:
        """The inverse of `arrays`."""
        return cls(
            TermWeights.unpacked(arrays["word_terms"], arrays["word_rarity"]),
            TermWeights.unpacked(arrays["character_terms"], arrays["character_rarity"]),
        )


def packed(columns: Mapping[str, int]) -> npt.NDArray[np.uint8]:
    """Terms numbered from 0 without a gap, as the bytes of a JSON list."""
    return np.frombuffer(json.dumps(sorted(columns, key=columns.__getitem__), ensure_ascii=False).encode(), np.uint8)


def unpacked(terms: npt.NDArray[np.generic]) -> dict[str, int]:
    """The inverse of `packed`."""
    listed: list[str] = json.loads(terms.tobytes())
    return {term: column for column, term in enumerate(listed)}
