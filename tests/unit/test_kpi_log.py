"""What the fold of the log makes of lines that say where conversations, threads and customers have gone."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.kpis.log import Json, LogLine, LogRecords, records_from_log
from domain.kpis.records import EpisodeRecord

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def line(
    minutes: int, kind: str, conversation: str | None, *, customer: str = "cus_a", episode: int = 1, **data: Json
) -> LogLine:
    return LogLine(NOON + minutes * MINUTE, kind, conversation, customer, episode, data)


def opened(minutes: int, conversation: str, customer: str = "cus_a") -> list[LogLine]:
    """A conversation with its first message on the thread of its name."""
    message: dict[str, Json] = {"message_id": f"msg_{conversation}", "thread_id": f"thr_{conversation}"}
    return [
        line(minutes, "conversation_opened", conversation, customer=customer),
        line(minutes, "message_received", conversation, customer=customer, **message),
    ]


def resolved(minutes: int, conversation: str, end_reason: str = "resolved", episode: int = 1) -> LogLine:
    resolution: dict[str, Json] = {
        "episode": episode,
        "intent": None,
        "segment": "standard",
        "pool": "default",
        "agent_id": None,
        "first_channel": "sms",
        "channels": ["sms"],
        "opened_at": NOON.isoformat(),
        "queued_at": NOON.isoformat(),
        "accepted_at": None,
        "first_response_at": None,
        "resolved_at": (NOON + minutes * MINUTE).isoformat(),
        "business_seconds": 0.0,
        "end_reason": end_reason,
    }
    return line(minutes, "resolved", conversation, episode=episode, record={"resolution": resolution})


def folded(*lines: LogLine) -> LogRecords:
    return records_from_log(lines, NOON + 100 * MINUTE)


def only(records: LogRecords, conversation: str) -> EpisodeRecord:
    (found,) = [one for one in records.episodes if one.conversation_id == conversation]
    return found


def test_a_merged_conversation_counts_as_its_survivor_from_the_first_message_of_both() -> None:
    records = folded(
        *opened(0, "con_b", "cus_b"),
        *opened(5, "con_a"),
        line(6, "merged", "con_b", merge_id="mrg_1", into="con_a"),
        resolved(9, "con_a"),
    )
    found = only(records, "con_a")
    assert (found.first_inbound_at, found.merged) == (NOON, 1)
    assert [one.conversation_id for one in records.episodes] == ["con_a"]


def test_what_was_counted_before_the_merge_goes_on_in_the_survivor() -> None:
    records = folded(
        *opened(0, "con_b", "cus_b"),
        line(1, "offered", "con_b"),
        line(2, "offer_declined", "con_b"),
        *opened(3, "con_a"),
        line(4, "offered", "con_a"),
        line(5, "merged", "con_b", merge_id="mrg_1", into="con_a"),
        line(6, "recorded", "con_a", record={"absorbed": "mrg_1"}),
        resolved(9, "con_a"),
    )
    assert (only(records, "con_a").offers, only(records, "con_a").declines) == (2, 1)


def test_threads_that_leave_take_their_messages_along() -> None:
    records = folded(
        *opened(0, "con_b", "cus_b"),
        *opened(5, "con_a"),
        line(6, "merged", "con_b", merge_id="mrg_1", into="con_a"),
        line(7, "threads_split", "con_a", merge_id="mrg_1", into="con_c", threads=["thr_con_b"]),
        line(7, "conversation_opened", "con_c", customer="cus_b"),
        resolved(8, "con_a"),
        resolved(9, "con_c"),
    )
    assert (only(records, "con_a").first_inbound_at, only(records, "con_a").merged) == (NOON + 5 * MINUTE, 0)
    assert (only(records, "con_c").first_inbound_at, only(records, "con_c").merged) == (NOON, 1)
    assert only(records, "con_c").customer_id == "cus_b"


@pytest.mark.parametrize("reason", ["spam", "bounce_storm"])
def test_what_was_of_no_customer_counts_in_nothing(reason: str) -> None:
    records = folded(*opened(0, "con_a"), resolved(9, "con_a", reason))
    assert (records.episodes, records.openings) == ((), ())


def test_the_episodes_of_a_linked_customer_are_the_others_until_the_link_is_taken_back() -> None:
    story = [
        *opened(0, "con_a"),
        *opened(1, "con_b", "cus_b"),
        resolved(8, "con_b"),
        line(9, "identity_linked", None, customer_id="cus_a", absorbed_customer_id="cus_b"),
    ]
    assert only(folded(*story), "con_b").customer_id == "cus_a"
    back = line(10, "identity_unlinked", None, restored_customer_id="cus_b", conversations=["con_b"])
    assert only(folded(*story, back), "con_b").customer_id == "cus_b"


def test_a_suggestion_is_judged_where_it_was_made() -> None:
    made: dict[str, Json] = {"suggestion_id": "sug_1"}
    records = folded(
        *opened(0, "con_b"),
        line(1, "suggestion_offered", "con_b", **made),
        *opened(2, "con_a"),
        line(3, "merged", "con_b", merge_id="mrg_1", into="con_a"),
        line(9, "suggestion_judged", "con_a", outcome="resolved_there", **made),
        resolved(9, "con_a"),
    )
    assert only(records, "con_a").suggestions_resolved_there == 0
