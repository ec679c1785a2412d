"""What customers were asked on their way: another channel, and how easy it was."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT


class SuggestionRow(SQLModel, table=True):
    """One channel suggested to a customer. The index keeps a conversation from asking twice for the same."""

    __tablename__ = "suggestions"
    __table_args__ = (
        CheckConstraint("state in ('offered', 'accepted', 'declined', 'ignored')", name="suggestions_state"),
        CheckConstraint("resolved_there is null or state = 'accepted'", name="suggestions_outcome"),
        Index("suggestions_once", "conversation_id", "channel", unique=True),
        Index("suggestions_one_open", "conversation_id", unique=True, postgresql_where=text("state = 'offered'")),
        Index("suggestions_by_customer", "customer_id", "offered_at"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    customer_id: str = Field(foreign_key="customers.id")
    episode: int
    channel: str
    from_channel: str
    cause: str
    reason: str | None = None
    intent: str | None = None
    came_back: bool = False
    by_agent: str | None = None
    message_id: str | None = None
    state: str = "offered"
    via: str | None = None
    offered_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    callback_at: datetime | None = Field(default=None, sa_type=INSTANT)
    thread_id: str | None = None
    resolved_there: bool | None = None


class SurveyRow(SQLModel, table=True):
    """One effort survey (CES 2.0) and its answer from 1 to 7, which is kept once."""

    __tablename__ = "surveys"
    __table_args__ = (
        CheckConstraint("score between 1 and 7", name="surveys_score"),
        CheckConstraint("(score is null) = (answered_at is null)", name="surveys_answered"),
        Index("surveys_once", "conversation_id", "episode", unique=True),
        Index("surveys_by_customer", "customer_id", "asked_at"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    episode: int
    customer_id: str = Field(foreign_key="customers.id")
    channel: str
    account: str
    message_id: str
    asked_at: datetime = Field(sa_type=INSTANT)
    answer_until: datetime = Field(sa_type=INSTANT)
    score: int | None = None
    answered_at: datetime | None = Field(default=None, sa_type=INSTANT)
    via: str | None = None
