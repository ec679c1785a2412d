"""What the doors need: the signal outbox, API keys, idempotency keys, messages set aside."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary
from sqlmodel import Field, SQLModel

from storage.tables.columns import INSTANT, JSON_DOCUMENT, JsonValue, utc_now


class OutboxSignal(SQLModel, table=True):
    """A signal that is owed to a conversation's workflow; the row goes when the signal is taken."""

    __tablename__ = "signals"
    __table_args__ = (Index("signals_by_conversation", "conversation_id", "id"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    conversation_id: str
    kind: str
    payload: dict[str, JsonValue] = Field(sa_type=JSON_DOCUMENT)
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    attempts: int = 0
    not_before: datetime | None = Field(default=None, sa_type=INSTANT)
    error: str | None = None
    set_aside: bool = False


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    role: str
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    agent_id: str | None = Field(default=None, foreign_key="agents.id")
    channel_account: str | None = Field(default=None, foreign_key="channel_accounts.id")
    label: str = ""
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
    expires_at: datetime | None = Field(default=None, sa_type=INSTANT)
    revoked_at: datetime | None = Field(default=None, sa_type=INSTANT)


class IdempotencyKey(SQLModel, table=True):
    """The first answer under a key, replayed for a day. No status yet: the first call is still running or died."""

    __tablename__ = "idempotency_keys"

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_digest: bytes = Field(sa_type=LargeBinary)
    status: int | None = None
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT, index=True)


class UnparsedMessage(SQLModel, table=True):
    """A message that no adapter could read, kept whole so that its neighbours can proceed and nothing is lost."""

    __tablename__ = "unparsed_messages"
    __table_args__ = (Index("unparsed_messages_once", "account_id", "digest", unique=True),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    account_id: str = Field(foreign_key="channel_accounts.id")
    digest: bytes = Field(sa_type=LargeBinary)
    raw: bytes = Field(sa_type=LargeBinary)
    reason: str
    received_at: datetime = Field(default_factory=utc_now, sa_type=INSTANT)
