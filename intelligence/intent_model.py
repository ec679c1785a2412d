"""What does the customer want? Support vectors on words and characters, calibrated on held-out folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

from domain.intents import IntentPrediction
from intelligence.calibration import fitted_sharpness, softmax
from intelligence.labelled_text import LabelledText
from intelligence.linear_scores import fit_linear_scores
from intelligence.text_features import FloatArray, ModelArrays, TextFeatures

ALTERNATIVES: Final = 3
"""How many intents are named beside the predicted one."""

_FOLDS: Final = 5
_SEED: Final = 20
_PLENTY: Final = 5000
"""Examples from which on a term must occur twice: with fewer, every rare word is worth its memory."""


class IntentModel(Protocol):
    """Whatever can tell intents; equal texts get equal predictions for the lifetime of one `version`."""

    @property
    def version(self) -> str: ...

    @property
    def intents(self) -> tuple[str, ...]: ...

    def predict(self, texts: Sequence[str]) -> list[IntentPrediction]: ...


@dataclass(frozen=True, slots=True)
class LinearIntentModel:
    """`weights` has one row per term and one column per intent; `sharpness` turns scores into probabilities."""

    features: TextFeatures
    intents: tuple[str, ...]
    weights: FloatArray
    biases: FloatArray
    sharpness: float
    version: str = "untitled"

    def predict(self, texts: Sequence[str]) -> list[IntentPrediction]:
        """One prediction per text; a text without a single known term names no intent."""
        if not texts:
            return []
        rows = self.features.rows(texts)
        predictions = self.ranked(softmax(rows @ self.weights + self.biases, self.sharpness))
        nothing = IntentPrediction(None, 0.0, (), self.version)
        return [
            prediction if known_terms else nothing
            for prediction, known_terms in zip(predictions, np.diff(rows.indptr), strict=True)
        ]

    def ranked(self, probabilities: npt.NDArray[np.float64]) -> list[IntentPrediction]:
        """Predictions from rows of probabilities, one column per intent; ties go to the first name."""
        best_first = np.argsort(-probabilities, axis=1, kind="stable")[:, : ALTERNATIVES + 1]
        return [self._prediction(row, columns) for row, columns in zip(probabilities, best_first, strict=True)]

    def _prediction(self, row: npt.NDArray[np.float64], columns: npt.NDArray[np.intp]) -> IntentPrediction:
        (intent, confidence), *others = ((self.intents[column], min(float(row[column]), 1.0)) for column in columns)
        return IntentPrediction(intent, confidence, tuple(others), self.version)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The whole model as plain arrays, for its file."""
        return {
            **self.features.arrays(),
            "intents": np.array(self.intents),
            "weights": self.weights,
            "biases": self.biases,
            "sharpness": np.array([self.sharpness]),
        }

    @classmethod
    def from_arrays(cls, arrays: ModelArrays, version: str) -> Self:
        """The inverse of `arrays`."""
        return cls(
            features=TextFeatures.from_arrays(arrays),
            intents=tuple(str(intent) for intent in arrays["intents"]),
            weights=arrays["weights"].astype(np.float32, copy=False),
            biases=arrays["biases"].astype(np.float32, copy=False),
            sharpness=float(arrays["sharpness"].astype(np.float64)[0]),
            version=version,
        )


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
