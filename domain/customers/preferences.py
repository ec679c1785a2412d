"""What a customer's own history says of the channels and hours they prefer.

Every share is shrunk towards "no preference" by imagined messages spread evenly: two messages on one channel are no
preference, thirty are. Source of the shrinkage: a Dirichlet prior over the possible choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.channels import Channel

CHANNELS_STRENGTH: Final = 8.0
"""Imagined messages over all channels."""
HOURS_STRENGTH: Final = 96.0
"""Imagined messages over all hours, four in each: it takes about ten in one hour to stand out."""
PREFERRED_SHARE: Final = 0.5
"""A channel with at least this shrunk share is a learned preference."""
BUSY_HOUR: Final = 2.0
"""An hour with at least this many times the even share belongs to the preferred hours."""

_HOURS: Final = 24
_CHANNELS: Final = len(Channel)


@dataclass(frozen=True, slots=True)
class ChannelUse:
    """Of one channel: messages the customer wrote, how many of these answered us, and what we sent."""

    channel: str
    written: int
    answers: int
    sent: int


@dataclass(frozen=True, slots=True)
class LearnedChannel:
    """`share` is the shrunk share of the customer's messages, from 0 to 1; an answer weighs as much again."""

    channel: str
    written: int
    answers: int
    sent: int
    share: float
    is_preferred: bool


@dataclass(frozen=True, slots=True)
class LearnedHours:
    """From `start` until just before `end`, hours of the customer's day; over midnight, `end` is below `start`."""

    start: int
    end: int
    messages: int
    share: float


def learned_channels(uses: Sequence[ChannelUse]) -> tuple[LearnedChannel, ...]:
    """The channels used, the most preferred first."""
    total = sum(use.written + use.answers for use in uses)
    learned = []
    for use in uses:
        share = (use.written + use.answers + CHANNELS_STRENGTH / _CHANNELS) / (total + CHANNELS_STRENGTH)
        learned.append(LearnedChannel(use.channel, use.written, use.answers, use.sent, share, share >= PREFERRED_SHARE))
    return tuple(sorted(learned, key=lambda channel: (-channel.share, channel.channel)))


def learned_hours(written_by_hour: Mapping[int, int]) -> tuple[LearnedHours, ...]:
    """The spans of the day the customer writes in, the busiest first; none as long as nothing stands out.

    An hour takes a quarter of what its two neighbours have: people who write at 9:58 and at 10:03 do one thing.
    """
    counts = [written_by_hour.get(hour, 0) for hour in range(_HOURS)]
    total = sum(counts)
    if not total:
        return ()
    smooth = [0.5 * counts[hour] + 0.25 * (counts[hour - 1] + counts[(hour + 1) % _HOURS]) for hour in range(_HOURS)]
    even = 1 / _HOURS
    shares = [(value + HOURS_STRENGTH * even) / (total + HOURS_STRENGTH) for value in smooth]
    is_busy = [share >= BUSY_HOUR * even for share in shares]
    spans = [
        _span(start, is_busy, counts, shares) for start in range(_HOURS) if is_busy[start] and not is_busy[start - 1]
    ]
    return tuple(sorted(spans, key=lambda span: (-span.messages, span.start)))


def _span(start: int, is_busy: Sequence[bool], counts: Sequence[int], shares: Sequence[float]) -> LearnedHours:
    hours = [start]
    while is_busy[(hours[-1] + 1) % _HOURS] and len(hours) < _HOURS:
        hours.append((hours[-1] + 1) % _HOURS)
    return LearnedHours(
        start=start,
        end=(hours[-1] + 1) % _HOURS,
        messages=sum(counts[hour] for hour in hours),
        share=sum(shares[hour] for hour in hours),
    )
