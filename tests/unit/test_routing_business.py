from datetime import UTC, date, datetime, time, timedelta

import pytest

from domain.conversation.understanding import CARRIED_CONFIDENCE, known_intent, settled_intent
from domain.language_need import languages_needed
from domain.routing.business import (
    CustomerStanding,
    Outage,
    OutageEffect,
    ValueRules,
    business_boost,
    value_weight,
)
from domain.routing.calling_hours import calling_hours
from domain.routing.eligibility import callable_from
from domain.routing.workday import LiveCase, hard_cases_in_a_row, soon_free
from domain.sla.calendar import Calendar

TODAY = date(2026, 1, 5)
NINE_TO_FIVE = ((time(9), time(17)),)
OFFICE = Calendar("Europe/Paris", (NINE_TO_FIVE,) * 5 + ((), ()))
MONDAY_NOON = datetime(2026, 1, 5, 11, 0, tzinfo=UTC)  # noon in Paris
NOTHING = (None, None)


def boost(standing: CustomerStanding, *outages: Outage, about: tuple[str | None, str | None] = NOTHING) -> float:
    return business_boost(standing, ValueRules(), outages, about, TODAY)


def test_the_average_customer_weighs_one_and_the_segment_and_the_contract_multiply() -> None:
    rules = ValueRules(contracts={"enterprise": 1.3})
    assert value_weight(CustomerStanding(), rules) == 1.0
    assert value_weight(CustomerStanding("gold"), rules) == 1.35
    assert value_weight(CustomerStanding("gold", contract="enterprise"), rules) == pytest.approx(1.35 * 1.3)


def test_a_lifetime_value_counts_only_against_a_known_average_and_within_bounds() -> None:
    rules = ValueRules(average_lifetime_value=1000.0)
    assert value_weight(CustomerStanding(lifetime_value=1e9), ValueRules()) == 1.0
    assert value_weight(CustomerStanding(lifetime_value=1000.0), rules) == 1.0
    assert 1.0 < value_weight(CustomerStanding(lifetime_value=4000.0), rules) < 1.5
    assert value_weight(CustomerStanding(lifetime_value=1e9), rules) == 1.5
    assert value_weight(CustomerStanding(lifetime_value=0.0), rules) == 0.8


def test_a_renewal_presses_more_the_nearer_it_is_and_no_more_once_past() -> None:
    renewal = [boost(CustomerStanding(renewal_on=TODAY + timedelta(days=days))) for days in (40, 30, 15, 1, 0, -1)]
    assert renewal == pytest.approx([0.0, 0.0, 0.25, 0.5 * 29 / 30, 0.5, 0.0])


def test_a_customer_about_to_leave_presses() -> None:
    assert boost(CustomerStanding(health=0.0)) == 0.4
    assert boost(CustomerStanding(health=0.2)) == pytest.approx(0.2)
    assert boost(CustomerStanding(health=0.9)) == 0.0


def test_an_outage_raises_or_batches_its_cases_while_it_is_on() -> None:
    down = Outage("payments", intents=("payment_failed",), products=("wallet",), weight=2.0)
    assert boost(CustomerStanding(), down, about=("payment_failed", None)) == 2.0
    assert boost(CustomerStanding(), down, about=("bug_report", "wallet")) == 2.0
    assert boost(CustomerStanding(), down, about=("bug_report", None)) == 0.0
    over = Outage("payments", intents=("payment_failed",), active=False)
    assert boost(CustomerStanding(), over, about=("payment_failed", None)) == 0.0
    batched = Outage("payments", intents=("payment_failed",), effect=OutageEffect.BATCH)
    assert boost(CustomerStanding(), batched, about=("payment_failed", None)) == -1.0


@pytest.mark.parametrize(
    ("now", "may", "next_look"),
    [
        (MONDAY_NOON, True, None),
        (MONDAY_NOON.replace(hour=7), False, MONDAY_NOON.replace(hour=8)),
        (MONDAY_NOON.replace(hour=17), False, MONDAY_NOON.replace(hour=8) + timedelta(days=1)),
        # Saturday: nothing opens today, so the next look is at the hour at which something opens on Monday.
        (datetime(2026, 1, 10, 10, 0, tzinfo=UTC), False, datetime(2026, 1, 11, 8, 0, tzinfo=UTC)),
    ],
)
def test_a_customer_is_called_within_their_own_hours(now: datetime, may: bool, next_look: datetime | None) -> None:
    hours = calling_hours(OFFICE, "Europe/Paris", now)
    assert hours is not None
    assert callable_from(hours, now) == next_look
    assert (callable_from(hours, now) is None) is may


