"""What an agent wants to know of a customer before they write a word: one statement, one round trip.

Every part is bounded to what a person can take in; `storage.records.customer_history` goes on from there. Messages,
events and resolutions are read by customer and time, so a long history costs what is shown of it, not what it holds:
only the two counts of messages walk an index.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, TypedDict

from pydantic import JsonValue

from domain.customers.patterns import IntentHistory, IntentPattern, pattern
from domain.customers.preferences import (
    ChannelUse,
    LearnedChannel,
    LearnedHours,
    learned_channels,
    learned_hours,
)
from storage.database import LedgerConnection
from storage.ledger.short_ways import alone
from storage.records.sight import Viewer

CONVERSATIONS_SHOWN: Final = 50
MESSAGES_SHOWN: Final = 100
EVENTS_SHOWN: Final = 20
PRODUCTS_SHOWN: Final = 20
SUGGESTIONS_SHOWN: Final = 10
PATTERNS_SHOWN: Final = 20
TEXT_SHOWN: Final = 2000
"""Characters of one message; `text_cut` says that there are more, and the timeline has them all."""
LEARNED_FROM: Final = 500
"""The latest messages that preferences are learned from: what somebody did years ago is no preference today."""
RESOLUTIONS_READ: Final = 200
EVENTS_READ: Final = 500

MESSAGE_COLUMNS: Final = """
m.id, m.conversation_id, case when m.direction = 'internal' then 'note' else 'message' end as kind, m.at, m.channel,
m.direction, json_build_object('kind', m.author_kind, 'id', m.author_id) as author, m.subject,
left(m.text, %(text)s) as text, length(m.text) > %(text)s as text_cut, m.delivery, m.kind = 'blocked' as blocked
"""
CONVERSATION_COLUMNS: Final = """
c.id, c.state, c.episode, c.subject, c.intent, c.channels, c.owner_id, c.opened_at, c.resolved_at, c.end_reason,
c.merged_into
"""
EVENT_COLUMNS: Final = """
e.id, e.source, e.external_id, e.kind, e.product, e.at, e.amount::float8 as amount, e.currency, e.quantity
"""
SEEN: Final = """
select c.id, c.customer_id from conversations c
where c.id = %(conversation)s and (
    %(everything)s or c.pool = %(pool)s or c.agent_id = %(agent)s or c.owner_id = %(agent)s
    or exists (select from offers o where o.conversation_id = c.id and o.agent_id = %(agent)s and o.state = 'pending'))
