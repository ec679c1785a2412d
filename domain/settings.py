"""What an admin can change while Baton runs: one frozen value with a default for everything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from domain.channels import Channel
from domain.intents import DEFAULT_CONFIDENCE_THRESHOLD, PROFILES, IntentProfile
from domain.routing.business import Outage, ValueRules
from domain.routing.policy import OverflowRule, UrgencyWeights, WideningStep
from domain.suggestions.rules import RoiSettings, SuggestionSettings, SurveySettings

_CHAT_LIKE: Final = 34
_SOCIAL: Final = 25

_URGENCY: Final = {
    name: getattr(UrgencyWeights(), name) for name in ("priority", "wait", "breach", "sentiment", "business")
}

_OFFER_TIMEOUTS: Final = {
    Channel.VOICE: timedelta(seconds=20),
    Channel.VIDEO: timedelta(seconds=20),
    Channel.WEB_CHAT: timedelta(seconds=30),
    Channel.EMAIL: timedelta(minutes=5),
}
_COSTS: Final = {
    Channel.VOICE: 100,
    Channel.VIDEO: 100,
    Channel.SMS: _SOCIAL,
    Channel.MESSENGER: _SOCIAL,
    Channel.INSTAGRAM: _SOCIAL,
    Channel.X: _SOCIAL,
    Channel.EMAIL: 15,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Capacity costs are units, of which an agent holds 100 by default; thresholds and ε are probabilities."""

    offer_timeouts: Mapping[Channel, timedelta] = field(
        default_factory=lambda: {channel: _OFFER_TIMEOUTS.get(channel, timedelta(minutes=1)) for channel in Channel}
    )
    auto_accept: Mapping[Channel, bool] = field(
        default_factory=lambda: {channel: channel is Channel.EMAIL for channel in Channel}
    )
    interrupts: Mapping[Channel, bool] = field(default_factory=lambda: dict.fromkeys(Channel, False))
    """Whether a conversation of this channel may be offered to who is busy on others: calls, mostly."""
    capacity_costs: Mapping[Channel, int] = field(
        default_factory=lambda: {channel: _COSTS.get(channel, _CHAT_LIKE) for channel in Channel}
    )
    reopen_window: timedelta = timedelta(hours=72)
    """How long after a resolve a customer's message starts a new episode; then the conversation closes."""
    wrap_up_limit: timedelta = timedelta(minutes=5)
    wrap_up_extension: timedelta = timedelta(minutes=5)
    """What the one extension of a wrap-up adds."""
    idle_release: timedelta = timedelta(minutes=15)
    """How long a conversation may wait for its customer before its agent's units are given back."""
    owner_grace: timedelta = timedelta(minutes=2)
    """How long a conversation that wakes waits for its owner before anybody may take it."""
    exclusion_cool_down: timedelta = timedelta(minutes=1)
    """When nobody else is eligible, how long those who declined stay excluded."""
    widening: tuple[WideningStep, ...] = (
        WideningStep(after=timedelta(minutes=1), lower_levels=1),
        WideningStep(after=timedelta(minutes=3), lower_levels=2),
        WideningStep(after=timedelta(minutes=5), lower_levels=4, drop_skills=1),
        WideningStep(after=timedelta(minutes=10), lower_levels=4, drop_skills=9),
    )
    overflow: tuple[OverflowRule, ...] = ()
    preference_epsilon: float = 0.02
    """How much success probability a customer may lose so that an agent gets what they want."""
    exploration: float = 0.02
    """How much success probability uncertainty may add to an estimate, so that new agents get cases too."""
    longest_wait: timedelta | None = timedelta(hours=8)
    """Past it a conversation goes before all that have not waited so long, whatever anybody else is worth."""
    urgency_weights: Mapping[str, float] = field(default_factory=lambda: dict(_URGENCY))
    """What each part of the urgency weighs, by the names of `UrgencyWeights`."""
    routing_presets: Mapping[str, str] = field(default_factory=dict)
    """Pools that are of one kind, each with the name of the preset it is routed by (`domain.routing.presets`)."""
    customer_value: ValueRules = field(default_factory=ValueRules)
    outages: tuple[Outage, ...] = ()
    intents: Mapping[str, IntentProfile] = field(default_factory=dict)
    """Intents of the house's own, or shipped ones that ask for something else here."""
    presence_grace: timedelta = timedelta(seconds=45)
    """How long an agent's console may be silent before the agent counts as gone."""
    reassign_on_away: bool = False
    """Whether the conversations of an agent who leaves go back to the queue."""
    max_reroutes: int = 5
    """Reroutes by the SLA ladder in one episode; then a supervisor is called instead."""
    default_pool: str = "default"
    intent_confidence_threshold: float = DEFAULT_CONFIDENCE_THRESHOLD
    """Below it, a case goes to people whose skill is triage."""
    suggestions: SuggestionSettings = field(default_factory=SuggestionSettings)
    survey: SurveySettings = field(default_factory=SurveySettings)
    roi: RoiSettings = field(default_factory=RoiSettings)

    @property
    def profiles(self) -> Mapping[str, IntentProfile]:
        """What every intent asks for: the shipped ones, and over them the house's own."""
        return {**PROFILES, **self.intents}

    def profile(self, intent: str | None) -> IntentProfile | None:
        """What one intent asks for; None for none, and for one that nobody has described."""
        if intent is None:
            return None
        return self.intents.get(intent) or PROFILES.get(intent)


DEFAULTS: Final = Settings()
