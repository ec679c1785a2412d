"""Two customers become one person: one transaction moves what is theirs, and records what taking it back needs.

Who stays is who has the open conversation: its workflow knows them by their id. When both have one, these are merged
and the survivor's customer stays; when neither has, the rule of `domain.identity.linking`. The other customer's row
remains as a name that leads here, so that systems which know the old id still reach the person.

Rows are locked in the ledger's order: customers (by id), identities, conversations, the rest. An intake that is about
to open a conversation holds its customer in share mode, so a link waits for it or it sees the link.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, LiteralString

from psycopg import sql
from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from domain.identity.addresses import AddressKind, NormalAddress
from domain.identity.linking import (
    Conflict,
    KnownIdentity,
    LinkCause,
    Side,
    conflicts,
    higher_segment,
    joined,
    links_by_itself,
    survivor_of,
)
from domain.identity.matching import Evidence
from storage.database import Database, LedgerConnection
from storage.ids import new_id
from storage.ledger.merging import Merged, MergeRefused, merge_conversations
from storage.ledger.opening import MERGE_SCOPE
from storage.ledger.suggesting import decide_pair, suggest_anew

_MOST_RACES: Final = 50

ROOT: Final = """
with recursive chain as (
    select asked.id as asked, c.id, c.merged_into, 0 as hops
    from unnest(%s::text[]) as asked(id) join customers c on c.id = asked.id
    union all
    select chain.asked, c.id, c.merged_into, chain.hops + 1
    from chain join customers c on c.id = chain.merged_into where chain.hops < 1000
)
select asked, id from chain where merged_into is null
"""
"""Who the asked customers are now: every link leads on to one that was not linked away."""
_LOCK: Final = "select id, merged_into from customers where id = any(%s) order by id for no key update"
_IDENTITIES: Final = """
select i.customer_id, i.kind, i.address, i.verified from identities i where i.customer_id = any(%s)
order by i.id for no key update
"""
_PROFILES: Final = """
select id, created_at, segment, time_zone, languages, preferred_channels, preferred_hours, attributes, lifetime_value,
       contract, renewal_on, health_score, health_at
from customers where id = any(%s)
"""
_OPEN: Final = """
select id, customer_id from conversations
where customer_id = any(%s) and merge_scope = %s and state not in ('closed', 'merged') order by id
"""
_RECORD: Final = """
insert into customer_links (id, survivor_id, absorbed_id, cause, by, forced, suggestion_id, evidence, profile_before,
                            profile_after, merge_id, linked_at)
values (%(link)s, %(survivor)s, %(absorbed)s, %(cause)s, %(by)s, %(forced)s, %(suggestion)s, %(evidence)s,
        %(before)s, %(after)s, %(merge)s, clock_timestamp())
