"""What the KPIs of a range are computed from, read from one snapshot of the ledger.

The rows become the records of `domain.kpis`, whose functions define every KPI: SQL computes nothing a second time.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from domain.channels import Channel
from domain.kpis.compute import KpiReport, Kpis, compute_kpis
from domain.kpis.figures import Ratio
from domain.kpis.records import EndedClock, EpisodeRecord, HandledSpan, Opening, PresenceSpan, TimeRange
from domain.kpis.scope import RETURN_WINDOW, Dimension, GroupKey
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from storage.database import Database, LedgerConnection

# An episode after the first begins when its customer or an agent takes the matter up again, which is when it queues
# again; `opened_at` is when its conversation did. Assigned time is cut from the assignments by instants, because an
# agent who goes on out of wrap-up keeps one assignment through two episodes. Holds count as assigned time.
_EPISODES: Final = """
with journeys as (
    select distinct r.conversation_id
    from resolutions r join conversations c on c.id = r.conversation_id
    where r.resolved_at >= %(start)s and r.resolved_at < %(end)s and c.state <> 'merged'
      and r.end_reason not in ('spam', 'bounce_storm')
), family as (
    select j.conversation_id as survivor, j.conversation_id as member from journeys j
    union all
    select j.conversation_id, c.id from journeys j join conversations c on c.merged_into = j.conversation_id
), stretches as (
    select r.*,
           case when r.episode = 1 then r.opened_at else coalesce(r.queued_at, r.opened_at) end as began_at,
           lag(r.resolved_at) over journey as ended_before,
           coalesce(lead(coalesce(r.queued_at, r.opened_at)) over journey, (
               select min(e.at) from events e
               where e.conversation_id = r.conversation_id and e.kind = 'reopened' and e.episode = r.episode + 1
           )) as followed_at
    from journeys j join resolutions r using (conversation_id) join conversations c on c.id = r.conversation_id
    window journey as (partition by r.conversation_id order by r.episode)
)
select s.conversation_id, s.episode, s.customer_id, s.intent, s.segment, s.pool, s.agent_id, s.first_channel,
       array(select jsonb_array_elements_text(s.channels)) as channels, s.began_at,
       coalesce(inbound.first_at, s.began_at) as first_inbound_at, s.resolved_at, s.business_seconds,
       s.queued_at, s.accepted_at, s.first_response_at, s.end_reason = 'abandoned' as abandoned,
       coalesce(held.assigned, interval '0') as assigned, coalesce(held.wrap_up, interval '0') as wrap_up,
       s.offers, s.declines, s.timeouts, s.reroutes, s.transfers, s.misroutes, s.touches, s.touches_with_history,
       (select count(*) - 1 from family f where f.survivor = s.conversation_id) as merged,
       asked.id is not null as effort_asked, asked.score as effort_answer,
       suggested.offered as suggestions_offered, suggested.accepted as suggestions_accepted,
       suggested.resolved_there as suggestions_resolved_there
from stretches s
left join surveys asked on asked.conversation_id = s.conversation_id and asked.episode = s.episode
left join lateral (
    select count(*) as offered, count(*) filter (where g.state = 'accepted') as accepted,
           count(*) filter (where g.resolved_there) as resolved_there
    from suggestions g where g.conversation_id = s.conversation_id and g.episode = s.episode
) as suggested on true
left join lateral (
    select min(m.at) as first_at
    from family f join messages m on m.conversation_id = f.member
    where f.survivor = s.conversation_id and m.direction = 'inbound' and m.at <= s.resolved_at
      and m.at > coalesce(s.ended_before, '-infinity')
) as inbound on true
left join lateral (
    select sum(greatest(least(coalesce(a.ended_at, s.resolved_at), s.resolved_at)
                        - greatest(a.started_at, s.began_at), interval '0')) as assigned,
           sum(greatest(least(coalesce(a.ended_at, s.resolved_at), coalesce(s.followed_at, 'infinity'))
                        - greatest(a.started_at, s.resolved_at), interval '0')) as wrap_up
    from assignments a where a.conversation_id = s.conversation_id
) as held on true
where s.resolved_at < %(end)s and s.end_reason not in ('spam', 'bounce_storm')
order by s.conversation_id, s.episode
"""
_CLOCKS: Final = """
select c.conversation_id, c.episode, c.metric, c.state, c.started_at, c.ended_at, c.business_seconds
from clocks c join resolutions r using (conversation_id, episode)
where r.resolved_at >= %(start)s and r.resolved_at < %(end)s and c.state in ('met', 'breached', 'cancelled')
  and r.end_reason not in ('spam', 'bounce_storm')
