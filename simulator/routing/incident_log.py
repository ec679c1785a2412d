"""An incident log, event by event: who resolved what, and a trace of its incidents to be simulated."""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from domain.routing.success import Resolution
from simulator.routing.trace import Presence, Trace, TraceAgent, TraceCase

CHANNEL = "email"
UNITS = 100
_UNKNOWN = "?"
_CATEGORY, _SUBCATEGORY = 16, 17  # the header gives both the same name
_TARGETS = {1: timedelta(hours=1), 2: timedelta(hours=4), 3: timedelta(hours=8), 4: timedelta(hours=24)}
_VALUES = {1: 3.0, 2: 2.0, 3: 1.0, 4: 0.5}
_SHIFT = (timedelta(hours=8), timedelta(hours=18))
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class LoggedIncident:
    """One incident: the agents it was assigned to in their order, its first known group, and whether it reopened."""

    incident_id: str
    opened_at: datetime
    category: str
    subcategory: str
    priority: int
    group: str
    assigned: tuple[str, ...]
    reopened: bool


def read_incidents(path: Path) -> tuple[LoggedIncident, ...]:
    """The incidents of a log, a table as it is or the first one in a zip, in the order of their opening."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".csv"))
            text = archive.read(name).decode("utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    rows = csv.reader(io.StringIO(text))
    header = next(rows)
    column = {name: header.index(name) for name in header}
    by_incident: dict[str, list[list[str]]] = {}
    for row in rows:
        by_incident.setdefault(row[column["number"]], []).append(row)
    incidents = (_incident(some, column) for some in by_incident.values())
    return tuple(sorted(incidents, key=lambda incident: (incident.opened_at, incident.incident_id)))


def _incident(rows: Sequence[Sequence[str]], column: dict[str, int]) -> LoggedIncident:
    last = rows[-1]
    assignees = dict.fromkeys(row[column["assigned_to"]] for row in rows)
    in_order = [row[column["assigned_to"]] for row in rows if row[column["assigned_to"]] != _UNKNOWN]
    groups = [row[column["assignment_group"]] for row in rows if row[column["assignment_group"]] != _UNKNOWN]
    assigned = [name for name in assignees if name != _UNKNOWN]
    if in_order:
        # Who held it last stands last, also when they held it before.
        assigned = [name for name in assigned if name != in_order[-1]] + [in_order[-1]]
    return LoggedIncident(
        incident_id=last[column["number"]],
        opened_at=datetime.strptime(last[column["opened_at"]], "%d/%m/%Y %H:%M").replace(tzinfo=UTC),
        category=last[_CATEGORY],
        subcategory=last[_SUBCATEGORY],
        priority=int(last[column["priority"]]),
        group=groups[0] if groups else _UNKNOWN,
        assigned=tuple(assigned),
        reopened=int(last[column["reopen_count"]]) > 0,
    )


def resolutions(incidents: Iterable[LoggedIncident]) -> Iterator[Resolution]:
    """Each assignment: resolved when that agent held the incident last and it was not reopened."""
    for incident in incidents:
        for place, agent in enumerate(incident.assigned, start=1):
            yield Resolution(
                agent_id=agent,
                intent=incident.category,
                product=incident.subcategory,
                segment=str(incident.priority),
                channel=CHANNEL,
                resolved=place == len(incident.assigned) and not incident.reopened,
                at=incident.opened_at,
            )


def incident_trace(
    incidents: Sequence[LoggedIncident],
    history: Sequence[LoggedIncident],
    *,
    seed: int,
    occupancy: float = 0.85,
    least_cases: int = 20,
) -> Trace:
    """A trace of `incidents` for the agents known from `history`.

    Real are the arrivals, kinds, priorities, groups, and who worked on which days. The log has no handle times:
    they are drawn (log-normal, coefficient of variation 1), one after the other per agent, with a mean that makes
    the staff there busy for the share `occupancy`.
    """
    pools = _pools(history, least_cases)
    days = _days(incidents, pools)
    agents = tuple(
        TraceAgent(
            name,
            tuple(Presence(day + _SHIFT[0], day + _SHIFT[1]) for day in sorted(days[name])),
            UNITS,
            frozenset({CHANNEL}),
            pools=pools[name],
        )
        for name in sorted(days)
    )
    reachable = {pool for agent in agents for pool in agent.pools}
    kept = [one for one in incidents if one.group in reachable]
    present = sum(len(agent.presences) for agent in agents) * (_SHIFT[1] - _SHIFT[0])
    mean = present * occupancy / max(len(kept), 1)
    rng = np.random.default_rng(seed)
    spread = float(np.sqrt(np.log(2.0)))
    factor = rng.lognormal(-(spread**2) / 2, spread, len(kept))
    cases = tuple(
        TraceCase(
            case_id=one.incident_id,
            arrives_at=one.opened_at,
            work=mean * float(factor[at]),
            expected_work=mean,
            target=_TARGETS[one.priority],
            channel=CHANNEL,
            units=UNITS,
            pool=one.group,
            intent=one.category,
            product=one.subcategory,
            segment=str(one.priority),
            priority=one.priority,
            value=_VALUES[one.priority],
        )
        for at, one in enumerate(kept)
    )
    return Trace(f"incidents-{seed}", cases, agents)


def _pools(history: Sequence[LoggedIncident], least_cases: int) -> dict[str, tuple[str, ...]]:
    """The groups of each agent who had enough incidents, the most frequent first."""
    held: dict[str, Counter[str]] = {}
    for one in history:
        if one.assigned and one.group != _UNKNOWN:
            held.setdefault(one.assigned[-1], Counter())[one.group] += 1
    return {
        name: tuple(group for group, count in groups.most_common() if count >= least_cases / 2)
        for name, groups in held.items()
        if max(groups.values()) >= least_cases
    }


def _days(incidents: Sequence[LoggedIncident], pools: dict[str, tuple[str, ...]]) -> dict[str, set[datetime]]:
    """The weekdays on which each known agent got an incident."""
    days: dict[str, set[datetime]] = {}
    for one in incidents:
        for name in one.assigned:
            if name in pools and one.opened_at.weekday() < _SATURDAY:
                midnight = one.opened_at.replace(hour=0, minute=0)
                days.setdefault(name, set()).add(midnight)
    return days
