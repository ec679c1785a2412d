"""From decision scores to probabilities one can hold the model to.

Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017): one number, found on scores of
texts the scoring model has not seen, that makes a softmax neither boastful nor timid. It never changes which class is
first, and one parameter does not overfit the thirty examples an intent may have.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from intelligence.probabilities import softmax

_COLDEST: Final = np.log(0.01)
_HOTTEST: Final = np.log(100.0)


def fitted_sharpness(
    held_out_scores: npt.NDArray[np.floating], truth: npt.NDArray[np.intp], weights: npt.NDArray[np.float64]
) -> float:
    """The sharpness under which the held-out scores give the true classes (column numbers) the highest likelihood."""
    rows = np.arange(len(truth))

    def surprise(log_sharpness: float) -> float:
        chosen = softmax(held_out_scores, float(np.exp(log_sharpness)))[rows, truth]
        return float(np.average(-np.log(np.maximum(chosen, 1e-12)), weights=weights))

    return float(np.exp(minimize_scalar(surprise, bounds=(_COLDEST, _HOTTEST), method="bounded").x))
