"""What does the customer want? A linear model over words and characters, with calibrated confidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from domain.intents import IntentPrediction
from intelligence.probabilities import softmax
from intelligence.text_features import FloatArray, ModelArrays, TextFeatures

ALTERNATIVES: Final = 3
"""How many intents are named beside the predicted one."""


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
