"""What a conversation is told about itself by the ledger: the case as it was understood, and the rules that apply."""

from dataclasses import dataclass
from datetime import timedelta

from domain.conversation.journey import JourneyTerms
from domain.sla.policy import SlaTerms

SkillNeeds = tuple[tuple[str, int], ...]
"""Required skills with their least level (1-5), the most important first."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings one conversation runs under; durations are wall time."""

    offer_timeout: timedelta
    auto_accept: bool
    units: int
    wrap_up_limit: timedelta
    wrap_up_extension: timedelta
    reopen_window: timedelta
    exclusion_cooldown: timedelta
    idle_release: timedelta | None
    max_reroutes: int
    owner_grace: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a message makes the case look now: what it is about, whose it is, what it needs, what is promised.

    `intent_confidence` is a probability, `sentiment` runs from -1 to 1, `priority` from 1 (urgent) to 5 (low).
    """

    channel: str
    pool: str
    segment: str
    intent: str | None
    intent_confidence: float | None
    sentiment: float | None
    language: str | None
    product: str | None
    priority: int
    skills: SkillNeeds
    languages: tuple[str, ...]
    subject: str | None
    promise: SlaTerms | None
    rules: Rules
    known_owner: str | None = None
    """The agent the customer knows from an earlier conversation."""
    journey: JourneyTerms | None = None
    """What may be suggested and asked; None where nothing may."""
