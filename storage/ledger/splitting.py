"""Threads leave their conversation: one is split off, or a merge is undone. Both make a new conversation of them.

The loser of a merge has ended for good, its workflow too, so an undone merge gives its threads to a new conversation
as well. The new one is of the same customer in a merge scope of its own; where the merge had brought in addresses of
another customer, these go back to that customer and the new conversation is theirs.

What the customer still waits for on these threads is owed to the new conversation at its old age. Threads on which
nothing is unanswered begin anew with their last message, as of now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.database import Database, LedgerConnection
from storage.ids import new_id
from storage.ledger.opening import MERGE_SCOPE

_MOST_RACES: Final = 50

_WHOSE: Final = "select customer_id from conversations where id = %s"
_LOCK_CUSTOMERS: Final = "select from customers where id = any(%s) order by id for no key update"
_LOCK_IDENTITIES: Final = "select from identities where customer_id = any(%s) order by id for no key update"
_LOCK: Final = """
select id, customer_id, state, pool, episode, agent_id, owner_id, subject from conversations
where id = %s for no key update
"""
# The merge by which the conversation ended, or else the last one into it whose loser's threads are still here.
_MERGE: Final = """
select m.id, m.loser_id, coalesce(lost.merged_into, m.survivor_id) as place_id, m.threads, m.notes, m.identities,
       m.loser_customer_id
from merges m join conversations lost on lost.id = m.loser_id
where m.undone_at is null and (m.loser_id = %(id)s or lost.merged_into = %(id)s)
order by m.loser_id = %(id)s desc, m.at desc, m.id desc limit 1
"""
_THREADS: Final = """
select id, channel, id = any(%(moving)s::text[]) as moves from threads where conversation_id = %(place)s::text
order by last_inbound_at desc nulls last, id desc
"""
# Who was linked with another customer is that one, also where their conversations part again.
_LINKED_AWAY: Final = "select from customers where id = %s and merged_into is not null"
_HAS_OPEN: Final = """
select from conversations where customer_id = %s and merge_scope = %s and state not in ('closed', 'merged')
"""
_OPEN: Final = """
insert into conversations (id, customer_id, merge_scope, state, step, episode, subject, priority, owner_id, channels,
                           opened_at, updated_at, pool)
values (%(new)s::text, %(customer)s::text, %(scope)s::text, 'new', 0, 1, %(subject)s::text, 3, %(owner)s::text,
        %(moved_channels)s::jsonb, %(at)s::timestamptz,
        %(at)s::timestamptz, %(pool)s::text)
"""
_GIVE_BACK_IDENTITIES: Final = """
update identities set customer_id = %(customer)s::text where id = any(%(identities)s::text[])
"""
# The mark that a merge had put to a key taken twice comes off again.
_MOVE: Final = """
with moved as (
    update threads set conversation_id = %(new)s::text, customer_id = %(customer)s::text,
                       thread_key = replace(thread_key, ' (' || id || ')', '')
    where id = any(%(moving)s::text[]) returning id
)
update messages set conversation_id = %(new)s::text, customer_id = %(customer)s::text
where conversation_id = %(place)s::text
  and (thread_id in (select id from moved) or (thread_id is null and id = any(%(notes)s::text[])))
