"""From a bearer key to a principal, remembered for less than a second so that a revoked key soon stops working."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from fastapi import Request

from api.access import Principal, Role
from api.problems import Unauthenticated
from storage.database import Database
from storage.migrate import key_digest

_REMEMBERED_SECONDS: Final = 0.5
_KEYS_REMEMBERED: Final = 10_000
_PREFIX: Final = "bt_"
_LONGEST_KEY: Final = 200

_KEY = """
select k.id, k.role, k.agent_id, a.pool, k.channel_account
from api_keys k left join agents a on a.id = k.agent_id
where k.digest = %s and k.revoked_at is null and (k.expires_at is null or k.expires_at > %s)
  and (k.agent_id is null or a.active)
"""


class KeyRing:
    """Looks keys up by their digest; what it remembers, unknown keys too, is forgotten after half a second."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = monotonic, seen: Callable[[str], None] | None = None
    ) -> None:
        """`seen` is told which agent's key was used."""
        self._database = database
        self._seen = seen
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    async def principal(self, digest: bytes) -> Principal | None:
        """Who holds this key now; None when it is unknown, revoked, expired, or its agent is no more."""
        principal = await self._remembered_or_found(digest)
        if self._seen is not None and principal is not None and principal.agent_id is not None:
            self._seen(principal.agent_id)
        return principal

    async def _remembered_or_found(self, digest: bytes) -> Principal | None:
        now = self._clock()
        found = self._remembered.get(digest)
        if found is not None and found[0] > now:
            return found[1]
        principal = await self._look_up(digest)
        self._remembered[digest] = (now + _REMEMBERED_SECONDS, principal)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > _KEYS_REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    async def _look_up(self, digest: bytes) -> Principal | None:
        async with self._database.ledger.connection() as connection:
            row = await (await connection.execute(_KEY, (digest, datetime.now(UTC)))).fetchone()
        if row is None or row[1] not in _ROLES:
            return None
        key_id, role, agent_id, pool, channel_account = row
        if role == Role.AGENT and agent_id is None:
            return None
        return Principal(key_id, Role(role), digest, agent_id, pool, channel_account)


_ROLES: Final = frozenset(role.value for role in Role)


async def authenticated(request: Request, keys: KeyRing) -> Principal:
    """The principal of a request's bearer key; raises `Unauthenticated`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key.startswith(_PREFIX) or len(key) > _LONGEST_KEY:
        raise Unauthenticated
    principal = await keys.principal(key_digest(key))
    if principal is None:
        raise Unauthenticated("this API key is unknown, expired or revoked")
    return principal