"""
# The merge has moved the addresses that wrote in its loser already: what was whose before it is remembered.
_REMEMBER: Final = """
insert into customer_link_moves (link_id, what, row_id)
select %(link)s::text, 'identity', unnest(%(identities)s::text[])
union all select %(link)s::text, 'conversation', id from conversations where customer_id = %(absorbed)s::text
union all select %(link)s::text, 'event', id from customer_events where customer_id = %(absorbed)s::text
"""
_IDENTITY_IDS: Final = "select id from identities where customer_id = %s"
_MOVE: Final[Mapping[str, LiteralString]] = {
    table: f"update {table} set customer_id = %(survivor)s where customer_id = %(absorbed)s"  # noqa: S608 -- of these
    for table in ("identities", "conversations", "threads", "resolutions", "customer_events")
} | {
    # By conversation: all of a customer's messages, drafts too, are only found that way without reading every row.
    "messages": """
        update messages set customer_id = %(survivor)s
        where customer_id = %(absorbed)s
          and conversation_id in (select id from conversations where customer_id = %(survivor)s)
        """
}
"""In this order: a message is moved once its conversation is held."""
_ABSORB: Final = (
    "update customers set merged_into = %(survivor)s, updated_at = clock_timestamp() where id = %(absorbed)s"
)
_TELL: Final = """
with told as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select clock_timestamp(), %(kind)s::text, c.id, %(customer)s::text, c.pool, c.episode, %(facts)s::jsonb,
           %(kind)s::text || ':' || %(link)s::text || ':' || coalesce(c.id, '')
    from (select 1) as one
    left join conversations c on c.customer_id = any(%(customers)s::text[]) and c.state not in ('closed', 'merged')
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select id, 'policy_changed', jsonb_build_object('cause', %(kind)s::text), clock_timestamp(), 0, false
from conversations
where customer_id = any(%(customers)s::text[]) and state not in ('closed', 'merged', 'new') order by id
"""
_RING: Final = "select pg_notify('baton_signals', ''), pg_notify('baton_events', '')"


class LinkRefusal(StrEnum):
    UNKNOWN = "not_found"
    """There is no such customer."""
    SAME = "same_customer"
    """They are one already, or the same."""
    CONFLICT = "identity_conflict"
    """Both have proven addresses of a kind, and different ones."""
    NOT_PROVEN = "not_proven"
    """Nothing proves that they are one; a person has to say so."""


class LinkRefused(Exception):  # noqa: N818 -- a request is refused, nothing failed
    """Nothing was linked."""

    def __init__(self, code: LinkRefusal, detail: str, found: tuple[Conflict, ...] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.conflicts = found


class Again(Exception):  # noqa: N818 -- says what is to be done
    """Somebody else changed what was looked at."""


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """`proved` are the addresses one sender proved, for a link by itself; `by` names who asks for any other."""

    one: str
    other: str
    cause: LinkCause
    by: str
    force: bool = False
    suggestion_id: str | None = None
    evidence: tuple[Evidence, ...] = ()
    proved: frozenset[NormalAddress] = frozenset()


@dataclass(frozen=True, slots=True)
class Linked:
    """What became one; `merged` names the two open conversations that did, when both had one."""

    link_id: str
    survivor_id: str
    absorbed_id: str
    conflicts: tuple[Conflict, ...]
    merged: Merged | None
    moved: Mapping[str, int]
    """Rows by table."""
    profile: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the survivor's profile takes over."""


@dataclass(frozen=True, slots=True)
class Profile:
    id: str
    created_at: datetime
    segment: str
    time_zone: str | None
    languages: list[str]
    preferred_channels: list[str]
    preferred_hours: dict[str, JsonValue] | None
    attributes: dict[str, JsonValue]
    lifetime_value: Decimal | None
    contract: str | None
    renewal_on: date | None
    health_score: float | None
    health_at: datetime | None


async def link(database: Database, request: LinkRequest, *, dry_run: bool = False) -> Linked:
    """Link two customers in a transaction of its own; a dry run does the same and takes all of it back.

    Raises:
        LinkRefused: nothing was linked, and why.
    """
    for _ in range(_MOST_RACES):
        try:
            async with (
                database.ledger.connection() as connection,
                connection.transaction(force_rollback=dry_run),
            ):
                return await link_customers(connection, request)
        except (Again, DeadlockDetected, UniqueViolation):
            continue
    raise RuntimeError(f"lost {_MOST_RACES} races for one link")


async def link_customers(connection: LedgerConnection, request: LinkRequest) -> Linked:
    """The same as part of the caller's transaction; a link by itself only where `request.proved` proves it.

    Raises:
        LinkRefused: nothing was written.
        psycopg.errors.DeadlockDetected, Again: the caller rolls back and asks again.
    """
    pair = await _locked(connection, request)
    sides = await _sides(connection, pair)
    one, other = sides[pair[0]], sides[pair[1]]
    against = conflicts(one, other)
    if request.cause is LinkCause.PROVEN and not links_by_itself(one, other, request.proved):
        raise LinkRefused(
            LinkRefusal.CONFLICT if against else LinkRefusal.NOT_PROVEN, "they do not link by themselves", against
        )
    if against and not request.force:
        kinds = ", ".join(conflict.kind for conflict in against)
        raise LinkRefused(LinkRefusal.CONFLICT, f"both have proven addresses of their own: {kinds}", against)
    identities = {customer: await _identity_ids(connection, customer) for customer in pair}
    survivor_id, merged = await _one_conversation(connection, request, one, other)
    absorbed_id = pair[0] if survivor_id == pair[1] else pair[1]
    return await _absorb(connection, request, survivor_id, absorbed_id, identities[absorbed_id], merged, against)


