"""What an admin decides: SLA policies, calendars, wrap-up codes, channel accounts, settings."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JSON_VALUE, JsonValue, utc_now


class Calendar(SQLModel, table=True):
    __tablename__ = "calendars"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    time_zone: str
    weekly: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)
    holidays: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class SlaPolicyRow(SQLModel, table=True):
    __tablename__ = "sla_policies"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    version: int = 1
    applies_to: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    targets: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)
    warn_fraction: float = 0.8
    calendar_id: str | None = Field(default=None, foreign_key="calendars.id")
    pause_on: list[str] = Field(default_factory=list, sa_type=JSON_DOCUMENT)
    ladder: list[JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    """The steps of the ladder; the default ones when there are none."""
    rank: int = 0
    active: bool = True
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class WrapUpCode(SQLModel, table=True):
    __tablename__ = "wrap_up_codes"

    code: str = Field(primary_key=True)
    label: str
    active: bool = True


class ChannelAccount(SQLModel, table=True):
    """One configured end of ours. `secrets` is a sealed box: passwords and signing secrets never lie in the clear."""

    __tablename__ = "channel_accounts"
    __table_args__ = (Index("channel_accounts_name", "channel", "name", unique=True),)

    id: str = Field(primary_key=True)
    channel: str
    name: str
    settings: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSON_DOCUMENT)
    secrets: bytes | None = Field(default=None, sa_type=LargeBinary)
    cursor: dict[str, JsonValue] | None = Field(default=None, sa_type=JSON_DOCUMENT)
    active: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)


class Setting(SQLModel, table=True):
    __tablename__ = "settings"

    key: str = Field(primary_key=True)
    value: JsonValue = Field(sa_type=JSON_VALUE)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
