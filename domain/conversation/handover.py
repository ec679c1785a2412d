"""What a conversation would hand over to another one that it became part of."""

from dataclasses import dataclass
from datetime import datetime

from domain.conversation.journey import NO_JOURNEY, JourneyState
from domain.conversation.state import ConversationState, Phase, Tallies
from domain.conversation.terms import SkillNeeds
from domain.sla.clock import Clock


@dataclass(frozen=True, slots=True)
class Handover:
    """A conversation as its last written step left it, as far as a survivor needs it; `clocks` are the open ones.

    `heard` is the last outbox id whose message the conversation has taken in. `waits_since` is None unless it waits,
    and `urgent` whether it does so as an urgent one.
    """

    phase: Phase
    heard: int
    opened_at: datetime
    episode_opened_at: datetime | None
    waits_since: datetime | None
    unanswered_since: datetime | None
    first_response_at: datetime | None
    owner: str | None
    channels: tuple[str, ...]
    episode_channels: tuple[str, ...]
    threads: tuple[str, ...]
    skills: SkillNeeds
    clocks: tuple[Clock, ...]
    tallies: Tallies
    journey: JourneyState = NO_JOURNEY
    escalation: int = 0
    urgent: bool = False

    @property
    def is_unresolved(self) -> bool:
        """Whether its episode was still to be resolved."""
        return self.phase.is_waiting or self.phase.is_in_work


def hand_over(state: ConversationState) -> Handover:
    return Handover(
        phase=state.phase,
        heard=state.heard,
        opened_at=state.opened_at,
        episode_opened_at=state.episode_opened_at,
        waits_since=state.waits_since if state.waiting else None,
        unanswered_since=state.unanswered_since,
        first_response_at=state.first_response_at,
        owner=state.owner,
        channels=state.channels,
        episode_channels=state.episode_channels,
        threads=state.threads,
        skills=state.case.skills if state.case else (),
        clocks=tuple(clock for clock in state.clocks if not clock.is_ended),
        tallies=state.tallies,
        journey=state.journey,
        escalation=state.escalation,
        urgent=state.waiting is not None and state.waiting.urgent,
    )
