"""Intent models from examples: support vectors, calibrated on folds the scoring model has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

from domain.intents import IntentPrediction
from intelligence.calibration import fitted_sharpness
from intelligence.intent_model import LinearIntentModel
from intelligence.labelled_text import LabelledText
from intelligence.linear_scores import fit_linear_scores
from intelligence.probabilities import softmax
from intelligence.text_features import FloatArray, TextFeatures

_FOLDS: Final = 5
_SEED: Final = 20
_PLENTY: Final = 5000
"""Examples from which on a term must occur twice: with fewer, every rare word is worth its memory."""


@dataclass(frozen=True, slots=True)
class IntentFit:
    """A trained model, and for every example the prediction of a model that had not seen it, in the same order."""

    model: LinearIntentModel
    held_out: list[IntentPrediction]


def fit_intent_model(examples: Sequence[LabelledText]) -> IntentFit:
    """Train on `examples` and calibrate on folds of them that the scoring model has not seen.

    Raises:
        ValueError: fewer than two intents, or too few examples to hold any out.
    """
    intents = tuple(sorted({example.label for example in examples}))
    if len(intents) < 2:  # noqa: PLR2004 - a choice needs two
        raise ValueError("an intent model needs examples of at least two intents")
    if len(examples) < 2 * _FOLDS:
        raise ValueError(f"an intent model needs at least {2 * _FOLDS} examples")
    column = {intent: number for number, intent in enumerate(intents)}
    texts = [example.text for example in examples]
    truth = np.array([column[example.label] for example in examples], dtype=np.intp)
    importance = np.array([example.weight for example in examples], dtype=np.float64)

    held_out = np.empty((len(texts), len(intents)), dtype=np.float32)
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=_SEED).split(texts):
        features, weights, biases = _fit_scores(
            [texts[row] for row in seen], truth[seen], importance[seen], len(intents)
        )
        held_out[unseen] = features.rows([texts[row] for row in unseen]) @ weights + biases
    features, weights, biases = _fit_scores(texts, truth, importance, len(intents))
    sharpness = fitted_sharpness(held_out, truth, importance)
    model = LinearIntentModel(features, intents, weights, biases, sharpness)
    return IntentFit(model, model.ranked(softmax(held_out, sharpness)))


def _fit_scores(
    texts: Sequence[str], truth: npt.NDArray[np.intp], importance: npt.NDArray[np.float64], classes: int
) -> tuple[TextFeatures, FloatArray, FloatArray]:
    features = TextFeatures.fit(texts, rarest=2 if len(texts) > _PLENTY else 1)
    return features, *fit_linear_scores(features.rows(texts), truth, importance, classes)