"""
_FOLLOW: Final = """
with recursive kin (id) as (
    select %(loser)s::text
    union
    select m.loser_id from merges m
    join kin on m.survivor_id = kin.id and m.undone_at is null or m.undone_into_id = kin.id
), undone as (
    update merges set undone_at = %(at)s::timestamptz, undone_by = %(by)s::text,
                      undone_into_id = %(new)s::text where id = %(merge)s::text
)
update conversations set merged_into = %(new)s::text where id in (select id from kin) and merged_into = %(place)s::text
"""
# Whatever came since the oldest message that waits is unanswered; where none waits, whatever came since the last reply.
_UNANSWERED: Final = """
waiting as (
    select m.id, m.thread_id, m.channel, m.kind, m.at
    from messages m
    where m.conversation_id = any(array[%(place)s::text, %(new)s::text]) and m.direction = 'inbound'
      and m.kind = 'message'
      and m.at >= coalesce(
          (select (facts ->> 'unanswered_since')::timestamptz from handovers where conversation_id = %(place)s::text),
          (select max(r.at) from messages r
           where r.conversation_id = any(array[%(place)s::text, %(new)s::text]::text[]) and r.direction = 'outbound'
             and r.delivery not in ('draft', 'withdrawn')),
          (select max(resolved_at) from resolutions where conversation_id = %(place)s::text), '-infinity')
      and not exists (
          select from messages r
          where r.thread_id = m.thread_id and r.direction = 'outbound' and r.delivery not in ('draft', 'withdrawn')
            and r.at > m.at)
)
"""
_OWE: Final = f"""
with {_UNANSWERED}, last_one as (
    select m.id, m.thread_id, m.channel, m.kind, %(at)s::timestamptz as at
    from messages m
    where m.conversation_id = %(new)s::text and m.direction = 'inbound'
      and not exists (select from waiting w where w.thread_id = any(%(moving)s::text[]))
    order by m.at desc, m.id desc limit 1
), owed as (
    select * from waiting where thread_id = any(%(moving)s::text[]) union all select * from last_one
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select %(new)s::text, 'message_received',
       jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', 'message', 'at', at),
       %(at)s::timestamptz, 0, false
from owed order by owed.at, owed.id
"""  # noqa: S608 -- put together of constants
_TELL: Final = f"""
with {_UNANSWERED}, told as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    values (%(place)s::text, 'threads_split',
            jsonb_build_object('into', %(new)s::text, 'thread_ids', to_jsonb(%(moving)s::text[]),
                               'channels', %(left_channels)s::jsonb,
                               'unanswered_since',
                               (select min(at) from waiting where not thread_id = any(%(moving)s::text[]))),
            %(at)s::timestamptz, 0, false)
)
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
values
    (%(at)s::timestamptz, 'threads_split', %(place)s::text, %(place_customer)s::text, %(agent)s::text, %(pool)s::text,
     %(episode)s::int,
     jsonb_build_object('into', %(new)s::text, 'cause', %(cause)s::text, 'by', %(by)s::text,
                        'merge_id', %(merge)s::text, 'channels', %(moved_channels)s::jsonb,
                        'threads', to_jsonb(%(moving)s::text[]), 'messages', to_jsonb(%(notes)s::text[])),
     'threads_split:' || %(new)s::text),
    (%(at)s::timestamptz, 'conversation_opened', %(new)s::text, %(customer)s::text, null, %(pool)s::text, 1,
     jsonb_build_object('channel', %(moved_channels)s::jsonb ->> 0, 'previous_owner', %(owner)s::text,
                        'split_from', %(place)s::text, 'cause', %(cause)s::text, 'by', %(by)s::text),
     'conversation_opened:' || %(new)s::text)
"""  # noqa: S608 -- put together of constants
_RING: Final = "select pg_notify('baton_signals', ''), pg_notify('baton_events', '')"
_NOW: Final = "select greatest(%s::timestamptz, clock_timestamp())"


class SplitRefusal(StrEnum):
    NOT_MERGED = "not_merged"
    """No merge is left here to be undone."""
    UNKNOWN_THREAD = "unknown_thread"
    """The conversation has no such thread."""
    LAST_THREAD = "last_thread"
    """A conversation keeps at least one thread."""
    ENDED = "conversation_ended"
    """A closed or merged conversation gives nothing away."""


class SplitRefused(Exception):  # noqa: N818 -- the field's word: a request is refused, nothing failed
    """Nothing was split."""

    def __init__(self, code: SplitRefusal, conversation_id: str) -> None:
        super().__init__(f"{code}: {conversation_id}")
        self.code = code
        self.conversation_id = conversation_id


@dataclass(frozen=True, slots=True)
class Split:
    """`from_id` is where the threads were, `into_id` the new conversation they are now."""

    from_id: str
    into_id: str
    customer_id: str
    thread_ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class _Place:
    id: str
    customer_id: str
    state: str
    pool: str
    episode: int
    agent_id: str | None
    owner_id: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class _MergeRow:
    id: str
    loser_id: str
    place_id: str
    threads: list[str]
    notes: list[str]
    identities: list[str]
    loser_customer_id: str


@dataclass(frozen=True, slots=True)
class _ThreadRow:
    id: str
    channel: str
    moves: bool


async def split_thread(
    database: Database, conversation_id: str, thread_id: str, *, by: str | None, owner: str | None, at: datetime
) -> Split:
    """Make one thread a conversation of its own; `owner` is who the new one is known to, if anybody.

    Raises:
        SplitRefused: nothing was written.
    """
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await _split_off(connection, conversation_id, [thread_id], None, by, owner, at)
        except (DeadlockDetected, UniqueViolation):
            continue  # somebody else was first; now it can be seen what they wrote
    raise RuntimeError(f"lost {_MOST_RACES} races for one split")


async def undo_merge(
    database: Database, conversation_id: str, *, by: str | None, owner: str | None, at: datetime
) -> Split:
    """Undo the merge by which the conversation ended, or else the last one into it.

    What came after the merge on the loser's threads goes with them.

    Raises:
        SplitRefused: nothing was written.
    """
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await undo_merge_in(connection, conversation_id, by=by, owner=owner, at=at)
        except (DeadlockDetected, UniqueViolation):
            continue
    raise RuntimeError(f"lost {_MOST_RACES} races for one split")


async def undo_merge_in(
    connection: LedgerConnection, conversation_id: str, *, by: str | None, owner: str | None, at: datetime
) -> Split:
    """The same in the caller's transaction."""
    async with connection.cursor(row_factory=class_row(_MergeRow)) as cursor:
        merge = await (await cursor.execute(_MERGE, {"id": conversation_id})).fetchone()
    if merge is None:
        raise SplitRefused(SplitRefusal.NOT_MERGED, conversation_id)
    return await _split_off(connection, merge.place_id, merge.threads, merge, by, owner, at)


