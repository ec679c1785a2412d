"""How a customer's issues went so far, by intent: how often, how hard, and who and what resolved them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

_USUAL_FROM: Final = 0.5
_COMPLEX_FROM: Final = 1.5
_TURNS_BEFORE_EFFORT: Final = 3
_TURNS_A_POINT: Final = 5


class Complexity(StrEnum):
    SIMPLE = "simple"
    USUAL = "usual"
    COMPLEX = "complex"


@dataclass(frozen=True, slots=True)
class IntentHistory:
    """The resolved episodes of one intent, added up; the lists name the most frequent first."""

    intent: str | None
    episodes: int
    conversations: int
    reopened: int
    """Episodes after a conversation's first one."""
    resolution: timedelta
    """From opening to the first resolve, summed over `conversations`."""
    handle: timedelta
    """How long agents held them, summed."""
    touches: int
    transfers: int
    inbound: int
    channels: Sequence[tuple[str, int]]
    agents: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class IntentPattern:
    intent: str | None
    episodes: int
    conversations: int
    reopen_share: float
    mean_resolution: timedelta | None
    """None when all that is known of the intent are reopens."""
    mean_handle: timedelta
    points: float
    complexity: Complexity
    channels: Sequence[tuple[str, int]]
    agents: Sequence[tuple[str, int]]


def pattern(history: IntentHistory) -> IntentPattern:
    """The means of an intent's history, and how complex its episodes were.

    Complexity points of an episode: one for every agent after the first, one for every transfer, two when it is a
    reopen, and one for every five messages of the customer beyond three. Below half a point on average an issue is
    simple, from one and a half on complex.

    Raises:
        ValueError: there was no episode.
    """
    if history.episodes < 1:
        raise ValueError("a pattern needs an episode")
    extra_agents = max(0, history.touches - history.episodes)
    extra_turns = max(0, history.inbound - _TURNS_BEFORE_EFFORT * history.episodes) / _TURNS_A_POINT
    points = (extra_agents + history.transfers + 2 * history.reopened + extra_turns) / history.episodes
    return IntentPattern(
        intent=history.intent,
        episodes=history.episodes,
        conversations=history.conversations,
        reopen_share=history.reopened / history.episodes,
        mean_resolution=history.resolution / history.conversations if history.conversations else None,
        mean_handle=history.handle / history.episodes,
        points=points,
        complexity=_level(points),
        channels=history.channels,
        agents=history.agents,
    )


def _level(points: float) -> Complexity:
    if points < _USUAL_FROM:
        return Complexity.SIMPLE
    return Complexity.USUAL if points < _COMPLEX_FROM else Complexity.COMPLEX
