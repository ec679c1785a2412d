"""One linear support vector machine a class against all others: fast to train, one product to score."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.svm import LinearSVC

from intelligence.text_features import FloatArray

_SEED: Final = 20
_ABSENT: Final = -1.0
"""The score of a class without examples: a support vector machine's plain no."""


def fit_linear_scores(
    rows: sparse.csr_array, truth: npt.NDArray[np.intp], importance: npt.NDArray[np.float64], class_count: int
) -> tuple[FloatArray, FloatArray]:
    """Weights (a row per column of `rows`, a column per class) and biases; `truth` holds the classes' numbers.

    Liblinear runs on the calling thread alone, so training does not fight other processes for the cores.
    """
    machine = LinearSVC(C=1.0, random_state=_SEED).fit(rows, truth, sample_weight=importance)
    coefficients, intercepts = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:  # noqa: PLR2004 - two classes share one separating plane, seen from both sides
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.concatenate([-intercepts, intercepts])
    weights = np.zeros((rows.shape[1], class_count), dtype=np.float32)
    biases = np.full(class_count, _ABSENT, dtype=np.float32)
    weights[:, machine.classes_] = coefficients.T
    biases[machine.classes_] = intercepts
    return weights, biases