def test_hours_that_run_past_midnight_and_hours_never_stated() -> None:
    late: Calendar = Calendar("UTC", ((((time(22), None)),),) + ((((time(0), time(2)),)),) + ((),) * 5)
    for hour, may in ((21, False), (22, True), (23, True)):
        now = datetime(2026, 1, 5, hour, 30, tzinfo=UTC)
        hours = calling_hours(late, "UTC", now)
        assert hours is not None
        assert (callable_from(hours, now) is None) is may
    assert calling_hours(None, None, MONDAY_NOON) is None
    at_night = calling_hours(None, "Asia/Tokyo", datetime(2026, 1, 5, 18, 0, tzinfo=UTC))
    assert at_night is not None
    assert callable_from(at_night, datetime(2026, 1, 5, 18, 0, tzinfo=UTC)) == datetime(2026, 1, 5, 23, 0, tzinfo=UTC)
    always = Calendar("UTC", (((time(0), None),),) * 7)
    assert calling_hours(always, "UTC", MONDAY_NOON) is None


def test_hard_cases_count_until_the_first_easy_one() -> None:
    assert hard_cases_in_a_row([True, True, False, True]) == 2
    assert hard_cases_in_a_row([False, True]) == 0
    assert hard_cases_in_a_row([True] * 9) == 5


def test_room_is_forecast_at_the_end_of_a_wrap_up_or_of_the_usual_time() -> None:
    minute = timedelta(minutes=1)
    cases = [
        LiveCase("agt_wraps", 34, MONDAY_NOON - 9 * minute, 8 * minute, MONDAY_NOON + 2 * minute),
        LiveCase("agt_usual", 34, MONDAY_NOON - 7 * minute, 8 * minute, None),
        LiveCase("agt_late", 34, MONDAY_NOON - 9 * minute, 8 * minute, None),
        LiveCase("agt_far", 34, MONDAY_NOON, 8 * minute, None),
        LiveCase("agt_unknown", 34, MONDAY_NOON, None, None),
    ]
    found = soon_free(cases, MONDAY_NOON, 5 * minute)
    assert [(one.agent_id, one.at) for one in found] == [
        ("agt_usual", MONDAY_NOON + minute),
        ("agt_wraps", MONDAY_NOON + 2 * minute),
    ]


def test_a_language_is_asked_for_only_where_somebody_speaks_it() -> None:
    spoken = frozenset({"en", "en-US", "fr"})
    assert languages_needed(["fr"], "en", spoken) == ("fr",)
    assert languages_needed([], "fr", spoken) == ("fr",)
    assert languages_needed(["en-GB"], None, spoken) == ("en", "en-US")
    assert languages_needed(["fi"], "fr", spoken) == ()
    assert languages_needed([], None, spoken) == ()


def test_a_person_s_word_stands_until_its_episode_ends() -> None:
    corrected = known_intent(("billing_question", 0.6), "refund_request")
    assert corrected == ("refund_request", 1.0)
    assert settled_intent(corrected, ("bug_report", 0.99)) == ("refund_request", 1.0)
    afterwards = known_intent(("refund_request", 1.0), None)
    assert afterwards == ("refund_request", CARRIED_CONFIDENCE)
    assert settled_intent(afterwards, ("bug_report", 0.9)) == ("bug_report", 0.9)
    assert known_intent(("refund_request", 0.9), None) == ("refund_request", 0.9)


def test_saying_the_same_again_less_clearly_makes_it_no_less_sure() -> None:
    assert settled_intent(("refund_request", 0.9), ("refund_request", 0.3)) == ("refund_request", 0.9)
    assert settled_intent(("refund_request", 0.3), ("refund_request", 0.9)) == ("refund_request", 0.9)
