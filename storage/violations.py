"""The invariants of the ledger, each with a checker that reads rows and nothing else.

They ask for what must hold whatever the code did: none of them trusts a counter, an index or a constraint that the
code under suspicion relies on. Each is run in one snapshot with the others, so a busy ledger can be checked too.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

from domain.kpis.records import TimeRange
from storage.database import PATIENCE, LedgerConnection
from storage.records.kpi_differences import differences
from storage.records.kpi_log import read_kpi_records_from_log
from storage.records.kpis import read_kpi_records

CLOCK_SLACK: Final = timedelta(seconds=1)
"""Holdings of one agent are timed by several processes; an overlap shorter than this is no proof of a wrong order."""

_EVER: Final = TimeRange(datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Violation:
    """One row, or group of rows, that must not be there."""

    invariant: str
    checker: str
    subject: str
    detail: str


Checker = Callable[[LedgerConnection], Awaitable[list[Violation]]]


async def violations(connection: LedgerConnection) -> list[Violation]:
    """Everything in the ledger that breaks an invariant; the connection is outside a transaction."""
    found: list[Violation] = []
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        await connection.execute(PATIENCE)
        for checker in CHECKERS:
            found += await checker(connection)
    return found


async def acknowledged_but_not_stored(
    connection: LedgerConnection, provider_message_ids: Collection[str]
) -> list[Violation]:
    """The half of S1 that the ledger can't see by itself: what senders were told was taken."""
    cursor = await connection.execute(
        """
        select acknowledged.id from unnest(%s::text[]) as acknowledged (id)
        where not exists (select from messages where provider_message_id = acknowledged.id)
        """,
        (list(provider_message_ids),),
    )
    return [
        Violation("S1", "acknowledged_but_not_stored", str(missing), "no row") for (missing,) in await cursor.fetchall()
    ]


async def message_stored_more_than_once(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S1",
        "message_stored_more_than_once",
        """
        select channel || '/' || account || '/' || provider_message_id, count(*) || ' rows'
        from messages where provider_message_id is not null
        group by channel, account, provider_message_id having count(*) > 1
        """,
    )


async def message_received_not_exactly_once(connection: LedgerConnection) -> list[Violation]:
    """The effect of an inbound message on its conversation is the one event that tells of it."""
    return await _found(
        connection,
        "S2",
        "message_received_not_exactly_once",
        """
        select messages.id, count(events.id) || ' events tell of it'
        from messages
        left join events on events.kind = 'message_received' and events.data ->> 'message_id' = messages.id
        where messages.direction = 'inbound'
        group by messages.id having count(events.id) <> 1
        """,
    )


async def assignments_overlap(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S3",
        "assignments_overlap",
        """
        select earlier.conversation_id, earlier.id || ' and ' || later.id || ' are live at once'
        from assignments earlier
        join assignments later on later.conversation_id = earlier.conversation_id
            and (later.started_at, later.id) > (earlier.started_at, earlier.id)
        where earlier.ended_at is null or earlier.ended_at > later.started_at
        """,
    )


async def load_over_capacity_now(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S4",
        "load_over_capacity_now",
        """
        select id, load || ' units held, ' || greatest(capacity, load_limit) || ' allowed'
        from agents where load > greatest(capacity, load_limit) or load < 0
        """,
    )


async def load_is_not_what_is_held(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S4",
        "load_is_not_what_is_held",
        """
        with held as (
            select agent_id, units from offers where state = 'pending'
            union all
            select agent_id, units from assignments where ended_at is null
        )
        select agents.id, agents.load || ' units counted, ' || coalesce(sum(held.units), 0) || ' held'
        from agents left join held on held.agent_id = agents.id
        group by agents.id having agents.load <> coalesce(sum(held.units), 0)
        """,
    )


async def load_was_over_capacity(connection: LedgerConnection) -> list[Violation]:
    """Adds up what each agent held whenever something was added; a capacity that has been lowered since counts."""
    return await _found(
        connection,
        "S4",
        "load_was_over_capacity",
        """
        with held as (
            select agent_id, units, created_at as began, coalesce(ended_at, 'infinity') as ended from offers
            union all
            select agent_id, units, started_at, coalesce(ended_at, 'infinity') from assignments
        ), changes as (
            select agent_id, began as at, units from held where ended > began + %(slack)s
            union all
            select agent_id, ended - %(slack)s, -units from held where ended > began + %(slack)s
        ), loads as (
            -- What ends at an instant ends before what begins at it, and all that begins then counts together.
            select agent_id, at, sum(units) over (partition by agent_id order by at, units > 0) as units from changes
        ), allowed as (
            select agents.id, greatest(agents.capacity, agents.load_limit, max(presence_spans.capacity)) as units
            from agents left join presence_spans on presence_spans.agent_id = agents.id group by agents.id
        )
        select distinct loads.agent_id, loads.units || ' units at ' || loads.at || ', ' || allowed.units || ' allowed'
        from loads join allowed on allowed.id = loads.agent_id where loads.units > allowed.units
        """,
    )


