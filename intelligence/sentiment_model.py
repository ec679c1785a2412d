"""How does the customer feel? Support vectors on our own labels; words, characters and the lexicon's signals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.model_selection import StratifiedKFold

from domain.intents import Sentiment
from intelligence.calibration import fitted_sharpness, softmax
from intelligence.labelled_text import LabelledText
from intelligence.lexicon import sentiment_signals
from intelligence.linear_scores import fit_linear_scores
from intelligence.text_features import FloatArray, ModelArrays, TextFeatures

MOODS: Final = ("negative", "neutral", "positive")
NEGATIVE: Final = 0
POSITIVE: Final = 2

_FOLDS: Final = 5
_SEED: Final = 20


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
        moods = softmax(_rows(self.features, texts) @ self.weights + self.biases, self.sharpness)
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


@dataclass(frozen=True, slots=True)
class SentimentFit:
    """A trained model, and the moods' probabilities for every example from a model that had not seen it."""

    model: LexiconAndWordsModel
    held_out: npt.NDArray[np.float64]
    truth: npt.NDArray[np.intp]


def fit_sentiment_model(examples: Sequence[LabelledText]) -> SentimentFit:
    """Train on examples labelled with `MOODS` and calibrate on folds the scoring model has not seen.

    Raises:
        ValueError: a label that is no mood, or a mood with too few examples to hold some out.
    """
    strangers = {example.label for example in examples} - set(MOODS)
    if strangers:
        raise ValueError(f"no moods: {', '.join(sorted(strangers))}")
    texts = [example.text for example in examples]
    truth = np.array([MOODS.index(example.label) for example in examples], dtype=np.intp)
    if any(np.count_nonzero(truth == mood) < _FOLDS for mood in range(len(MOODS))):
        raise ValueError(f"every mood needs at least {_FOLDS} examples")
    importance = np.array([example.weight for example in examples], dtype=np.float64)
    held_out = np.empty((len(texts), len(MOODS)), dtype=np.float32)
    for seen, unseen in StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED).split(texts, truth):
        features, weights, biases = _fit_scores([texts[row] for row in seen], truth[seen], importance[seen])
        held_out[unseen] = _rows(features, [texts[row] for row in unseen]) @ weights + biases
    features, weights, biases = _fit_scores(texts, truth, importance)
    sharpness = fitted_sharpness(held_out, truth, importance)
    return SentimentFit(LexiconAndWordsModel(features, weights, biases, sharpness), softmax(held_out, sharpness), truth)


def _fit_scores(
    texts: Sequence[str], truth: npt.NDArray[np.intp], importance: npt.NDArray[np.float64]
) -> tuple[TextFeatures, FloatArray, FloatArray]:
    features = TextFeatures.fit(texts)
    return features, *fit_linear_scores(_rows(features, texts), truth, importance, len(MOODS))


def _rows(features: TextFeatures, texts: Sequence[str]) -> sparse.csr_array:
    return sparse.csr_array(sparse.hstack([features.rows(texts), sparse.csr_array(sentiment_signals(texts))], "csr"))