"""
"""The conversation, if these eyes may see it: `storage.records.sight.seen_by` in SQL of its own."""

CONTEXT: Final = f"""
with seen as materialized ({SEEN}), customer as materialized (
    select u.* from customers u where u.id = (select customer_id from seen)
), every as materialized (
    select c.id, c.state, c.language, c.opened_at from conversations c
    where c.customer_id = (select customer_id from seen)
), exchanged as materialized (
    select count(*) filter (where m.direction = 'inbound') as inbound,
           count(*) filter (where m.direction = 'outbound') as outbound
    from messages m
    where m.customer_id = (select customer_id from seen) and m.delivery not in ('draft', 'withdrawn')
), settled as materialized (
    select count(*) as resolutions,
           avg(extract(epoch from r.resolved_at - r.opened_at)) filter (where r.episode = 1)::float8 as mean
    from resolutions r where r.customer_id = (select customer_id from seen)
), shown as materialized (
    select {CONVERSATION_COLUMNS} from conversations c where c.customer_id = (select customer_id from seen)
    order by c.opened_at desc, c.id desc limit %(conversations)s
), said as materialized (
    select {MESSAGE_COLUMNS} from messages m
    where m.customer_id = (select customer_id from seen) and m.delivery not in ('draft', 'withdrawn')
    order by m.at desc, m.id desc limit %(messages)s
), recent as materialized (
    select direction, channel, kind, at,
           lag(direction) over (partition by thread_id order by at, id) as before
    from (
        select m.id, m.direction, m.channel, m.kind, m.at, m.thread_id from messages m
        where m.customer_id = (select customer_id from seen) and m.delivery not in ('draft', 'withdrawn')
        order by m.at desc, m.id desc limit %(learned)s
    ) latest
    where direction <> 'internal'
), resolved as materialized (
    select r.conversation_id, r.episode, r.intent, coalesce(r.channels ->> -1, r.first_channel) as channel, r.agent_id,
           extract(epoch from r.resolved_at - r.opened_at)::float8 as resolution, r.touches, r.transfers, r.inbound,
           (select sum(extract(epoch from coalesce(a.ended_at, r.resolved_at) - a.started_at))::float8
            from assignments a where a.conversation_id = r.conversation_id and a.episode = r.episode) as handle
    from resolutions r where r.customer_id = (select customer_id from seen)
    order by r.resolved_at desc limit %(resolutions)s
), told as materialized (
    select {EVENT_COLUMNS} from customer_events e where e.customer_id = (select customer_id from seen)
    order by e.at desc, e.id desc limit %(events_read)s
)
select json_build_object(
    'customer', (select to_json(customer) from customer),
    'identities', (
        select coalesce(json_agg(json_build_object('id', i.id, 'kind', i.kind, 'address', i.address, 'verified',
                   i.verified, 'blocked', b.id is not null) order by i.created_at, i.id), '[]')
        from identities i left join blocked_addresses b on b.kind = i.kind and b.address = i.address
        where i.customer_id = (select customer_id from seen)),
    'conversations', (select coalesce(json_agg(shown order by opened_at desc, id desc), '[]') from shown),
    'messages', (select coalesce(json_agg(said order by at, id), '[]') from said),
    'uses', (
        select coalesce(json_agg(used), '[]') from (
            select channel, count(*) filter (where direction = 'inbound') as written,
                   count(*) filter (where direction = 'inbound' and before = 'outbound') as answers,
                   count(*) filter (where direction = 'outbound') as sent
            from recent where direction = 'outbound' or kind in ('message', 'closing_thanks') group by channel
        ) used),
    'hours', (
        select coalesce(json_object_agg(hour, written), '{{}}') from (
            select extract(hour from at at time zone coalesce((select time_zone from customer), 'UTC'))::int as hour,
                   count(*) as written
            from recent where direction = 'inbound' and kind in ('message', 'closing_thanks') group by 1
        ) by_hour),
    'spoken', (
        select coalesce(json_agg(spoken), '[]') from (
            select language, count(*) as conversations from every
            where language is not null and state <> 'merged' group by language order by 2 desc, 1 limit 5
        ) spoken),
    'patterns', (
        select coalesce(json_agg(grouped), '[]') from (
            select r.intent, r.channel, r.agent_id, count(*) as episodes, count(*) filter (where episode = 1) as firsts,
                   coalesce(sum(resolution) filter (where episode = 1), 0) as resolution,
                   coalesce(sum(handle), 0) as handle, sum(touches) as touches, sum(transfers) as transfers,
                   sum(inbound) as inbound
            from resolved r group by r.intent, r.channel, r.agent_id
        ) grouped),
    'agents', (
        select coalesce(json_object_agg(a.id, a.display_name), '{{}}') from agents a
        where a.id in (select agent_id from resolved)),
    'products', (
        select coalesce(json_agg(used), '[]') from (
            select product,
                   coalesce(sum(quantity) filter (where kind = 'purchase'), 0) as purchased,
                   coalesce(sum(quantity) filter (where kind = 'product_use'), 0) as uses,
                   (array_agg(kind order by at desc) filter (where kind like 'subscription%%'))[1] as subscription,
                   min(at) as first_at, max(at) as last_at
            from told group by product order by max(at) desc, product limit %(products)s
        ) used),
    'events', (
        select coalesce(json_agg(told order by at desc, id desc), '[]')
        from (select * from told limit %(events)s) told),
    'suggestions', (
        select coalesce(json_agg(suggested), '[]') from (
            select s.id, o.id as customer_id, o.display_name, s.score, s.evidence, s.found_at
            from identity_suggestions s
            join customers o on o.id in (s.customer_id, s.other_id) and o.id <> (select customer_id from seen)
            where s.state = 'open' and s.customer_id = (select customer_id from seen)
            union all
            select s.id, o.id, o.display_name, s.score, s.evidence, s.found_at
            from identity_suggestions s join customers o on o.id = s.customer_id
            where s.state = 'open' and s.other_id = (select customer_id from seen)
            order by score desc, id limit %(suggestions)s
        ) suggested),
    'statistics', json_build_object(
        'conversations', (select count(*) from every where state <> 'merged'),
        'open_conversations', (select count(*) from every where state not in ('resolved', 'closed', 'merged')),
        'first_contact_at', (select min(opened_at) from every),
        'inbound_messages', (select inbound from exchanged),
        'outbound_messages', (select outbound from exchanged),
        'resolutions', (select resolutions from settled),
        'mean_resolution_seconds', (select mean from settled),
        'breaches', (select count(*) from clocks k
                     where k.conversation_id = any(array(select id from every)) and k.breached_at is not null))
) from seen
"""  # noqa: S608 -- put together of constants

Row = dict[str, JsonValue]


class Grouped(TypedDict):
    """The resolved episodes of one intent that ended on one channel with one agent."""

    intent: str | None
    channel: str
    agent_id: str | None
    episodes: int
    firsts: int
    resolution: float
    handle: float
    touches: int
    transfers: int
    inbound: int


class Found(TypedDict):
    """What the statement answers with, part by part; instants are RFC 3339 text."""

    customer: Row
    identities: list[Row]
    conversations: list[Row]
    messages: list[Row]
    uses: list[dict[str, int | str]]
    hours: dict[str, int]
    spoken: list[Row]
    patterns: list[Grouped]
    agents: dict[str, str]
    products: list[Row]
    events: list[Row]
    suggestions: list[Row]
    statistics: Row


def asked(conversation_id: str, viewer: Viewer | None) -> dict[str, str | int | bool | None]:
    """The parameters of `CONTEXT`; one row more than is shown tells that there are more."""
    return {
        **sight(conversation_id, viewer),
        "conversations": CONVERSATIONS_SHOWN + 1,
        "messages": MESSAGES_SHOWN + 1,
        "events": EVENTS_SHOWN + 1,
        "events_read": EVENTS_READ,
        "products": PRODUCTS_SHOWN,
        "suggestions": SUGGESTIONS_SHOWN,
        "learned": LEARNED_FROM,
        "resolutions": RESOLUTIONS_READ,
        "text": TEXT_SHOWN,
    }


def sight(conversation_id: str, viewer: Viewer | None) -> dict[str, str | int | bool | None]:
    """The parameters of `SEEN`."""
    return {
        "conversation": conversation_id,
        "everything": viewer is None,
        "pool": viewer.pool if viewer else None,
        "agent": viewer.agent_id if viewer else None,
    }


async def find_context(connection: LedgerConnection, conversation_id: str, viewer: Viewer | None) -> Found | None:
    """Everything about a conversation's customer; None when there is no such conversation for these eyes.

    The connection is outside of a transaction.
    """
    async with alone(connection):
        cursor = await connection.execute(CONTEXT.encode(), asked(conversation_id, viewer))
        row = await cursor.fetchone()
    if row is None:
        return None
    found: Found = row[0]
    return found


def channels_of(found: Found) -> tuple[LearnedChannel, ...]:
    return learned_channels(
        [
            ChannelUse(str(use["channel"]), int(use["written"]), int(use["answers"]), int(use["sent"]))
            for use in found["uses"]
        ]
    )


def hours_of(found: Found) -> tuple[LearnedHours, ...]:
    return learned_hours({int(hour): count for hour, count in found["hours"].items()})


def patterns_of(found: Found) -> tuple[IntentPattern, ...]:
    """By intent, the most frequent first."""
    by_intent: dict[str | None, list[Grouped]] = {}
    for group in found["patterns"]:
        by_intent.setdefault(group["intent"], []).append(group)
    patterns = [pattern(_history(intent, groups)) for intent, groups in by_intent.items()]
    patterns.sort(key=lambda one: (-one.episodes, one.intent or ""))
    return tuple(patterns[:PATTERNS_SHOWN])


def _history(intent: str | None, groups: Sequence[Grouped]) -> IntentHistory:
    episodes = sum(group["episodes"] for group in groups)
    firsts = sum(group["firsts"] for group in groups)
    return IntentHistory(
        intent=intent,
        episodes=episodes,
        conversations=firsts,
        reopened=episodes - firsts,
        resolution=timedelta(seconds=sum(group["resolution"] for group in groups)),
        handle=timedelta(seconds=sum(group["handle"] for group in groups)),
        touches=sum(group["touches"] for group in groups),
        transfers=sum(group["transfers"] for group in groups),
        inbound=sum(group["inbound"] for group in groups),
        channels=_most_frequent((group["channel"], group["episodes"]) for group in groups),
        agents=_most_frequent(
            (group["agent_id"], group["episodes"]) for group in groups if group["agent_id"] is not None
        ),
    )


def _most_frequent(counted: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    totals: dict[str, int] = {}
    for name, count in counted:
        totals[name] = totals.get(name, 0) + count
    return tuple(sorted(totals.items(), key=lambda total: (-total[1], total[0])))
