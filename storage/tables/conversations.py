"""Conversations, their threads, their messages and what was attached to these."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now

CONVERSATION_STATES = (
    "('new', 'queued', 'offered', 'assigned', 'pending_customer', 'on_hold', 'wrap_up', 'resolved', 'closed', 'merged')"
)


class Conversation(SQLModel, table=True):
    """What the workflow last wrote of itself: `step` counts its writes, so that a repeated one is known."""

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint(f"state in {CONVERSATION_STATES}", name="conversations_state"),
        Index(
            "conversations_one_open_per_customer",
            "customer_id",
            "merge_scope",
            unique=True,
            postgresql_where=text("state not in ('closed', 'merged')"),
        ),
        Index("conversations_by_state", "state", "opened_at", "id"),
        Index("conversations_by_agent", "agent_id", "state", postgresql_where=text("agent_id is not null")),
        Index("conversations_by_customer", "customer_id", "opened_at"),
        Index("conversations_merged_into", "merged_into", postgresql_where=text("merged_into is not null")),
    )

    id: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id")
    merge_scope: str = "default"
    state: str = "new"
    step: int = 0
    episode: int = 1
    subject: str | None = None
    intent: str | None = None
    intent_confidence: float | None = None
    sentiment: float | None = None
    language: str | None = None
    priority: int = 3
    pool: str = Field(foreign_key="pools.name")
    agent_id: str | None = Field(default=None, foreign_key="agents.id")
    owner_id: str | None = Field(default=None, foreign_key="agents.id")
    channels: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    waiting_for: str | None = None
    waiting_until: datetime | None = Field(default=None, sa_type=INSTANT)
    merged_into: str | None = Field(default=None, foreign_key="conversations.id")
    opened_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    queued_at: datetime | None = Field(default=None, sa_type=INSTANT)
    resolved_at: datetime | None = Field(default=None, sa_type=INSTANT)
    closed_at: datetime | None = Field(default=None, sa_type=INSTANT)
    end_reason: str | None = None
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class Thread(SQLModel, table=True):
    """One channel session of one conversation. A key may recur once its earlier conversation is closed."""

    __tablename__ = "threads"
    __table_args__ = (
        Index("threads_key", "channel", "account", "thread_key", "conversation_id", unique=True),
        Index("threads_by_conversation", "conversation_id"),
        Index("threads_by_customer", "customer_id"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    customer_id: str = Field(foreign_key="customers.id")
    identity_id: str = Field(foreign_key="identities.id")
    channel: str
    account: str
    address: str
    thread_key: str
    subject: str | None = None
    references: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    opened_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    last_inbound_at: datetime | None = Field(default=None, sa_type=INSTANT)


class Message(SQLModel, table=True):
    """A message or an internal note. `position` orders a timeline; `delivery` tells how far an outbound one is."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("direction in ('inbound', 'outbound', 'internal')", name="messages_direction"),
        CheckConstraint(
            "delivery in ('received', 'draft', 'queued', 'sending', 'sent', 'failed', 'refused', 'withdrawn')",
            name="messages_delivery",
        ),
        Index(
            "messages_once",
            "channel",
            "account",
            "provider_message_id",
            unique=True,
            postgresql_where=text("provider_message_id is not null"),
        ),
        Index("messages_timeline", "conversation_id", "at", "id"),
        Index("messages_by_thread", "thread_id", "at"),
        Index(
            "messages_by_customer",
            "customer_id",
            "at",
            "id",
            postgresql_include=["direction"],
            postgresql_where=text("delivery not in ('draft', 'withdrawn')"),
        ),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    thread_id: str | None = Field(default=None, foreign_key="threads.id")
    customer_id: str = Field(foreign_key="customers.id")
    direction: str
    kind: str = "message"
    author_kind: str
    author_id: str | None = None
    channel: str
    account: str
    provider_message_id: str | None = None
    subject: str | None = None
    text: str
    full_text: str | None = None
    html: str | None = None
    attachments: list[dict[str, JsonValue]] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    at: datetime = Field(sa_type=INSTANT)
    sent_at: datetime | None = Field(default=None, sa_type=INSTANT)
    delivery: str
    delivery_error: str | None = None
    sending_until: datetime | None = Field(default=None, sa_type=INSTANT)


class Attachment(SQLModel, table=True):
    """A file beside a message, whose row names it too. No content: it was too large, or left where it was."""

    __tablename__ = "attachments"
    __table_args__ = (Index("attachments_by_message", "message_id", "position"),)

    id: str = Field(primary_key=True)
    message_id: str = Field(foreign_key="messages.id")
    position: int
    name: str
    content_type: str
    size: int
    content: bytes | None = Field(default=None, sa_type=LargeBinary)
