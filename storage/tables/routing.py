"""What meets in the dispatcher: who waits, what was offered, who is responsible, and why."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Index, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now
from storage.tables.lifecycle import TransactionId


class QueueTicket(SQLModel, table=True):
    """One waiting conversation. `queued_at` is the original age and survives every return to the queue.

    `changed` is the transaction that wrote the row last: a dispatcher reads again only what may have changed since.
    """

    __tablename__ = "queue_tickets"
    __table_args__ = (
        Index("queue_tickets_by_pool", "pool", "queued_at"),
        Index("queue_tickets_changed", "pool", "changed"),
    )

    conversation_id: str = Field(primary_key=True, foreign_key="conversations.id")
    ticket: int
    pool: str = Field(foreign_key="pools.name")
    episode: int
    queued_at: datetime = Field(sa_type=INSTANT)
    entered_at: datetime = Field(sa_type=INSTANT)
    channel: str
    units: int
    priority: int
    urgent: bool = False
    segment: str
    intent: str | None = None
    product: str | None = None
    sentiment: float | None = None
    languages: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    required_skills: list[list[JsonValue]] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    next_breach_at: datetime | None = Field(default=None, sa_type=INSTANT)
    excluded: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    exclusions_clear_at: datetime | None = Field(default=None, sa_type=INSTANT)
    only_agent: str | None = None
    affinity_agent: str | None = None
    affinity_at: datetime | None = Field(default=None, sa_type=INSTANT)
    owner_until: datetime | None = Field(default=None, sa_type=INSTANT)
    """Until then it is kept for `affinity_agent`, as long as they are online."""
    offer_seconds: float
    auto_accept: bool = False
    changed: int | None = Field(
        default=None,
        sa_column=Column(TransactionId(), server_default=text("pg_current_xact_id()"), nullable=False),
    )


class Offer(SQLModel, table=True):
    __tablename__ = "offers"
    __table_args__ = (
        CheckConstraint(
            "state in ('pending', 'accepted', 'declined', 'timed_out', 'revoked', 'rescinded')", name="offers_state"
        ),
        Index("offers_one_pending", "conversation_id", unique=True, postgresql_where=text("state = 'pending'")),
        Index("offers_by_agent", "agent_id", "state"),
        Index("offers_by_conversation", "conversation_id", "created_at"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    ticket: int
    episode: int
    agent_id: str = Field(foreign_key="agents.id")
    pool: str
    channel: str
    units: int
    state: str = "pending"
    reason: str
    decline_reason: str | None = None
    score: float
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)


class Assignment(SQLModel, table=True):
    """Accepted responsibility. It holds `units` of its agent until `ended_at`, wrap-up included."""

    __tablename__ = "assignments"
    __table_args__ = (
        Index("assignments_one_live", "conversation_id", unique=True, postgresql_where=text("ended_at is null")),
        Index("assignments_by_agent", "agent_id", "ended_at"),
        Index("assignments_by_conversation", "conversation_id", "started_at"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    episode: int
    agent_id: str = Field(foreign_key="agents.id")
    offer_id: str | None = Field(default=None, foreign_key="offers.id")
    channel: str
    units: int
    how: str
    score: float | None = None
    full_history: bool
    started_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    end_cause: str | None = None


class RoutingDecision(SQLModel, table=True):
    __tablename__ = "routing_decisions"
    __table_args__ = (Index("routing_decisions_by_conversation", "conversation_id", "at"),)

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    offer_id: str | None = Field(default=None, foreign_key="offers.id")
    pool: str
    at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    policy_version: str
    model_version: str
    record: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)


class DispatcherLease(SQLModel, table=True):
    """The fence: only the holder of the newest token may commit offers of its pool; `passed_at` is its last pass."""

    __tablename__ = "dispatcher_leases"

    pool: str = Field(primary_key=True)
    token: int = 0
    holder: str = ""
    taken_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    passed_at: datetime | None = Field(default=None, sa_type=INSTANT)


class IntentCorrection(SQLModel, table=True):
    """An agent's word against the model's, as training data: the words themselves stay where the message is."""

    __tablename__ = "intent_corrections"
    __table_args__ = (Index("intent_corrections_by_conversation", "conversation_id", "at"),)

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    episode: int
    message_id: str | None = Field(default=None, foreign_key="messages.id")
    predicted: str | None = None
    confidence: float | None = None
    corrected: str
    corrected_by: str
    at: datetime = Field(sa_type=INSTANT)
