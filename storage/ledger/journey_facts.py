"""What the ledger knows that a suggestion needs: how this customer can be reached, and how suggestions ended before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from domain.channels import Channel
from domain.sla.calendar import Calendar
from domain.suggestions.learned import Outcome
from domain.suggestions.waits import ExpectedWait
from storage.database import LedgerConnection
from storage.ledger.case_facts import calendar_from

ASKED_LATELY: Final = timedelta(days=30)
"""For so long, a suggestion made in another conversation about the same intent is not made again."""
OUTCOMES: Final = 20_000
STAY_SINCE: Final = timedelta(days=90)
WAITS_SINCE: Final = timedelta(hours=24)
_LONGEST_WORD: Final = 40

_REACHED: Final = """
select u.preferred_channels, u.preferred_hours, u.time_zone,
       array(select distinct i.kind from identities i where i.customer_id = u.id and i.verified) as proven,
       array(select distinct a.channel from channel_accounts a where a.active) as accounts,
       array(select distinct s.channel from suggestions s
             where s.customer_id = u.id and s.conversation_id is distinct from %(conversation)s::text
               and s.intent is not distinct from %(intent)s::text and s.offered_at > %(since)s) as asked,
       exists (select from resolutions r
               where r.customer_id = u.id and r.intent = %(intent)s::text
                 and r.conversation_id is distinct from %(conversation)s::text) as came_back
from customers u where u.id = %(customer)s
"""
_OURS: Final = "select channel from channel_accounts where active group by channel order by min(created_at)"
_SHORT: Final = "select id, text from messages where id = any(%s) and length(text) <= %s"
_OUTCOMES: Final = """
select intent, channel, came_back, resolved_there from suggestions
where state = 'accepted' and resolved_there is not null order by offered_at desc limit %s
"""
_STAYED: Final = """
select r.intent, r.first_channel as channel, count(*) as seen,
       count(*) filter (where r.end_reason = 'resolved' and not exists (
           select from resolutions later where later.conversation_id = r.conversation_id and later.episode > r.episode
       )) as resolved
from resolutions r
where r.resolved_at > %s and jsonb_array_length(r.channels) <= 1
group by r.intent, r.first_channel
"""
_CALENDARS: Final = "select id, name, time_zone, weekly, holidays from calendars where id = any(%s) or name = any(%s)"
# Only the first wait of an episode is a customer's wait for somebody; a transfer's is a colleague's.
_WAITS: Final = """
with answered as (
    select distinct on (a.conversation_id, a.episode) a.conversation_id, a.episode, a.channel, a.started_at
    from assignments a where a.how in ('offer', 'claim') and a.started_at > %(since)s
    order by a.conversation_id, a.episode, a.started_at
), waited as (
    select answered.channel, answered.started_at - queued.at as wait
    from answered
    join lateral (
        select min(e.at) as at from events e
        where e.conversation_id = answered.conversation_id and e.episode = answered.episode and e.kind = 'queued'
    ) as queued on queued.at <= answered.started_at
), present as (
    select channel, count(*) as waiting from queue_tickets group by channel
)
select coalesce(waited.channel, present.channel) as channel, count(waited.wait) as answered,
       percentile_cont(0.5) within group (order by waited.wait) as median,
       percentile_cont(0.9) within group (order by waited.wait) as p90,
       coalesce(max(present.waiting), 0) as waiting
from waited full join present using (channel) group by 1 order by 1
"""


@dataclass(frozen=True, slots=True)
class ReachFacts:
    """`proven` are kinds of verified addresses, `accounts` channels of ours, `asked` channels suggested elsewhere."""

    preferred_channels: list[str]
    preferred_hours: dict[str, list[list[str]]] | None
    time_zone: str | None
    proven: list[str]
    accounts: list[str]
    asked: list[str]
    came_back: bool


@dataclass(frozen=True, slots=True)
class Stayed:
    """Episodes of an intent that never left their channel, and how many of them were resolved for good."""

    intent: str | None
    channel: str
    seen: int
    resolved: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    intent: str | None
    channel: str
    came_back: bool
    resolved_there: bool


@dataclass(frozen=True, slots=True)
class _Wait:
    channel: str
    answered: int
    median: timedelta | None
    p90: timedelta | None
    waiting: int


async def read_reach(
    connection: LedgerConnection, customer_id: str, conversation_id: str | None, intent: str | None, at: datetime
) -> ReachFacts | None:
    async with connection.cursor(row_factory=class_row(ReachFacts)) as cursor:
        await cursor.execute(
            _REACHED,
            {
                "customer": customer_id,
                "conversation": conversation_id,
                "intent": intent,
                "since": at - ASKED_LATELY,
            },
        )
        return await cursor.fetchone()


async def short_messages(connection: LedgerConnection, message_ids: Sequence[str]) -> list[tuple[str, str]]:
    """The messages that may be one word, with their words."""
    cursor = await connection.execute(_SHORT, (list(message_ids), _LONGEST_WORD))
    return [(str(row[0]), str(row[1])) for row in await cursor.fetchall()]


async def read_outcomes(connection: LedgerConnection) -> list[Outcome]:
    async with connection.cursor(row_factory=class_row(_Outcome)) as cursor:
        rows = await (await cursor.execute(_OUTCOMES, (OUTCOMES,))).fetchall()
    return [Outcome(row.intent, Channel(row.channel), row.came_back, row.resolved_there) for row in rows]


async def read_stayed(connection: LedgerConnection, at: datetime) -> list[Stayed]:
    async with connection.cursor(row_factory=class_row(Stayed)) as cursor:
        return await (await cursor.execute(_STAYED, (at - STAY_SINCE,))).fetchall()


async def read_calendars(connection: LedgerConnection, named: Sequence[str], at: datetime) -> Mapping[str, Calendar]:
    """Calendars by their id and by their name."""
    if not named:
        return {}
    found: dict[str, Calendar] = {}
    cursor = await connection.execute(_CALENDARS, (list(named), list(named)))
    for identity, name, zone, weekly, holidays in await cursor.fetchall():
        found[str(identity)] = found[str(name)] = calendar_from(str(zone), weekly, holidays, at)
    return found


async def channels_of_ours(connection: LedgerConnection) -> list[str]:
    """The channels with an active account, the one we have had for longest first."""
    cursor = await connection.execute(_OURS)
    return [str(row[0]) for row in await cursor.fetchall()]


async def read_waits(connection: LedgerConnection, at: datetime, enough: int) -> tuple[ExpectedWait, ...]:
    """How long customers have waited lately, by channel; below `enough` answered nothing is claimed."""
    async with connection.cursor(row_factory=class_row(_Wait)) as cursor:
        rows = await (await cursor.execute(_WAITS, {"since": at - WAITS_SINCE})).fetchall()
    return tuple(
        ExpectedWait(
            Channel(row.channel),
            row.median if row.answered >= enough else None,
            row.p90 if row.answered >= enough else None,
            row.answered,
            row.waiting,
        )
        for row in rows
    )
