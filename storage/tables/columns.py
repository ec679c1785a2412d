"""The column kinds every table uses, so that a time is always zoned and a document always JSONB."""

from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB

__all__ = ["INSTANT", "JSON_DOCUMENT", "JSON_VALUE", "JsonValue", "utc_now"]

JSON_DOCUMENT = JSONB(none_as_null=True)
JSON_VALUE = JSONB()
"""Any JSON value, of which null is one."""
INSTANT = DateTime(timezone=True)


def utc_now() -> datetime:
    return datetime.now(UTC)
