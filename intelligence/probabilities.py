"""From decision scores to probabilities; `calibration` finds how sharp they may be."""

import numpy as np
import numpy.typing as npt


def softmax(scores: npt.NDArray[np.floating], sharpness: float) -> npt.NDArray[np.float64]:
    """Probabilities (rows sum to one) from scores, one row per text; a higher `sharpness` trusts differences more."""
    scaled = scores.astype(np.float64) * sharpness
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