order by c.conversation_id, c.episode, c.metric, c.number
"""
# What began closed keeps a message that wants no answer: nobody came back with it.
_OPENINGS: Final = """
with customers_of_range as (
    select distinct customer_id from resolutions where resolved_at >= %(start)s and resolved_at < %(end)s
)
select coalesce(c.merged_into, c.id) as conversation_id, r.episode, r.customer_id, r.intent,
       case when r.episode = 1 then r.opened_at else coalesce(r.queued_at, r.opened_at) end as opened_at
from customers_of_range join resolutions r using (customer_id) join conversations c on c.id = r.conversation_id
where r.end_reason not in ('spam', 'bounce_storm')
union all
select coalesce(c.merged_into, c.id), c.episode, c.customer_id, c.intent,
       case when c.episode = 1 then c.opened_at else coalesce((
           select min(e.at) from events e
           where e.conversation_id = c.id and e.kind = 'reopened' and e.episode = c.episode
       ), c.opened_at) end
from customers_of_range join conversations c using (customer_id)
where not exists (select from resolutions r where r.conversation_id = c.id and r.episode = c.episode)
  and not (c.state = 'closed' and c.step = 0)
"""
# Present is who can be given work: those who are away, or did not respond to an offer, are not.
PRESENCE: Final = """
select p.agent_id, a.pool, p.capacity, p.started_at,
       coalesce(p.ended_at, greatest(p.started_at, %(now)s)) as ended_at
from presence_spans p join agents a on a.id = p.agent_id
where p.presence in ('online', 'transfers_only') and p.started_at < %(end)s
  and (p.ended_at is null or p.ended_at > %(start)s)
order by p.agent_id, p.started_at
"""
# The match is what the routing decision foresaw: the chance that this agent resolves this case. The score is none: it
# also weighs urgency and costs. What was claimed or reassigned was foreseen by nobody.
_HANDLED: Final = """
select s.agent_id, g.pool, s.units, foreseen.match, s.started_at,
       coalesce(s.ended_at, greatest(s.started_at, %(now)s)) as ended_at
from assignments s join agents g on g.id = s.agent_id
left join lateral (
    select (d.record -> 'success' ->> 'value')::float8 as match
    from routing_decisions d
    where d.conversation_id = s.conversation_id and d.offer_id = s.offer_id
      and jsonb_typeof(d.record -> 'success' -> 'value') = 'number'
      and (d.record -> 'success' ->> 'value')::float8 between 0 and 1
    limit 1
) as foreseen on true
where s.started_at < %(end)s and (s.ended_at is null or s.ended_at > %(start)s)
order by s.agent_id, s.started_at
"""


@dataclass(frozen=True, slots=True)
class KpiRecords:
    """All that may matter to a range; `unforeseen` are the handled spans that have no expertise match."""

    episodes: tuple[EpisodeRecord, ...]
    openings: tuple[Opening, ...]
    presence: tuple[PresenceSpan, ...]
    handled: tuple[HandledSpan, ...]
    unforeseen: tuple[HandledSpan, ...]


@dataclass(frozen=True, slots=True)
class _EpisodeRow:
    conversation_id: str
    episode: int
    customer_id: str
    intent: str | None
    segment: str
    pool: str
    agent_id: str | None
    first_channel: str
    channels: list[str]
    began_at: datetime
    first_inbound_at: datetime
    resolved_at: datetime
    business_seconds: float
    queued_at: datetime | None
    accepted_at: datetime | None
    first_response_at: datetime | None
    abandoned: bool
    assigned: timedelta
    wrap_up: timedelta
    offers: int
    declines: int
    timeouts: int
    reroutes: int
    transfers: int
    misroutes: int
    touches: int
    touches_with_history: int
    merged: int
    effort_asked: bool
    effort_answer: int | None
    suggestions_offered: int
    suggestions_accepted: int
    suggestions_resolved_there: int


@dataclass(frozen=True, slots=True)
class _ClockEnd:
    conversation_id: str
    episode: int
    metric: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    business_seconds: float


@dataclass(frozen=True, slots=True)
class _HandledRow:
    agent_id: str
    pool: str
    units: int
    match: float | None
    started_at: datetime
    ended_at: datetime


async def kpi_records(database: Database, range_: TimeRange, now: datetime) -> KpiRecords:
    """Read what the KPIs of a range need; what has not ended yet counts until `now`."""
    async with database.ledger.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read read only")
        return await read_kpi_records(connection, range_, now)


async def read_kpi_records(connection: LedgerConnection, range_: TimeRange, now: datetime) -> KpiRecords:
    """The same within the snapshot of the caller's transaction."""
    asked = {"start": range_.start, "end": range_.end, "now": now}
    episodes = await _episodes(connection, asked)
    async with connection.cursor(row_factory=class_row(Opening)) as cursor:
        openings = await (await cursor.execute(_OPENINGS, asked)).fetchall()
    async with connection.cursor(row_factory=class_row(PresenceSpan)) as cursor:
        presence = await (await cursor.execute(PRESENCE, asked)).fetchall()
    async with connection.cursor(row_factory=class_row(_HandledRow)) as cursor:
        held = await (await cursor.execute(_HANDLED, asked)).fetchall()
    last_return = range_.end + RETURN_WINDOW
    return KpiRecords(
        episodes=episodes,
        openings=tuple(opening for opening in openings if opening.opened_at <= last_return),
        presence=tuple(presence),
        handled=tuple(_span(row, row.match) for row in held if row.match is not None),
        unforeseen=tuple(_span(row, 0.0) for row in held if row.match is None),
    )


