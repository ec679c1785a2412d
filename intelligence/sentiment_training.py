"""Sentiment models from labelled messages: support vectors, calibrated on folds the scoring model has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from intelligence.calibration import fitted_sharpness
from intelligence.labelled_text import LabelledText
from intelligence.linear_scores import fit_linear_scores
from intelligence.probabilities import softmax
from intelligence.sentiment_model import MOODS, LexiconAndWordsModel, sentiment_rows
from intelligence.text_features import FloatArray, TextFeatures

_FOLDS: Final = 5
_SEED: Final = 20


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
        held_out[unseen] = sentiment_rows(features, [texts[row] for row in unseen]) @ weights + biases
    features, weights, biases = _fit_scores(texts, truth, importance)
    sharpness = fitted_sharpness(held_out, truth, importance)
    return SentimentFit(LexiconAndWordsModel(features, weights, biases, sharpness), softmax(held_out, sharpness), truth)


def _fit_scores(
    texts: Sequence[str], truth: npt.NDArray[np.intp], importance: npt.NDArray[np.float64]
) -> tuple[TextFeatures, FloatArray, FloatArray]:
    features = TextFeatures.fit(texts)
    return features, *fit_linear_scores(sentiment_rows(features, texts), truth, importance, len(MOODS))
