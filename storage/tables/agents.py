"""Agents, what they can hold and when they were there."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Float, Index, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now

PRESENCES = "('online', 'away', 'transfers_only', 'offline', 'not_responding')"


class Agent(SQLModel, table=True):
    """`load` is what the agent holds now, in units; the database refuses a load above `load_limit`.

    The limit is the capacity, except while an admin has lowered the capacity below what is held: then it
    is what is held, and shrinks with it.

    `also_pools` are pools served beside the home pool. `expected_success` is an admin's guess of P(success) for
    somebody nobody has seen at work, such as a new assistant. `strain_seconds` is the time near full load, less the
    time since with room again, as of `strain_counted_at`: the database counts it whenever load or presence changes.
    """

    __tablename__ = "agents"
    __table_args__ = (
        CheckConstraint("load >= 0 and load <= load_limit", name="agents_load_within_limit"),
        CheckConstraint("capacity >= 0", name="agents_capacity"),
        CheckConstraint(f"presence in {PRESENCES}", name="agents_presence"),
        CheckConstraint("kind in ('human', 'ai')", name="agents_kind"),
        CheckConstraint("cost_per_case >= 0", name="agents_cost"),
        CheckConstraint("expected_success between 0 and 1", name="agents_expected_success"),
        Index("agents_pool", "pool", "presence"),
    )

    id: str = Field(primary_key=True)
    display_name: str
    email: str | None = None
    pool: str = Field(foreign_key="pools.name")
    kind: str = "human"
    skills: dict[str, int] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    languages: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    time_zone: str | None = None
    hours: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    capacity: int = 100
    load: int = 0
    load_limit: int = 100
    channel_ceilings: dict[str, int] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    preferences: dict[str, float] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    also_pools: list[str] = Field(
        default_factory=list, sa_column=Column(JSON_DOCUMENT, server_default=text("'[]'::jsonb"), nullable=False)
    )
    cost_per_case: float = Field(default=0.0, sa_column=Column(Float, server_default=text("0"), nullable=False))
    expected_success: float | None = None
    strain_seconds: float = Field(default=0.0, sa_column=Column(Float, server_default=text("0"), nullable=False))
    strain_counted_at: datetime | None = Field(default=None, sa_type=INSTANT)
    presence: str = "offline"
    presence_since: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    presence_channels: list[str] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    """The channels an agent who is here takes new work on; all of them when they have named none."""
    last_assigned_at: datetime | None = Field(default=None, sa_type=INSTANT)
    active: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class PresenceSpan(SQLModel, table=True):
    """One stretch of one presence; the open one has no end. What utilisation is measured against."""

    __tablename__ = "presence_spans"
    __table_args__ = (
        Index("presence_spans_one_open", "agent_id", unique=True, postgresql_where=text("ended_at is null")),
    )

    id: int | None = Field(default=None, primary_key=True)
    agent_id: str = Field(foreign_key="agents.id", index=True)
    presence: str
    capacity: int
    started_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)


class AgentLease(SQLModel, table=True):
    """When an agent's console was last heard of. Apart from the agent's row, which the dispatcher locks."""

    __tablename__ = "agent_leases"

    agent_id: str = Field(primary_key=True, foreign_key="agents.id")
    seen_at: datetime = Field(sa_type=INSTANT)


class Pool(SQLModel, table=True):
    __tablename__ = "pools"

    name: str = Field(primary_key=True)
    description: str = ""


class Skill(SQLModel, table=True):
    __tablename__ = "skills"

    name: str = Field(primary_key=True)
    description: str = ""
