"""What happened: lifecycle events, clocks and the resolution record of each episode."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Identity, Index, text
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now


class TransactionId(UserDefinedType[int]):
    """Postgres' xid8: the order in which readers may trust that nothing earlier is still to come."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class LifecycleEvent(SQLModel, table=True):
    """One thing that happened. Readers resume by (transaction, id), never by id alone: ids are taken before commit."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_order", "transaction", "id"),
        Index("events_once", "dedupe_key", unique=True, postgresql_where=text("dedupe_key is not null")),
        Index("events_timeline", "conversation_id", "at", "id"),
        Index("events_by_kind", "kind", "at"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    transaction: int | None = Field(
        default=None,
        sa_column=Column(TransactionId(), server_default=text("pg_current_xact_id()"), nullable=False),
    )
    at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    kind: str
    conversation_id: str | None = None
    customer_id: str | None = None
    agent_id: str | None = None
    pool: str | None = None
    episode: int | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    dedupe_key: str | None = None


class ClockRow(SQLModel, table=True):
    """One run of one SLA clock; `number` tells the runs of a metric in one episode apart."""

    __tablename__ = "clocks"
    __table_args__ = (
        Index("clocks_due", "state", "due_at"),
        Index("clocks_breached", "conversation_id", postgresql_where=text("breached_at is not null")),
    )

    conversation_id: str = Field(primary_key=True, foreign_key="conversations.id")
    metric: str = Field(primary_key=True)
    episode: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    policy_id: str
    target_seconds: float
    state: str
    started_at: datetime = Field(sa_type=INSTANT)
    due_at: datetime | None = Field(default=None, sa_type=INSTANT)
    warned_at: datetime | None = Field(default=None, sa_type=INSTANT)
    breached_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    business_seconds: float = 0.0
    paused_seconds: float = 0.0


class Resolution(SQLModel, table=True):
    """The resolution record: one row per resolved episode, what the KPIs are computed from."""

    __tablename__ = "resolutions"
    __table_args__ = (
        Index("resolutions_by_time", "resolved_at"),
        Index("resolutions_by_customer", "customer_id", "resolved_at"),
    )

    conversation_id: str = Field(primary_key=True, foreign_key="conversations.id")
    episode: int = Field(primary_key=True)
    customer_id: str
    intent: str | None = None
    product: str | None = None
    segment: str
    pool: str
    agent_id: str | None = None
    first_channel: str
    channels: list[str] = Field(sa_type=JSON_DOCUMENT)
    opened_at: datetime = Field(sa_type=INSTANT)
    queued_at: datetime | None = Field(default=None, sa_type=INSTANT)
    accepted_at: datetime | None = Field(default=None, sa_type=INSTANT)
    first_response_at: datetime | None = Field(default=None, sa_type=INSTANT)
    resolved_at: datetime = Field(sa_type=INSTANT)
    business_seconds: float
    wrap_up_code: str | None = None
    end_reason: str
    inbound: int
    outbound: int
    offers: int
    declines: int
    timeouts: int
    reroutes: int
    transfers: int
    misroutes: int
    touches: int
    touches_with_history: int


class Alert(SQLModel, table=True):
    """A call for a supervisor. It stands until it is acknowledged, or until what it is about is over."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "alerts_standing",
            "pool",
            "raised_at",
            postgresql_where=text("acknowledged_at is null and settled_at is null"),
        ),
        Index("alerts_by_conversation", "conversation_id"),
        Index("alerts_by_time", "raised_at", "id"),
    )

    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversations.id")
    episode: int
    pool: str
    agent_id: str | None = None
    kind: str
    metric: str | None = None
    reason: str
    raised_at: datetime = Field(sa_type=INSTANT)
    acknowledged_at: datetime | None = Field(default=None, sa_type=INSTANT)
    acknowledged_by: str | None = None
    settled_at: datetime | None = Field(default=None, sa_type=INSTANT)
