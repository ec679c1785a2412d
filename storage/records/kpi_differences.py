"""Where the records that the KPIs of the tables are computed from are not those that the log of events gives."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

from domain.kpis.records import EpisodeRecord, HandledSpan, Opening, PresenceSpan
from domain.sla.clock import ClockState
from storage.records.kpis import KpiRecords


def differences(tables: KpiRecords, log: KpiRecords) -> Iterator[tuple[str, str]]:
    """Each difference as the id of what it is about and what the tables and the log say of it."""
    yield from _episodes(tables.episodes, log.episodes)
    yield from _openings(tables.openings, log.openings)
    yield from _spans((*tables.handled, *tables.unforeseen), (*log.handled, *log.unforeseen))
    yield from _spans(tables.presence, log.presence)


def _episodes(tables: Iterable[EpisodeRecord], log: Iterable[EpisodeRecord]) -> Iterator[tuple[str, str]]:
    told = {(one.conversation_id, one.episode): _with_verdicts(one) for one in log}
    for one in tables:
        other = told.pop((one.conversation_id, one.episode), None)
        if other is None:
            yield one.conversation_id, f"the log tells of no end of episode {one.episode}"
            continue
        for field in fields(EpisodeRecord):
            kept, folded = getattr(_with_verdicts(one), field.name), getattr(other, field.name)
            if kept != folded:
                yield one.conversation_id, f"episode {one.episode}: {field.name} {kept}, by the log {folded}"
    for conversation_id, episode in told:
        yield conversation_id, f"episode {episode} has ended by the log alone"


def _with_verdicts(one: EpisodeRecord) -> EpisodeRecord:
    """A clock that was given up came to no verdict and counts in nothing: the log does not tell of it."""
    return replace(one, clocks=tuple(clock for clock in one.clocks if clock.state is not ClockState.CANCELLED))


def _openings(tables: Iterable[Opening], log: Iterable[Opening]) -> Iterator[tuple[str, str]]:
    """The tables are read for customers with whom something has ended; nobody else can come back."""
    kept = Counter(tables)
    customers = {one.customer_id for one in kept}
    told = Counter(one for one in log if one.customer_id in customers)
    for one in kept - told:
        yield one.conversation_id, f"the log tells of no {one}"
    for one in told - kept:
        yield one.conversation_id, f"the log alone tells of {one}"


def _spans(
    tables: Iterable[HandledSpan | PresenceSpan], log: Iterable[HandledSpan | PresenceSpan]
) -> Iterator[tuple[str, str]]:
    """The tables know an agent's present pool, the log the one of that time: it is not compared."""
    kept, told = (Counter(replace(one, pool="") for one in spans) for spans in (tables, log))
    for one in kept - told:
        yield one.agent_id, f"the log tells of no {one}"
    for one in told - kept:
        yield one.agent_id, f"the log alone tells of {one}"
