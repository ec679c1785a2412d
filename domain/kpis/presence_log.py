"""When agents were present, and with which capacity, folded from the log of what happened."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.kpis.records import PresenceSpan

PRESENT = frozenset({"online", "transfers_only"})
"""Who can be given work: those who are away, or did not respond to an offer, are not."""


@dataclass(frozen=True, slots=True)
class PresenceLine:
    """A change of presence or of capacity and what holds since; old lines do not name the capacity."""

    at: datetime
    agent_id: str
    pool: str
    presence: str
    capacity: int | None


def presence_from_log(lines: Iterable[PresenceLine], now: datetime) -> Mapping[str, tuple[PresenceSpan, ...]]:
    """Return by agent the spans they were present in, in order; what has not ended counts until `now`.

    Agents of whom some line does not name the capacity are left out: the log alone does not tell their spans.
    """
    by_agent: defaultdict[str, list[PresenceLine]] = defaultdict(list)
    for line in lines:
        by_agent[line.agent_id].append(line)
    return {agent_id: _spans(told, now) for agent_id, told in by_agent.items() if _is_whole(told)}


def _is_whole(lines: list[PresenceLine]) -> bool:
    return all(line.capacity is not None for line in lines)


def _spans(lines: list[PresenceLine], now: datetime) -> tuple[PresenceSpan, ...]:
    ends = [*(line.at for line in lines[1:]), max(now, lines[-1].at)]
    return tuple(
        PresenceSpan(line.agent_id, line.pool, line.capacity, line.at, ended_at)
        for line, ended_at in zip(lines, ends, strict=True)
        if line.presence in PRESENT and line.capacity is not None
    )
