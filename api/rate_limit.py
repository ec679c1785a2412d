"""A token bucket per caller, in this process."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Final

_CALLERS_KEPT: Final = 50_000


class RateLimit:
    """`burst` requests at once, then `per_second`; a caller that has been quiet is forgotten first."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> int:
        """Take a token: 0 when there was one, else the whole seconds until there is."""
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._per_second)
        wait = 0 if tokens >= 1 else ceil((1 - tokens) / self._per_second)
        self._buckets[caller] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > _CALLERS_KEPT:
            self._buckets.popitem(last=False)
        return wait
