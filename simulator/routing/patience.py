"""How long customers wait before they give up, by Kaplan and Meier: who was answered is censored, not patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Patience:
    """The survival of waiting: after `seconds[k]` a share `survival[k]` still waits; both of shape (steps,)."""

    seconds: Floats
    survival: Floats

    def drawn(self, waited: float, chance: float) -> float | None:
        """A patience in seconds above `waited`, at quantile `chance`; None for one outlasting all that was seen."""
        at = int(np.searchsorted(self.seconds, waited, side="right"))
        still = float(self.survival[at - 1]) if at else 1.0
        left = still * (1.0 - chance)
        # Survival falls, so it is searched from its mirrored side.
        step = int(np.searchsorted(-self.survival, -left, side="left"))
        return float(self.seconds[step]) if step < len(self.seconds) else None


def kaplan_meier(waits: Sequence[float], gave_up: Sequence[bool]) -> Patience:
    """The survival curve of waits in seconds, of which some ended by giving up and the others by an answer."""
    wait = np.asarray(waits, np.float64)
    event = np.asarray(gave_up, np.bool_)
    seconds = np.unique(wait[event])
    at_risk = len(wait) - np.searchsorted(np.sort(wait), seconds, side="left")
    left = np.searchsorted(np.sort(wait[event]), seconds, side="right")
    events = np.diff(np.concatenate(([0], left)))
    survival = np.cumprod(1.0 - events / at_risk).astype(np.float64)
    return Patience(seconds, survival)