async def offer_accepted_twice(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S5",
        "offer_accepted_twice",
        """
        select conversation_id, count(*) || ' accepts of ticket ' || ticket
        from offers where state = 'accepted' group by conversation_id, ticket having count(*) > 1
        """,
    )


async def accept_without_its_assignment(connection: LedgerConnection) -> list[Violation]:
    """An accept gives exactly one assignment, to the agent the offer was made to, and nothing else uses the offer."""
    return await _found(
        connection,
        "S5",
        "accept_without_its_assignment",
        """
        select offers.id, offers.state || ' with ' || count(assignments.id) || ' assignments'
        from offers
        left join assignments on assignments.offer_id = offers.id
        group by offers.id
        having count(assignments.id) <> case when offers.state = 'accepted' then 1 else 0 end
            or bool_or(assignments.agent_id <> offers.agent_id)
        """,
    )


async def episode_without_one_resolution(connection: LedgerConnection) -> list[Violation]:
    """Every episode before the present one is resolved, the present one when its conversation is.

    A conversation that began closed keeps a message that wants no answer: it has no episode.
    """
    return await _found(
        connection,
        "S6",
        "episode_without_one_resolution",
        """
        select conversations.id, 'episode ' || number || ' has ' || count(resolutions.episode) || ' resolution records'
        from conversations
        cross join lateral generate_series(1, conversations.episode) as number
        left join resolutions on resolutions.conversation_id = conversations.id and resolutions.episode = number
        where conversations.state <> 'merged' and not (conversations.state = 'closed' and conversations.step = 0)
        group by conversations.id, number
        having count(resolutions.episode) <> case
            when number < conversations.episode or conversations.state in ('wrap_up', 'resolved', 'closed') then 1
            else 0
        end
        """,
    )


async def resolved_by_somebody_else(connection: LedgerConnection) -> list[Violation]:
    """Who a resolution is credited to was the last to be given the conversation before it."""
    return await _found(
        connection,
        "S7",
        "resolved_by_somebody_else",
        """
        select resolutions.conversation_id,
            'episode ' || resolutions.episode || ' credited to ' || resolutions.agent_id || ', held by '
            || coalesce(holder.agent_id, 'nobody')
        from resolutions
        left join lateral (
            select agent_id from assignments
            where assignments.conversation_id = resolutions.conversation_id
                and assignments.started_at <= resolutions.resolved_at
            order by started_at desc, id desc limit 1
        ) holder on true
        where resolutions.agent_id is not null and holder.agent_id is distinct from resolutions.agent_id
        """,
    )


async def merged_without_survivor(connection: LedgerConnection) -> list[Violation]:
    """Follows every merge to its end, which must be a conversation that was not merged itself."""
    return await _found(
        connection,
        "S9",
        "merged_without_survivor",
        """
        with recursive path (start, at) as (
            select id, merged_into from conversations where merged_into is not null
            union
            select path.start, conversations.merged_into
            from path join conversations on conversations.id = path.at where conversations.merged_into is not null
        )
        select loser.id, 'state ' || loser.state || ', merged into ' || coalesce(loser.merged_into, 'nothing')
        from conversations loser
        where (loser.state = 'merged') <> (loser.merged_into is not null)
            or (loser.merged_into is not null and not exists (
                select from path join conversations survivor on survivor.id = path.at
                where path.start = loser.id and survivor.merged_into is null
            ))
        """,
    )


async def message_left_with_merged(connection: LedgerConnection) -> list[Violation]:
    """A merge moves every thread and message; what lies with the loser, or beside its thread, is lost to readers."""
    return await _found(
        connection,
        "S9",
        "message_left_with_merged",
        """
        select threads.id, 'thread of the merged ' || conversations.id
        from threads join conversations on conversations.id = threads.conversation_id
        where conversations.state = 'merged'
        union all
        select messages.id, 'message in ' || messages.conversation_id || ', its thread in ' || threads.conversation_id
        from messages join threads on threads.id = messages.thread_id
        where messages.conversation_id <> threads.conversation_id
        """,
    )


async def left_with_linked_customer(connection: LedgerConnection) -> list[Violation]:
    """A link moves all that is a customer's, and leads to somebody who was not linked away in a circle."""
    return await _found(
        connection,
        "S9",
        "left_with_linked_customer",
        """
        with recursive path (start, at) as (
            select id, merged_into from customers where merged_into is not null
            union
            select path.start, customers.merged_into
            from path join customers on customers.id = path.at where customers.merged_into is not null
        ), kept as (
            select id, customer_id from identities
            union all select id, customer_id from threads
            union all select id, customer_id from messages
            union all select id, customer_id from conversations where state <> 'merged'
        )
        select kept.id, 'belongs to ' || customers.id || ', who is ' || customers.merged_into
        from kept join customers on customers.id = kept.customer_id where customers.merged_into is not null
        union all
        select customers.id, 'was linked in a circle' from customers
        where merged_into is not null and not exists (
            select from path join customers last on last.id = path.at
            where path.start = customers.id and last.merged_into is null)
        """,
    )


