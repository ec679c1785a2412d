"""What workflows ask of the world: the activities' names, arguments and answers. `activities/` implements them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.conversation.handover import Handover
from domain.conversation.state import ConversationState
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.policy import SlaTerms
from workflows.encoding import Tagged


class ActivityName(StrEnum):
    ASSESS = "assess"
    """`AssessCase` → `Assessment`: read the case out of the ledger and the models."""
    WRITE_STEP = "write_step"
    """`StepWrite` → `StepOutcome`: carry the commands of a step out, all or none, once."""
    ASSESS_MERGE = "assess_merge"
    """`AssessMerge` → `MergedCase`: read how the whole looks and what the loser handed over."""
    DELIVER = "deliver"
    """message id → None: send one released reply on its channel, once."""


@dataclass(frozen=True, slots=True)
class AssessCase:
    """`message_ids` are the messages that came since the last assessment; none when only the terms changed."""

    conversation_id: str
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssessMerge:
    """`agent_id` is who has the survivor or is offered it, `skills` are the ones it needed until now."""

    conversation_id: str
    merge_id: str
    agent_id: str | None
    skills: SkillNeeds


@dataclass(frozen=True, slots=True)
class MergedCase:
    """`unfit`: that agent lacks a skill that only the loser needed."""

    case: Assessment
    handover: Handover | None
    their_promise: SlaTerms | None
    unfit: bool


@dataclass(frozen=True, slots=True)
class StepWrite:
    """A step to be written: the conversation as it is after it, and the commands that go with it."""

    state: ConversationState
    commands: tuple[Tagged, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """`refused` is a `RefusalCode` when the ledger took nothing; `to_deliver` are replies that must be pushed out."""

    refused: str | None = None
    detail: str = ""
    to_deliver: tuple[str, ...] = ()
