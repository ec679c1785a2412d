"""SLA policies: what is promised to whom, and which promise applies to a conversation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NewType

from domain.sla.calendar import Calendar

PolicyId = NewType("PolicyId", str)


class Metric(StrEnum):
    """What an SLA clock measures."""

    FIRST_RESPONSE = "first_response"
    NEXT_RESPONSE = "next_response"
    RESOLUTION = "resolution"
    OWNER_SILENCE = "owner_silence"


class PauseReason(StrEnum):
    """Why nobody on our side can be expected to act."""

    PENDING_CUSTOMER = "pending_customer"
    ON_HOLD = "on_hold"


class Rung(StrEnum):
    """What the ladder does when a promise is at risk or broken; the warning before it is the clock's own."""

    RAISE = "raise"
    """Raise its urgency and widen what it asks of an agent."""
    SUGGEST = "suggest"
    """Offer the customer a faster channel."""
    REROUTE = "reroute"
    """Take it from a silent agent and give it to the best available."""
    SUPERVISOR = "supervisor"
    """Call a supervisor."""


HIGHEST_RUNG: Final = 100.0


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One step: `at` is a share of the target in open time, 1 at the breach and above 1 after it.

    `metrics` are the clocks it is for; none named means all of them.
    """

    at: float
    do: Rung
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.at <= HIGHEST_RUNG:
            raise ValueError(f"a step comes after a share above 0 and up to {HIGHEST_RUNG:g} of the target")


_SOMEBODY_WAITS: Final = (Metric.FIRST_RESPONSE, Metric.NEXT_RESPONSE, Metric.OWNER_SILENCE)

DEFAULT_LADDER: Final = (
    LadderStep(0.8, Rung.RAISE),
    LadderStep(0.9, Rung.SUGGEST, (Metric.FIRST_RESPONSE, Metric.NEXT_RESPONSE)),
    LadderStep(1.0, Rung.REROUTE, _SOMEBODY_WAITS),
    LadderStep(1.0, Rung.SUPERVISOR, (Metric.RESOLUTION,)),
    LadderStep(1.5, Rung.SUPERVISOR, _SOMEBODY_WAITS),
)


@dataclass(frozen=True, slots=True)
class SlaTargets:
    """Open time allowed per metric; `None` promises nothing."""

    first_response: timedelta | None = None
    next_response: timedelta | None = None
    resolution: timedelta | None = None
    owner_silence: timedelta | None = None

    def __post_init__(self) -> None:
        if any(target is not None and target <= timedelta(0) for target in map(self.for_metric, Metric)):
            raise ValueError("an SLA target is longer than nothing")

    def for_metric(self, metric: Metric) -> timedelta | None:
        """Return the target of one metric."""
        match metric:
            case Metric.FIRST_RESPONSE:
                return self.first_response
            case Metric.NEXT_RESPONSE:
                return self.next_response
            case Metric.RESOLUTION:
                return self.resolution
            case Metric.OWNER_SILENCE:
                return self.owner_silence


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """The conversations a policy is meant for; an empty tuple means any."""

    segments: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()

    @property
    def specificity(self) -> int:
        """How many of the three dimensions are named, 0 to 3."""
        return sum(map(bool, (self.segments, self.channels, self.intents)))

    def covers(self, segment: str | None, channel: str, intent: str | None) -> bool:
        """Return whether a conversation is meant; an unknown segment or intent is only meant by "any"."""
        return (
            (not self.segments or segment in self.segments)
            and (not self.channels or channel in self.channels)
            and (not self.intents or intent in self.intents)
        )


@dataclass(frozen=True, slots=True)
class SlaTerms:
    """The promise one conversation carries: a policy as it was when it was chosen."""

    policy_id: PolicyId
    version: int
    targets: SlaTargets
    warn_fraction: float | None = 0.8
    calendar: Calendar | None = None
    pause_on: tuple[PauseReason, ...] = (PauseReason.PENDING_CUSTOMER, PauseReason.ON_HOLD)
    ladder: tuple[LadderStep, ...] = DEFAULT_LADDER

    def __post_init__(self) -> None:
        _check_warn_fraction(self.warn_fraction)
        _check_ladder(self.ladder)

    def pauses_on(self, reason: PauseReason) -> bool:
        """Return whether this reason stops the clocks that can be paused."""
        return reason in self.pause_on


@dataclass(frozen=True, slots=True)
class SlaPolicy:
    """One configured promise; `warn_fraction` is the share of a target after which it warns, `None` never."""

    id: PolicyId
    version: int
    name: str
    applies_to: AppliesTo
    targets: SlaTargets
    warn_fraction: float | None = 0.8
    calendar: Calendar | None = None
    pause_on: tuple[PauseReason, ...] = (PauseReason.PENDING_CUSTOMER, PauseReason.ON_HOLD)
    rank: int = 0
    ladder: tuple[LadderStep, ...] = DEFAULT_LADDER

    def __post_init__(self) -> None:
        _check_warn_fraction(self.warn_fraction)
        _check_ladder(self.ladder)

    def terms(self) -> SlaTerms:
        """Return what a conversation under this policy carries."""
        return SlaTerms(
            policy_id=self.id,
            version=self.version,
            targets=self.targets,
            warn_fraction=self.warn_fraction,
            calendar=self.calendar,
            pause_on=self.pause_on,
            ladder=self.ladder,
        )


def choose_policy(
    policies: Iterable[SlaPolicy], segment: str | None, channel: str, intent: str | None
) -> SlaPolicy | None:
    """Return the policy for a conversation, or `None` when none is meant for it.

    The most specific one wins: the one naming most of segment, channel and intent. Among equals the lower rank wins,
    then the smaller id, so the order in which policies are given never matters.
    """
    return min(
        (policy for policy in policies if policy.applies_to.covers(segment, channel, intent)),
        key=lambda policy: (-policy.applies_to.specificity, policy.rank, policy.id),
        default=None,
    )


def _check_warn_fraction(fraction: float | None) -> None:
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"a warning comes after a share between 0 and 1 of the target, not {fraction}")


def _check_ladder(ladder: tuple[LadderStep, ...]) -> None:
    if any(earlier.at > later.at for earlier, later in pairwise(ladder)):
        raise ValueError("the steps of a ladder are in the order of their shares")
