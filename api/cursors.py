"""Keyset cursors: opaque to callers, bound to their list, and useless when altered."""

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final, Generic, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from api.problems import BadRequest
from api.route import Context

Item = TypeVar("Item")

CursorKey = tuple[str, ...]
"""Where a page ended: the sort key of its last row."""

DEFAULT_LIMIT: Final = 50
LARGEST_LIMIT: Final = 200
_MAC_BYTES: Final = 12
_LONGEST: Final = 2000


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` leads to the next one as long as there is more."""

    data: list[Item]
    next_cursor: str | None = Field(examples=["WyIyMDI2LTAxLTA1VDA5OjAwOjAwWiJd"])
    has_more: bool = Field(examples=[True])


class Cursors:
    """Writes and reads cursors under a key derived from the deployment's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton cursors").derive(secret)

    def write(self, of: str, key: CursorKey) -> str:
        """The cursor after `key` in the list named `of` (its path and filters)."""
        payload = json.dumps(key, separators=(",", ":")).encode()
        return urlsafe_b64encode(self._mac(of, payload) + payload).decode().rstrip("=")

    def read(self, of: str, cursor: str, parts: int) -> CursorKey:
        """The key in a cursor; raises `BadRequest` for one that is altered or of another list."""
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if len(cursor) <= _LONGEST else b""
        except (binascii.Error, ValueError):
            raw = b""
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not payload or not hmac.compare_digest(mac, self._mac(of, payload)):
            raise BadRequest("invalid_cursor", "this cursor is not one of this list")
        key = tuple(str(part) for part in json.loads(payload))
        if len(key) != parts:
            raise BadRequest("invalid_cursor", "this cursor is not one of this list")
        return key

    def _mac(self, of: str, payload: bytes) -> bytes:
        return hmac.digest(self._key, of.encode() + b"\0" + payload, hashlib.sha256)[:_MAC_BYTES]


class Paging:
    """`?limit=&cursor=` of one request."""

    def __init__(self, cursors: Cursors, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self._cursor = cursor
        self._cursors = cursors

    def after(self, of: str, parts: int) -> CursorKey | None:
        """Where the asked page begins; None at the beginning of the list."""
        return None if self._cursor is None else self._cursors.read(of, self._cursor, parts)

    def cursor(self, of: str, key: CursorKey) -> str:
        return self._cursors.write(of, key)


# A coroutine not to wait, but not to be called in another thread.
async def _paging(
    context: Context,
    limit: Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="Rows at most")] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=_LONGEST, description="From an earlier page")] = None,
) -> Paging:
    return Paging(Cursors(context.secret), limit, cursor)


Pages = Annotated[Paging, Depends(_paging)]
