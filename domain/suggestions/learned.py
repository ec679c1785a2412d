"""How likely a case is resolved on the channel that was suggested, learned from how suggestions ended.

Few outcomes do not make a star or a failure: each level is shrunk toward the one above it, by as many pretended
outcomes as `WEIGHT` says (an empirical-Bayes mean with a Beta prior):

    everything → channel → intent on that channel → the same, for customers who come back with it (or for new ones)
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from domain.channels import Channel

PRIOR = 0.5
WEIGHT = 8.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """An accepted suggestion that has been judged; `returning` when the customer had been here with this before."""

    intent: str | None
    channel: Channel
    returning: bool
    resolved_there: bool


@dataclass(frozen=True, slots=True)
class Score:
    """A probability, and how many outcomes of this channel it is learned from."""

    success: float
    observed: int


_Key = tuple[object, ...]


class ChannelScores:
    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._seen: Counter[_Key] = Counter()
        self._resolved: Counter[_Key] = Counter()
        for outcome in outcomes:
            for key in _levels(outcome.intent, outcome.channel, returning=outcome.returning):
                self._seen[key] += 1
                self._resolved[key] += outcome.resolved_there

    def score(self, intent: str | None, channel: Channel, *, returning: bool) -> Score:
        success = PRIOR
        for key in _levels(intent, channel, returning=returning):
            success = (self._resolved[key] + WEIGHT * success) / (self._seen[key] + WEIGHT)
        return Score(success, self._seen[(channel,)])


def _levels(intent: str | None, channel: Channel, *, returning: bool) -> tuple[_Key, ...]:
    return (), (channel,), (channel, intent), (channel, intent, returning)
