"""What the workflow of a conversation starts with, and how it is named."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

CONVERSATION_WORKFLOW: Final = "Conversation"


@dataclass(frozen=True, slots=True)
class ConversationStart:
    """`carried` is the state that an earlier run of the same conversation handed on; a first run has none."""

    conversation_id: str
    customer_id: str
    opened_at: datetime
    carried: str | None = None
