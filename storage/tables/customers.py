"""Customers, the addresses they are known by, and what other systems know of them."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, LargeBinary, Numeric, text
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now


class Customer(SQLModel, table=True):
    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("segment in ('standard', 'silver', 'gold', 'platinum')", name="customers_segment"),
        CheckConstraint("lifetime_value >= 0", name="customers_lifetime_value"),
        CheckConstraint("health_score between 0 and 1", name="customers_health_score"),
        CheckConstraint("merged_into <> id", name="customers_merged_into"),
        Index("customers_created", "created_at", "id"),
        Index("customers_by_name", text("lower(display_name)")),
    )

    id: str = Field(primary_key=True)
    display_name: str
    segment: str = "standard"
    time_zone: str | None = None
    languages: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    preferred_channels: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    preferred_hours: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    attributes: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    lifetime_value: Decimal | None = Field(default=None, sa_type=Numeric(18, 2))
    contract: str | None = None
    renewal_on: date | None = None
    health_score: float | None = None
    """From 0, about to leave, to 1; what a customer-success system said at `health_at`."""
    health_at: datetime | None = Field(default=None, sa_type=INSTANT)
    merged_into: str | None = Field(default=None, foreign_key="customers.id")
    """The customer this one was linked with: all of theirs is there now."""
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class Identity(SQLModel, table=True):
    """One address of a customer.

    The same address may stand twice, once verified and once as a hint: an unproven sender never shares a
    row, and so never a conversation, with the person who proved the address.
    """

    __tablename__ = "identities"
    __table_args__ = (Index("identities_one_owner", "kind", "address", "verified", unique=True),)

    id: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    kind: str
    address: str
    verified: bool
    display_name: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class IdentityHint(SQLModel, table=True):
    """An address somebody typed or quoted: no proof of anything, kept because it may explain who they are."""

    __tablename__ = "identity_hints"
    __table_args__ = (Index("identity_hints_by_address", "kind", "address"),)

    customer_id: str = Field(primary_key=True, foreign_key="customers.id")
    kind: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    evidence: str = Field(primary_key=True)
    found_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class IdentitySuggestion(SQLModel, table=True):
    """Two customers who may be one person: what speaks for it, and what a person decided."""

    __tablename__ = "identity_suggestions"
    __table_args__ = (
        CheckConstraint("customer_id < other_id", name="identity_suggestions_order"),
        CheckConstraint("score between 0 and 1", name="identity_suggestions_score"),
        CheckConstraint("state in ('open', 'confirmed', 'rejected')", name="identity_suggestions_state"),
        Index("identity_suggestions_once", "customer_id", "other_id", unique=True),
        Index("identity_suggestions_by_other", "other_id"),
        Index("identity_suggestions_open", "id", postgresql_where=text("state = 'open'")),
    )

    id: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id")
    other_id: str = Field(foreign_key="customers.id")
    state: str = "open"
    score: float
    evidence: list[dict[str, JsonValue]] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    found_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    decided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    decided_by: str | None = None


class CustomerLink(SQLModel, table=True):
    """Two customers became one: who was taken into whom, why, and what is needed to take it back."""

    __tablename__ = "customer_links"
    __table_args__ = (
        Index("customer_links_one_live", "absorbed_id", unique=True, postgresql_where=text("undone_at is null")),
        Index("customer_links_by_survivor", "survivor_id"),
    )

    id: str = Field(primary_key=True)
    survivor_id: str = Field(foreign_key="customers.id")
    absorbed_id: str = Field(foreign_key="customers.id")
    cause: str
    by: str
    forced: bool = False
    suggestion_id: str | None = Field(default=None, foreign_key="identity_suggestions.id")
    evidence: list[dict[str, JsonValue]] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    profile_before: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    profile_after: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    merge_id: str | None = Field(default=None, foreign_key="merges.id")
    """The merge of their open conversations, when both had one."""
    linked_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    undone_at: datetime | None = Field(default=None, sa_type=INSTANT)
    undone_by: str | None = None


class CustomerLinkMove(SQLModel, table=True):
    """One row that a link gave to its survivor."""

    __tablename__ = "customer_link_moves"

    link_id: str = Field(primary_key=True, foreign_key="customer_links.id")
    what: str = Field(primary_key=True)
    row_id: str = Field(primary_key=True)


class BlockedAddress(SQLModel, table=True):
    """An address whose messages are kept and marked, and reach nobody."""

    __tablename__ = "blocked_addresses"
    __table_args__ = (Index("blocked_addresses_once", "kind", "address", unique=True),)

    id: str = Field(primary_key=True)
    kind: str
    address: str
    reason: str = ""
    blocked_by: str
    blocked_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class CustomerEvent(SQLModel, table=True):
    """What a customer bought or used, as another system tells it; `source` and `external_id` make it one."""

    __tablename__ = "customer_events"
    __table_args__ = (
        CheckConstraint(
            "kind in ('purchase', 'refund', 'product_use', 'subscription_started', 'subscription_renewed',"
            " 'subscription_cancelled')",
            name="customer_events_kind",
        ),
        Index("customer_events_once", "source", "external_id", unique=True),
        Index("customer_events_by_customer", "customer_id", "at", "id"),
    )

    id: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id")
    source: str
    external_id: str
    kind: str
    product: str
    at: datetime = Field(sa_type=INSTANT)
    amount: Decimal | None = Field(default=None, sa_type=Numeric(18, 2))
    currency: str | None = None
    quantity: int = 1
    imported_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class HealthSource(SQLModel, table=True):
    """A customer-success system whose health scores are pulled, and how its answers are read."""

    __tablename__ = "health_sources"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    url: str
    mapping: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)
    secrets: bytes | None = Field(default=None, sa_type=LargeBinary)
    every_seconds: int = 3600
    active: bool = True
    pulled_at: datetime | None = Field(default=None, sa_type=INSTANT)
    outcome: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