async def _locked(connection: LedgerConnection, request: LinkRequest) -> tuple[str, str]:
    """Who the two are now, in the order of their ids, locked."""
    cursor = await connection.execute(ROOT, ([request.one, request.other],))
    roots: dict[str, str] = {str(asked): str(root) for asked, root in await cursor.fetchall()}
    for asked in (request.one, request.other):
        if asked not in roots:
            raise LinkRefused(LinkRefusal.UNKNOWN, f"there is no customer {asked}")
    first, second = sorted((roots[request.one], roots[request.other]))
    if first == second:
        raise LinkRefused(LinkRefusal.SAME, "they are one customer already")
    rows = await (await connection.execute(_LOCK, ([first, second],))).fetchall()
    if any(merged_into is not None for _, merged_into in rows):
        raise Again
    return first, second


async def _sides(connection: LedgerConnection, pair: tuple[str, str]) -> dict[str, Side]:
    rows = await (await connection.execute(_IDENTITIES, (list(pair),))).fetchall()
    profiles = await profiles_of(connection, pair)
    return {
        customer: Side(
            customer,
            profiles[customer].created_at,
            tuple(
                KnownIdentity(NormalAddress(AddressKind(kind), address), verified)
                for owner, kind, address, verified in rows
                if owner == customer
            ),
        )
        for customer in pair
    }


async def profiles_of(connection: LedgerConnection, pair: Collection[str]) -> dict[str, Profile]:
    async with connection.cursor(row_factory=class_row(Profile)) as cursor:
        rows = await (await cursor.execute(_PROFILES, (list(pair),))).fetchall()
    return {row.id: row for row in rows}


async def _identity_ids(connection: LedgerConnection, customer_id: str) -> list[str]:
    return [str(row[0]) for row in await (await connection.execute(_IDENTITY_IDS, (customer_id,))).fetchall()]


async def _one_conversation(
    connection: LedgerConnection, request: LinkRequest, one: Side, other: Side
) -> tuple[str, Merged | None]:
    """Merge the open conversations when there are two; returns the customer who stays."""
    cursor = await connection.execute(_OPEN, ([one.customer_id, other.customer_id], MERGE_SCOPE))
    found = await cursor.fetchall()
    if not found:
        return survivor_of(one, other).customer_id, None
    if len(found) == 1:
        return str(found[0][1]), None
    try:
        merged = await merge_conversations(
            connection,
            str(found[0][0]),
            str(found[1][0]),
            cause="identity_linked",
            by=request.by,
            at=datetime.now(UTC),
            one_person=True,
        )
    except MergeRefused as error:
        raise Again from error  # one of them has just ended
    return merged.customer_id, merged


