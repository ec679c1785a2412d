"""What belongs to a time range: the conversations with an episode that ended in it, and the agents' time in it.

A range is seen as it stood at its end, so that a month's figures settle: later episodes of a conversation are not
looked at, except that a return within `RETURN_WINDOW` counts against the resolution it follows. A conversation is
counted once, in the group of its last episode that ended in the range; what happened (touches, offers, transfers,
clocks, answers) is taken from the episodes that ended in the range, the journey from all episodes so far.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.kpis.figures import elapsed
from domain.kpis.records import EpisodeRecord, HandledSpan, Opening, PresenceSpan, TimeRange

RETURN_WINDOW = timedelta(days=7)


class Dimension(StrEnum):
    """What the figures can be cut by; the channel is the one a conversation began on."""

    CHANNEL = "channel"
    INTENT = "intent"
    SEGMENT = "segment"
    POOL = "pool"
    AGENT = "agent"


GroupKey = tuple[str | None, ...]
"""One value per dimension, in the order the dimensions were asked for."""

AGENT_DIMENSIONS = frozenset({Dimension.POOL, Dimension.AGENT})
"""Dimensions by which presence can be cut: nobody is present for an intent."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation as it stood at the end of the range; both tuples are in the order of the episodes."""

    journey: tuple[EpisodeRecord, ...]
    in_range: tuple[EpisodeRecord, ...]
    is_returned_to: bool

    @property
    def resolved(self) -> EpisodeRecord | None:
        """The last episode in the range that was resolved, not abandoned."""
        return next((episode for episode in reversed(self.in_range) if not episode.abandoned), None)

    def group(self, by: tuple[Dimension, ...]) -> GroupKey:
        """Return the group this conversation counts in."""
        last = self.in_range[-1]
        values: Mapping[Dimension, str | None] = {
            Dimension.CHANNEL: self.journey[0].first_channel,
            Dimension.INTENT: last.intent,
            Dimension.SEGMENT: last.segment,
            Dimension.POOL: last.pool,
            Dimension.AGENT: last.agent_id,
        }
        return tuple(values[dimension] for dimension in by)


def conversations_in(
    range_: TimeRange, episodes: Iterable[EpisodeRecord], openings: Iterable[Opening]
) -> tuple[Conversation, ...]:
    """Return the conversations of a range.

    `episodes` may reach beyond the range on both sides; `openings` add the episodes that have not ended, for returns.
    """
    known = sorted(episodes, key=lambda record: (record.conversation_id, record.episode))
    returns = _Returns((*openings, *(record.opening for record in known)))
    journeys: defaultdict[str, list[EpisodeRecord]] = defaultdict(list)
    for record in known:
        if record.resolved_at < range_.end:
            journeys[record.conversation_id].append(record)
    return tuple(
        Conversation(
            journey=tuple(journey),
            in_range=tuple(record for record in journey if record.resolved_at in range_),
            is_returned_to=any(returns.follow(record) for record in journey),
        )
        for journey in journeys.values()
        if any(record.resolved_at in range_ for record in journey)
    )


def time_within(range_: TimeRange, started_at: datetime, ended_at: datetime | None) -> timedelta:
    """Return how much of a span lies in the range; a span without an end goes on."""
    end = range_.end if ended_at is None else min(ended_at, range_.end)
    return max(elapsed(max(started_at, range_.start), end), timedelta(0))


def agent_group(span: PresenceSpan | HandledSpan, by: tuple[Dimension, ...]) -> GroupKey:
    """Return the group of an agent's time; only for dimensions of agents."""
    return tuple(span.agent_id if dimension is Dimension.AGENT else span.pool for dimension in by)


class _Returns:
    """Openings by customer and intent; an unknown intent is nobody's same intent."""

    def __init__(self, openings: Iterable[Opening]) -> None:
        self._openings: defaultdict[tuple[str, str], list[Opening]] = defaultdict(list)
        for opening in openings:
            if opening.intent is not None:
                self._openings[opening.customer_id, opening.intent].append(opening)

    def follow(self, record: EpisodeRecord) -> bool:
        """Return whether the same customer came back with the same intent after this episode was resolved."""
        if record.abandoned or record.intent is None:
            return False
        return any(
            record.resolved_at < opening.opened_at <= record.resolved_at + RETURN_WINDOW
            for opening in self._openings.get((record.customer_id, record.intent), ())
        )
