"""Presence, folded from the log."""

from datetime import UTC, datetime, timedelta

from domain.kpis.presence_log import PresenceLine, presence_from_log
from domain.kpis.records import PresenceSpan

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def line(hours: int, presence: str, capacity: int | None = 100, agent: str = "agt_1") -> PresenceLine:
    return PresenceLine(NOON + hours * HOUR, agent, "default", presence, capacity)


def span(hours: tuple[int, int], capacity: int = 100) -> PresenceSpan:
    return PresenceSpan("agt_1", "default", capacity, NOON + hours[0] * HOUR, NOON + hours[1] * HOUR)


def test_who_can_be_given_work_is_present_and_the_last_span_lasts_until_now() -> None:
    lines = [
        line(0, "online"),
        line(1, "away"),
        line(2, "transfers_only"),
        line(3, "not_responding"),
        line(4, "online"),
    ]
    spans = presence_from_log(lines, NOON + 6 * HOUR)
    assert spans == {"agt_1": (span((0, 1)), span((2, 3)), span((4, 6)))}


def test_a_new_capacity_counts_from_its_change_on() -> None:
    spans = presence_from_log([line(0, "online"), line(2, "online", 40)], NOON + 3 * HOUR)
    assert spans == {"agt_1": (span((0, 2)), span((2, 3), 40))}


def test_agents_whose_lines_do_not_tell_the_capacity_are_left_out() -> None:
    old = [line(0, "online", None), line(1, "away"), line(0, "online", agent="agt_2")]
    assert set(presence_from_log(old, NOON + 2 * HOUR)) == {"agt_2"}
