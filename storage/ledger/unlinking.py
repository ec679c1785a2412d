"""Taking a link back: what was recorded returns to the customer it was taken from.

What came after the link stays where it is, except that threads and their messages go with the identity that wrote them,
and a conversation in which only returning identities wrote goes with these. The conversations that the link had merged
part again, as by an unmerge, while the one they became is open.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.rows import class_row
from pydantic import JsonValue

from storage.database import Database, LedgerConnection
from storage.ledger.linking import profile_document, profiles_of, tell, write_profile
from storage.ledger.splitting import SplitRefused, undo_merge_in
from storage.ledger.suggesting import decide_pair

_MOST_RACES: Final = 50

_LINK: Final = """
select l.id, l.survivor_id, l.absorbed_id, l.profile_before, l.profile_after, l.undone_at is not null as is_undone,
       (select m.loser_id from merges m where m.id = l.merge_id and m.undone_at is null) as merged_conversation
from customer_links l where l.id = %s for no key update of l
"""
_LOCK: Final = "select id, merged_into from customers where id = any(%s) order by id for no key update"
_LOCK_CONVERSATIONS: Final = """
select from conversations
where customer_id = %(survivor)s and id in (
    select row_id from customer_link_moves where link_id = %(link)s and what = 'conversation')
order by id for no key update
"""
_RETURN: Final = (
    """
    update identities set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and id in (
        select row_id from customer_link_moves where link_id = %(link)s and what = 'identity')
    """,
    """
    update conversations set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and id in (
        select row_id from customer_link_moves where link_id = %(link)s and what = 'conversation')
    """,
    # What only the returning addresses wrote in since is theirs as well.
    """
    update conversations set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and id in (
        select t.conversation_id from threads t
        where t.customer_id = %(survivor)s
        group by t.conversation_id
        having bool_and(t.identity_id in (
            select row_id from customer_link_moves where link_id = %(link)s and what = 'identity')))
    """,
    """
    update resolutions set customer_id = %(absorbed)s
    from conversations c
    where resolutions.customer_id = %(survivor)s and c.id = resolutions.conversation_id
      and c.customer_id = %(absorbed)s
    """,
    """
    update customer_events set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and id in (
        select row_id from customer_link_moves where link_id = %(link)s and what = 'event')
    """,
    """
    update threads set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and identity_id in (
        select row_id from customer_link_moves where link_id = %(link)s and what = 'identity')
    """,
    """
    update messages set customer_id = %(absorbed)s
    from threads where messages.customer_id = %(survivor)s and threads.id = messages.thread_id
      and threads.customer_id = %(absorbed)s
    """,
    # Notes and whatever belongs to no thread stay with their conversation.
    """
    update messages set customer_id = %(absorbed)s
    where customer_id = %(survivor)s and thread_id is null
      and conversation_id in (select id from conversations where customer_id = %(absorbed)s)
    """,
    "update customers set merged_into = null, updated_at = clock_timestamp() where id = %(absorbed)s",
    "update customer_links set undone_at = clock_timestamp(), undone_by = %(by)s where id = %(link)s",
)

_RETURNED: Final = "select id from conversations where customer_id = %s order by id"


class UnlinkRefusal(StrEnum):
    UNKNOWN = "not_found"
    """There is no such link."""
    UNDONE = "already_undone"
    """It was taken back before."""
    LINKED_ON = "linked_on"
    """The survivor was linked with somebody else since: that link is to be taken back first."""
    BUSY = "conversation_open"
    """The customer that would return has an open conversation of their own by now."""


class UnlinkRefused(Exception):  # noqa: N818 -- a request is refused, nothing failed
    def __init__(self, code: UnlinkRefusal, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Unlinked:
    link_id: str
    survivor_id: str
    restored_id: str
    conversation_id: str | None
    """What came out of the conversation that the link had merged, when that one is still open."""


@dataclass(frozen=True, slots=True)
class _Link:
    id: str
    survivor_id: str
    absorbed_id: str
    profile_before: dict[str, JsonValue]
    profile_after: dict[str, JsonValue]
    is_undone: bool
    merged_conversation: str | None


async def unlink(database: Database, link_id: str, by: str) -> Unlinked:
    """Take a link back in a transaction of its own.

    Raises:
        UnlinkRefused: nothing was changed, and why.
    """
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await _unlink(connection, link_id, by)
        except DeadlockDetected:
            continue
        except UniqueViolation as error:
            raise UnlinkRefused(UnlinkRefusal.BUSY, "the customer has an open conversation of their own") from error
    raise RuntimeError(f"lost {_MOST_RACES} races for one unlink")


async def _unlink(connection: LedgerConnection, link_id: str, by: str) -> Unlinked:
    async with connection.cursor(row_factory=class_row(_Link)) as cursor:
        link = await (await cursor.execute(_LINK, (link_id,))).fetchone()
    if link is None:
        raise UnlinkRefused(UnlinkRefusal.UNKNOWN, "there is no such link")
    if link.is_undone:
        raise UnlinkRefused(UnlinkRefusal.UNDONE, "this link was taken back before")
    pair = (link.survivor_id, link.absorbed_id)
    rows = await (await connection.execute(_LOCK, (list(pair),))).fetchall()
    if any(customer == link.survivor_id and merged_into is not None for customer, merged_into in rows):
        raise UnlinkRefused(UnlinkRefusal.LINKED_ON, "the customer was linked with another since; undo that first")
    asked = {"link": link.id, "survivor": link.survivor_id, "absorbed": link.absorbed_id, "by": by}
    await connection.execute(_LOCK_CONVERSATIONS, asked)
    for statement in _RETURN:
        await connection.execute(statement, asked)
    await _restore_profile(connection, link)
    returned = await (await connection.execute(_RETURNED, (link.absorbed_id,))).fetchall()
    parted = await _parted(connection, link, by)
    await decide_pair(connection, *pair, "rejected", by)
    facts: dict[str, JsonValue] = {
        "link_id": link.id,
        "customer_id": link.survivor_id,
        "restored_customer_id": link.absorbed_id,
        "by": by,
        "conversation_id": parted,
        "conversations": [str(row[0]) for row in returned],
    }
    await tell(connection, "identity_unlinked", link.id, link.survivor_id, pair, facts)
    return Unlinked(link.id, link.survivor_id, link.absorbed_id, parted)


async def _parted(connection: LedgerConnection, link: _Link, by: str) -> str | None:
    """The conversation that comes out of the one the link had merged; None where none was, or where it has ended."""
    if link.merged_conversation is None:
        return None
    try:
        async with connection.transaction():
            split = await undo_merge_in(connection, link.merged_conversation, by=by, owner=None, at=datetime.now(UTC))
    except SplitRefused:
        return None
    return split.into_id


async def _restore_profile(connection: LedgerConnection, link: _Link) -> None:
    """Only what nobody has changed since goes back to what it was."""
    present = profile_document((await profiles_of(connection, (link.survivor_id,)))[link.survivor_id])
    untouched = {
        name: link.profile_before[name] for name, value in link.profile_after.items() if present.get(name) == value
    }
    await write_profile(connection, link.survivor_id, untouched)
