"""The part of a conversation's state that the ledger shows to everybody else."""

from dataclasses import dataclass
from datetime import datetime

from domain.conversation.description import waiting_for
from domain.conversation.handover import Handover, hand_over
from domain.conversation.state import ConversationState, Phase


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns of a conversation's row, and what it would hand over to one that it became part of."""

    state: str
    episode: int
    subject: str | None
    intent: str | None
    intent_confidence: float | None
    sentiment: float | None
    language: str | None
    priority: int
    pool: str
    agent_id: str | None
    owner_id: str | None
    channels: tuple[str, ...]
    waiting_for: str | None
    waiting_until: datetime | None
    queued_at: datetime | None
    resolved_at: datetime | None
    end_reason: str | None
    is_final: bool
    handover: Handover


def project(state: ConversationState) -> Projection:
    """Return what the ledger is to show of a conversation that has been assessed at least once."""
    case = state.case
    if case is None:
        raise ValueError("a conversation is shown once its first message has been assessed")
    turn = waiting_for(state)
    return Projection(
        state=state.phase.value,
        episode=state.episode,
        subject=case.subject,
        intent=case.intent,
        intent_confidence=case.intent_confidence,
        sentiment=case.sentiment,
        language=case.language,
        priority=state.priority,
        pool=state.waiting.pool if state.waiting else case.pool,
        agent_id=state.agent_id,
        owner_id=state.owner,
        channels=state.channels,
        waiting_for=None if state.phase.is_final else turn.what,
        waiting_until=turn.until,
        queued_at=state.waiting.queued_at if state.waiting else None,
        resolved_at=state.resolved_at,
        end_reason=state.end_reason.value if state.end_reason else None,
        is_final=state.phase in {Phase.CLOSED, Phase.MERGED},
        handover=hand_over(state),
    )
