"""Merges: what a conversation would hand over, and what each merge moved, so that it can be undone."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now


class HandoverRow(SQLModel, table=True):
    """What a survivor would need of a conversation, written with each of its steps.

    `heard` is the last outbox id whose message the steps include.
    """

    __tablename__ = "handovers"

    conversation_id: str = Field(primary_key=True, foreign_key="conversations.id")
    heard: int = Field(sa_column=Column(BigInteger, nullable=False))
    facts: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)


class Merge(SQLModel, table=True):
    """One conversation that became part of another. `heir_id` is who absorbs it: the survivor, or the survivor's.

    `threads`, `notes` and `identities` are the ids of what was moved. No `handover`: the loser had heard nothing yet.
    """

    __tablename__ = "merges"
    __table_args__ = (
        CheckConstraint("survivor_id <> loser_id", name="merges_two_conversations"),
        Index("merges_one_per_loser", "loser_id", unique=True),
        Index("merges_by_survivor", "survivor_id", "at"),
        Index("merges_to_absorb", "heir_id", postgresql_where=text("absorbed_at is null")),
    )

    id: str = Field(primary_key=True)
    survivor_id: str = Field(foreign_key="conversations.id")
    loser_id: str = Field(foreign_key="conversations.id")
    heir_id: str = Field(foreign_key="conversations.id")
    cause: str
    by: str | None = None
    at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    handover: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    threads: list[str] = Field(sa_type=JSON_DOCUMENT)
    notes: list[str] = Field(sa_type=JSON_DOCUMENT)
    identities: list[str] = Field(sa_type=JSON_DOCUMENT)
    loser_customer_id: str = Field(foreign_key="customers.id")
    absorbed_at: datetime | None = Field(default=None, sa_type=INSTANT)
    undone_at: datetime | None = Field(default=None, sa_type=INSTANT)
    undone_by: str | None = None
    undone_into_id: str | None = Field(default=None, foreign_key="conversations.id")