async def _absorb(
    connection: LedgerConnection,
    request: LinkRequest,
    survivor_id: str,
    absorbed_id: str,
    identities: list[str],
    merged: Merged | None,
    against: tuple[Conflict, ...],
) -> Linked:
    link_id = new_id("lnk")
    profiles = await profiles_of(connection, (survivor_id, absorbed_id))
    before, after = _taken_over(profiles[survivor_id], profiles[absorbed_id])
    asked = {
        "link": link_id,
        "survivor": survivor_id,
        "absorbed": absorbed_id,
        "cause": request.cause.value,
        "by": request.by,
        "forced": bool(against),
        "suggestion": request.suggestion_id,
        "evidence": Jsonb([{"kind": one.kind.value, "subject": one.subject} for one in request.evidence]),
        "before": Jsonb(before),
        "after": Jsonb(after),
        "merge": merged.merge_id if merged else None,
        "identities": identities,
    }
    await connection.execute(_RECORD, asked)
    await connection.execute(_REMEMBER, asked)
    moved = {}
    for table, statement in _MOVE.items():
        moved[table] = (await connection.execute(statement, asked)).rowcount
    moved["identities"] = len(identities)
    await write_profile(connection, survivor_id, after)
    await connection.execute(_ABSORB, asked)
    await decide_pair(connection, survivor_id, absorbed_id, "confirmed", request.by)
    await suggest_anew(connection, absorbed_id, survivor_id)
    facts: dict[str, JsonValue] = {
        "link_id": link_id,
        "customer_id": survivor_id,
        "absorbed_customer_id": absorbed_id,
        "cause": request.cause.value,
        "by": request.by,
        "forced": bool(against),
        "evidence": [{"kind": one.kind.value, "subject": one.subject} for one in request.evidence],
        "merge_id": merged.merge_id if merged else None,
    }
    await tell(connection, "identity_linked", link_id, survivor_id, (survivor_id,), facts)
    return Linked(link_id, survivor_id, absorbed_id, against, merged, moved, after)


async def tell(
    connection: LedgerConnection,
    kind: str,
    link_id: str,
    customer_id: str,
    customers: Collection[str],
    facts: Mapping[str, JsonValue],
) -> None:
    """Put it on the timelines of the customers' open conversations, whose terms may have changed with it."""
    await connection.execute(
        _TELL,
        {
            "kind": kind,
            "link": link_id,
            "customer": customer_id,
            "customers": list(customers),
            "facts": Jsonb(dict(facts)),
        },
    )
    await connection.execute(_RING)


def _taken_over(mine: Profile, theirs: Profile) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """The fields of the survivor that change, as they were and as they will be."""
    newer_health = theirs.health_at is not None and (mine.health_at is None or mine.health_at < theirs.health_at)
    values = [value for value in (mine.lifetime_value, theirs.lifetime_value) if value is not None]
    joint: dict[str, JsonValue] = {
        "segment": higher_segment(mine.segment, theirs.segment),
        "time_zone": mine.time_zone or theirs.time_zone,
        "languages": list(joined(mine.languages, theirs.languages)),
        "preferred_channels": list(joined(mine.preferred_channels, theirs.preferred_channels)),
        "preferred_hours": mine.preferred_hours or theirs.preferred_hours,
        "attributes": {**theirs.attributes, **mine.attributes},
        "lifetime_value": str(max(values)) if values else None,
        "contract": mine.contract or theirs.contract,
        "renewal_on": _day(mine.renewal_on or theirs.renewal_on),
        "health_score": theirs.health_score if newer_health else mine.health_score,
        "health_at": _instant(theirs.health_at if newer_health else mine.health_at),
    }
    present = profile_document(mine)
    changed = [name for name, value in joint.items() if present[name] != value]
    return {name: present[name] for name in changed}, {name: joint[name] for name in changed}


def profile_document(profile: Profile) -> dict[str, JsonValue]:
    """The fields a link may change, in the form they are recorded in."""
    return {
        "segment": profile.segment,
        "time_zone": profile.time_zone,
        "languages": list(profile.languages),
        "preferred_channels": list(profile.preferred_channels),
        "preferred_hours": profile.preferred_hours,
        "attributes": profile.attributes,
        "lifetime_value": None if profile.lifetime_value is None else str(profile.lifetime_value),
        "contract": profile.contract,
        "renewal_on": _day(profile.renewal_on),
        "health_score": profile.health_score,
        "health_at": _instant(profile.health_at),
    }


async def write_profile(connection: LedgerConnection, customer_id: str, fields: Mapping[str, JsonValue]) -> None:
    """Write recorded fields back into a customer's row."""
    for name, value in fields.items():
        statement = sql.SQL("update customers set {} = %s, updated_at = clock_timestamp() where id = %s").format(
            sql.Identifier(name)
        )
        written = Jsonb(value) if isinstance(value, list | dict) else value
        await connection.execute(statement, (written, customer_id))


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()