def kpi_report(range_: TimeRange, records: KpiRecords, group_by: tuple[Dimension, ...] = ()) -> KpiReport:
    """Every KPI of a range; time that has no expertise match counts in the occupancy, not in the mean match."""
    report = compute_kpis(
        range_,
        records.episodes,
        records.openings,
        records.presence,
        (*records.handled, *records.unforeseen),
        group_by,
    )
    if not records.unforeseen:
        return report
    foreseen = compute_kpis(range_, (), (), records.presence, records.handled, group_by)
    matches: dict[GroupKey, Ratio] = {group.key: group.kpis.mean_expertise_match for group in foreseen.groups}
    unknown = Ratio(None, 0, 0)
    return replace(
        report,
        overall=_matched(report.overall, foreseen.overall.mean_expertise_match),
        groups=tuple(
            replace(group, kpis=_matched(group.kpis, matches.get(group.key, unknown))) for group in report.groups
        ),
    )


def _matched(kpis: Kpis, match: Ratio) -> Kpis:
    """The utilisation as its two factors make it, the match over what has one."""
    occupancy = kpis.occupancy
    handled = 0.0 if match.value is None else occupancy.numerator * match.value
    known = occupancy.value is not None and match.value is not None
    return replace(
        kpis,
        mean_expertise_match=match,
        agent_utilization_efficiency=Ratio(
            handled / occupancy.denominator if known else None, handled, occupancy.denominator
        ),
    )


async def _episodes(connection: LedgerConnection, asked: dict[str, datetime]) -> tuple[EpisodeRecord, ...]:
    clocks: defaultdict[tuple[str, int], list[EndedClock]] = defaultdict(list)
    async with connection.cursor(row_factory=class_row(_ClockEnd)) as cursor:
        for row in await (await cursor.execute(_CLOCKS, asked)).fetchall():
            clocks[row.conversation_id, row.episode].append(
                EndedClock(
                    Metric(row.metric),
                    ClockState(row.state),
                    row.started_at,
                    row.ended_at,
                    timedelta(seconds=row.business_seconds),
                )
            )
    async with connection.cursor(row_factory=class_row(_EpisodeRow)) as cursor:
        rows = await (await cursor.execute(_EPISODES, asked)).fetchall()
    return tuple(_episode(row, clocks.get((row.conversation_id, row.episode), ())) for row in rows)


def _episode(row: _EpisodeRow, clocks: Sequence[EndedClock]) -> EpisodeRecord:
    return EpisodeRecord(
        conversation_id=row.conversation_id,
        episode=row.episode,
        customer_id=row.customer_id,
        intent=row.intent,
        segment=row.segment,
        pool=row.pool,
        agent_id=row.agent_id,
        channels=tuple(Channel(channel) for channel in row.channels),
        first_channel=Channel(row.first_channel),
        opened_at=row.began_at,
        first_inbound_at=row.first_inbound_at,
        resolved_at=row.resolved_at,
        business_time=timedelta(seconds=row.business_seconds),
        queued_at=row.queued_at,
        accepted_at=row.accepted_at,
        first_response_at=row.first_response_at,
        abandoned=row.abandoned,
        handle_time=row.assigned,
        wrap_up_time=row.wrap_up,
        offers=row.offers,
        declines=row.declines,
        timeouts=row.timeouts,
        reroutes=row.reroutes,
        transfers=row.transfers,
        misroutes=row.misroutes,
        touches=row.touches,
        touches_with_full_history=row.touches_with_history,
        merged=row.merged,
        effort_asked=row.effort_asked,
        effort_answer=row.effort_answer,
        suggestions_offered=row.suggestions_offered,
        suggestions_accepted=row.suggestions_accepted,
        suggestions_resolved_there=row.suggestions_resolved_there,
        clocks=tuple(clocks),
    )


def _span(row: _HandledRow, match: float) -> HandledSpan:
    return HandledSpan(row.agent_id, row.pool, row.units, match, row.started_at, row.ended_at)