async def two_open_conversations(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S11",
        "two_open_conversations",
        """
        select customer_id || '/' || merge_scope, string_agg(id, ', ' order by id)
        from conversations where state not in ('closed', 'merged')
        group by customer_id, merge_scope having count(*) > 1
        """,
    )


async def breach_told_more_than_once(connection: LedgerConnection) -> list[Violation]:
    return await _found(
        connection,
        "S12",
        "breach_told_more_than_once",
        """
        with told as (
            select conversation_id, data ->> 'metric' as metric, at, count(*) as times
            from events where kind = 'sla_breached' group by conversation_id, data ->> 'metric', at
        ), breached as (
            select conversation_id, metric, breached_at as at, count(*) as clocks
            from clocks where breached_at is not null group by conversation_id, metric, breached_at
        )
        select coalesce(told.conversation_id, breached.conversation_id),
            coalesce(clocks, 0) || ' breaches of ' || coalesce(told.metric, breached.metric) || ', '
            || coalesce(times, 0) || ' told'
        from told full join breached using (conversation_id, metric, at)
        where coalesce(times, 0) <> coalesce(clocks, 0)
        """,
    )


async def breach_early_or_after_the_stop(connection: LedgerConnection) -> list[Violation]:
    """Open time never runs faster than the clock on the wall; a target changed on the way says nothing any more."""
    return await _found(
        connection,
        "S12",
        "breach_early_or_after_the_stop",
        """
        select clocks.conversation_id,
            metric || ' breached at ' || breached_at || ', begun ' || started_at
            || coalesce(', ended ' || ended_at, '')
        from clocks
        where breached_at is not null and (
            breached_at > ended_at
            or (breached_at < started_at + make_interval(secs => target_seconds) and not exists (
                select from events
                where events.conversation_id = clocks.conversation_id and events.kind = 'terms_changed'
            ))
        )
        """,
    )


async def state_unlike_its_rows(connection: LedgerConnection) -> list[Violation]:
    """Within the ledger: the state a conversation shows, its ticket, its offer and its assignment tell one story."""
    return await _found(
        connection,
        "S14",
        "state_unlike_its_rows",
        """
        with story as (
            select conversations.id, conversations.state,
                exists (select from queue_tickets where conversation_id = conversations.id) as waits,
                exists (select from offers where conversation_id = conversations.id and state = 'pending') as offered,
                exists (select from assignments where conversation_id = conversations.id and ended_at is null) as held
            from conversations
        )
        select id, state || case when waits then ', ticket' else '' end || case when offered then ', offer' else '' end
            || case when held then ', assignment' else '' end
        from story
        where (state in ('resolved', 'closed', 'merged') and (waits or offered or held))
            or (state in ('assigned', 'on_hold', 'wrap_up') and not held)
        """,
    )


async def kpis_unlike_their_log(connection: LedgerConnection) -> list[Violation]:
    """What a table says and the log of events does not, nobody could explain.

    A step's rows and its lines are one transaction, so a snapshot of a busy ledger shows both or neither. The whole log
    is read: about a second for 20,000 lines, too long for what is asked often.
    """
    row = await (await connection.execute("select now()")).fetchone()
    if row is None:
        raise RuntimeError("the database has no clock")
    tables = await read_kpi_records(connection, _EVER, row[0])
    log = await read_kpi_records_from_log(connection, _EVER, row[0])
    return [Violation("S13", "kpis_unlike_their_log", *found) for found in differences(tables, log)]


CHECKERS: Final[tuple[Checker, ...]] = (
    message_stored_more_than_once,
    message_received_not_exactly_once,
    assignments_overlap,
    load_over_capacity_now,
    load_is_not_what_is_held,
    load_was_over_capacity,
    offer_accepted_twice,
    accept_without_its_assignment,
    episode_without_one_resolution,
    resolved_by_somebody_else,
    merged_without_survivor,
    message_left_with_merged,
    left_with_linked_customer,
    two_open_conversations,
    breach_told_more_than_once,
    breach_early_or_after_the_stop,
    state_unlike_its_rows,
    kpis_unlike_their_log,
)


async def _found(connection: LedgerConnection, invariant: str, checker: str, query: LiteralString) -> list[Violation]:
    cursor = await connection.execute(query, {"slack": CLOCK_SLACK})
    return [Violation(invariant, checker, str(subject), str(detail)) for subject, detail in await cursor.fetchall()]
