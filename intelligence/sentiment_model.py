"""How does the customer feel? A linear model over words, characters and the lexicon's signals, calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from domain.intents import Sentiment
from intelligence.lexicon import sentiment_signals
from intelligence.probabilities import softmax
from intelligence.text_features import FloatArray, ModelArrays, TextFeatures

MOODS: Final = ("negative", "neutral", "positive")
NEGATIVE: Final = 0
POSITIVE: Final = 2


class SentimentModel(Protocol):
    """Whatever can tell a mood; equal texts get equal answers for the lifetime of one `version`."""

    @property
    def version(self) -> str: ...

    def predict(self, texts: Sequence[str]) -> list[Sentiment]: ...


@dataclass(frozen=True, slots=True)
class LexiconAndWordsModel:
    """`weights` has a row per term and signal and a column per mood, in the order of `MOODS`."""

    features: TextFeatures
    weights: FloatArray
    biases: FloatArray
    sharpness: float
    version: str = "untitled"

    def predict(self, texts: Sequence[str]) -> list[Sentiment]:
        """One sentiment per text; the score is how much likelier positive is than negative."""
        if not texts:
            return []
        moods = softmax(sentiment_rows(self.features, texts) @ self.weights + self.biases, self.sharpness)
        return [
            Sentiment(
                score=float(np.clip(mood[POSITIVE] - mood[NEGATIVE], -1.0, 1.0)),
                negative_probability=float(np.clip(mood[NEGATIVE], 0.0, 1.0)),
                model_version=self.version,
            )
            for mood in moods
        ]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The whole model as plain arrays, for its file."""
        return {
            **self.features.arrays(),
            "weights": self.weights,
            "biases": self.biases,
            "sharpness": np.array([self.sharpness]),
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays, version: str) -> Self:
        """The inverse of `arrays`."""
        return cls(
            features=TextFeatures.from_arrays(arrays),
            weights=arrays["weights"].astype(np.float32, copy=False),
            biases=arrays["biases"].astype(np.float32, copy=False),
            sharpness=float(arrays["sharpness"].astype(np.float64)[0]),
            version=version,
        )


def sentiment_rows(features: TextFeatures, texts: Sequence[str]) -> sparse.csr_array:
    """The terms of each text and, in the last columns, its lexicon signals."""
    return sparse.csr_array(sparse.hstack([features.rows(texts), sparse.csr_array(sentiment_signals(texts))], "csr"))