async def _split_off(
    connection: LedgerConnection,
    place_id: str,
    thread_ids: Sequence[str],
    merge: _MergeRow | None,
    by: str | None,
    owner: str | None,
    at: datetime,
) -> Split:
    place = await _locked(connection, place_id, merge)
    threads = await _parted(connection, place, thread_ids, merge)
    moving = [thread for thread in threads if thread.moves]
    new = new_id("con")
    customer, scope = await _home(connection, place, merge, new)
    now = await (await connection.execute(_NOW, (at,))).fetchone()
    if now is None:
        raise RuntimeError("the database has no clock")
    facts: dict[str, object] = {
        "new": new,
        "place": place.id,
        "place_customer": place.customer_id,
        "customer": customer,
        "scope": scope,
        "subject": place.subject,
        "owner": owner or place.owner_id,
        "agent": place.agent_id,
        "pool": place.pool,
        "episode": place.episode,
        "moving": [thread.id for thread in moving],
        "moved_channels": Jsonb(_channels(moving)),
        "left_channels": Jsonb(_channels([thread for thread in threads if not thread.moves])),
        "notes": merge.notes if merge else [],
        "identities": merge.identities if merge and customer != place.customer_id else [],
        "merge": merge.id if merge else None,
        "loser": merge.loser_id if merge else None,
        "cause": "unmerge" if merge else "split",
        "by": by,
        "at": now[0],
    }
    await _write(connection, facts, undone=merge is not None)
    return Split(place.id, new, customer, tuple(thread.id for thread in moving), now[0])


async def _locked(connection: LedgerConnection, place_id: str, merge: _MergeRow | None) -> _Place:
    whose = await (await connection.execute(_WHOSE, (place_id,))).fetchone()
    if whose is None:
        raise SplitRefused(SplitRefusal.ENDED, place_id)
    customers = sorted({str(whose[0]), *([merge.loser_customer_id] if merge else [])})
    await connection.execute(_LOCK_CUSTOMERS, (customers,))
    if merge is not None:
        await connection.execute(_LOCK_IDENTITIES, (customers,))
    async with connection.cursor(row_factory=class_row(_Place)) as cursor:
        place = await (await cursor.execute(_LOCK, (place_id,))).fetchone()
    if place is None or place.state in {"closed", "merged"}:
        raise SplitRefused(SplitRefusal.ENDED, place_id)
    return place


async def _parted(
    connection: LedgerConnection, place: _Place, thread_ids: Sequence[str], merge: _MergeRow | None
) -> list[_ThreadRow]:
    """All threads of the place, some of which move and some of which stay."""
    async with connection.cursor(row_factory=class_row(_ThreadRow)) as cursor:
        await cursor.execute(_THREADS, {"place": place.id, "moving": list(thread_ids)})
        threads = await cursor.fetchall()
    if not any(thread.moves for thread in threads):
        raise SplitRefused(SplitRefusal.NOT_MERGED if merge else SplitRefusal.UNKNOWN_THREAD, place.id)
    if all(thread.moves for thread in threads):
        raise SplitRefused(SplitRefusal.LAST_THREAD, place.id)
    return threads


async def _home(connection: LedgerConnection, place: _Place, merge: _MergeRow | None, new: str) -> tuple[str, str]:
    """Whose the new conversation is, and in which merge scope: never two open ones of a customer in one scope."""
    own_scope = f"split:{new}"
    if merge is None or not merge.identities or merge.loser_customer_id == place.customer_id:
        return place.customer_id, own_scope
    linked_away = await (await connection.execute(_LINKED_AWAY, (merge.loser_customer_id,))).fetchone()
    if linked_away is not None:
        return place.customer_id, own_scope
    open_already = await (await connection.execute(_HAS_OPEN, (merge.loser_customer_id, MERGE_SCOPE))).fetchone()
    return merge.loser_customer_id, MERGE_SCOPE if open_already is None else own_scope


def _channels(threads: Sequence[_ThreadRow]) -> list[str]:
    return list(dict.fromkeys(thread.channel for thread in threads))


async def _write(connection: LedgerConnection, facts: Mapping[str, object], *, undone: bool) -> None:
    await connection.execute(_OPEN, facts)
    await connection.execute(_GIVE_BACK_IDENTITIES, facts)
    await connection.execute(_MOVE, facts)
    if undone:
        await connection.execute(_FOLLOW, facts)
    await connection.execute(_OWE, facts)
    await connection.execute(_TELL, facts)
    await connection.execute(_RING)
