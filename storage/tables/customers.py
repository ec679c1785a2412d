"""Customers and the addresses they are known by."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now


class Customer(SQLModel, table=True):
    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("segment in ('standard', 'silver', 'gold', 'platinum')", name="customers_segment"),
        Index("customers_created", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    display_name: str
    segment: str = "standard"
    time_zone: str | None = None
    languages: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    preferred_channels: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    preferred_hours: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    attributes: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
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
