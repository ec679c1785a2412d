"""Which steps of a ladder a clock still has before it.

A clock remembers the kinds of the steps it has taken. What is left is the ladder without those, so that a ladder that
is changed on the way neither repeats what was done nor forgets what is new.
"""

from collections import Counter
from collections.abc import Iterator

from domain.sla.policy import LadderStep, Metric, Rung


def steps_left(ladder: tuple[LadderStep, ...], metric: Metric, climbed: tuple[Rung, ...]) -> Iterator[LadderStep]:
    """Yield the steps for this metric that have not been taken, in their order."""
    taken = Counter(climbed)
    for step in ladder:
        if step.metrics and metric not in step.metrics:
            continue
        if taken[step.do]:
            taken[step.do] -= 1
            continue
        yield step
