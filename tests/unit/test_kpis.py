from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest

from domain.channels import Channel
from domain.kpis.compute import KpiReport, Kpis, compute_kpis
from domain.kpis.records import (
    EndedClock,
    EpisodeRecord,
    HandledSpan,
    Opening,
    PresenceSpan,
    TimeRange,
    whole_days,
)
from domain.kpis.roi import RoiRates, roi_view
from domain.kpis.scope import Dimension
from domain.sla.clock import ClockState
from domain.sla.policy import Metric

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MARCH = whole_days(date(2026, 3, 1), date(2026, 3, 31), "UTC")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
PLAIN: Final = EpisodeRecord(
    conversation_id="con_1",
    episode=1,
    customer_id="cus_1",
    intent="refund_request",
    segment="gold",
    pool="support",
    agent_id="agt_1",
    channels=(Channel.EMAIL,),
    first_channel=Channel.EMAIL,
    opened_at=NOON,
    first_inbound_at=NOON,
    resolved_at=NOON + 2 * HOUR,
    business_time=HOUR,
)


def episode(conversation: str = "con_1", **changes: Any) -> EpisodeRecord:
    return replace(PLAIN, conversation_id=conversation, **changes)


def kpis(*episodes: EpisodeRecord, openings: tuple[Opening, ...] = (), over: TimeRange = MARCH) -> Kpis:
    return compute_kpis(over, episodes, openings).overall


def next_contact(after: timedelta, conversation: str = "con_9", **changes: Any) -> Opening:
    opening = Opening(conversation, 1, PLAIN.customer_id, PLAIN.intent, PLAIN.resolved_at + after)
    return replace(opening, **changes)


def test_a_rate_without_a_denominator_has_no_value() -> None:
    nothing = kpis()
    assert nothing.channel_deflection_rate.value is None
    assert nothing.abandonment_rate.value is None
    assert nothing.handle_time.mean is nothing.handle_time.p50 is nothing.handle_time.p90 is None
    assert nothing.customer_effort_score.mean is None


def test_a_conversation_that_stayed_on_its_channel_without_return_is_deflected_and_resolved_at_first_contact() -> None:
    figures = kpis(episode())
    assert (figures.channel_deflection_rate.value, figures.first_contact_resolution.value) == (1, 1)


def test_a_channel_switch_is_no_deflection_but_may_be_a_first_contact_resolution() -> None:
    figures = kpis(episode(channels=(Channel.EMAIL, Channel.VOICE)))
    assert (figures.channel_deflection_rate.value, figures.first_contact_resolution.value) == (0, 1)


@pytest.mark.parametrize(
    ("opening", "is_return"),
    [
        (next_contact(7 * DAY), True),
        (next_contact(7 * DAY + timedelta.resolution), False),
        (next_contact(timedelta(0)), False),
        (next_contact(DAY, customer_id="cus_2"), False),
        (next_contact(DAY, intent="invoice_request"), False),
        (next_contact(DAY, intent=None), False),
        (next_contact(DAY, conversation="con_1", episode=2), True),
    ],
)
def test_a_return_is_the_same_customer_with_the_same_intent_within_seven_days(
    opening: Opening,
    is_return: bool,
) -> None:
    figures = kpis(episode(), openings=(opening,))
    assert figures.channel_deflection_rate.value == (0 if is_return else 1)
    assert figures.first_contact_resolution.value == (0 if is_return else 1)


def test_coming_back_after_giving_up_is_a_second_episode_but_no_return() -> None:
    gave_up = episode(abandoned=True)
    again = episode(episode=2, opened_at=NOON + 3 * HOUR, resolved_at=NOON + 4 * HOUR)
    figures = kpis(gave_up, again)
    assert (figures.channel_deflection_rate.value, figures.first_contact_resolution.value) == (1, 0)


def test_an_unknown_intent_never_returns() -> None:
    figures = kpis(episode(intent=None), openings=(next_contact(DAY, intent=None),))
    assert figures.first_contact_resolution.value == 1


def test_a_return_after_the_range_counts_against_the_resolution_in_it() -> None:
    late = datetime(2026, 3, 31, 20, tzinfo=UTC)
    first = episode(opened_at=late, resolved_at=late + HOUR)
    back = episode("con_2", opened_at=late + DAY, resolved_at=late + 2 * DAY)
    figures = kpis(first, back)
    assert (figures.resolved, figures.first_contact_resolution.value) == (1, 0)


def test_a_reopened_conversation_counts_once_and_not_as_first_contact() -> None:
    again = episode(episode=2, opened_at=NOON + 30 * DAY / 10, resolved_at=NOON + 4 * DAY, intent="login_problem")
    figures = kpis(episode(), again)
    assert (figures.resolved, figures.first_contact_resolution.value) == (1, 0)
    assert figures.derived_effort.reopens.value == 1
    assert figures.channel_deflection_rate.value == 1


def test_a_range_is_seen_as_it_stood_at_its_end() -> None:
    april = episode(episode=2, opened_at=NOON + 25 * DAY, resolved_at=NOON + 26 * DAY)
    assert kpis(episode(), april) == kpis(episode())
    over = whole_days(date(2026, 4, 1), date(2026, 4, 30), "UTC")
    figures = kpis(episode(), april, over=over)
    assert (figures.resolved, figures.first_contact_resolution.value) == (1, 0)
    assert figures.cross_channel_resolution_time.wall.mean == 26 * DAY


def test_the_end_of_a_range_belongs_to_the_next() -> None:
    on_the_edge = episode(resolved_at=MARCH.end)
    assert kpis(on_the_edge).conversations == 0
    assert kpis(on_the_edge, over=TimeRange(MARCH.end, MARCH.end + DAY)).conversations == 1


def test_whole_days_are_counted_in_the_zone_asked_for() -> None:
    day = whole_days(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin")
    assert (day.start, day.end) == (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC))


def test_cross_channel_resolution_runs_from_the_first_message_of_all_threads() -> None:
    figures = kpis(episode(first_inbound_at=NOON - HOUR, business_time=2 * HOUR))
    assert figures.cross_channel_resolution_time.wall.mean == 3 * HOUR
    assert figures.cross_channel_resolution_time.business.mean == 2 * HOUR


def test_context_is_weighed_by_touch_and_stands_by_conversation_beside_it() -> None:
    figures = kpis(
        episode("con_1", touches=3, touches_with_full_history=0),
        episode("con_2", touches=1, touches_with_full_history=1),
        episode("con_3"),
    )
    assert figures.context_preservation_score.value == 1 / 4
    assert figures.context_preservation_per_conversation.mean == 1 / 2
    assert figures.context_preservation_per_conversation.count == 2
    assert figures.derived_effort.repeats.value == 1


def test_customer_effort_is_what_customers_answered_with_the_answer_rate() -> None:
    figures = kpis(
        episode("con_1", effort_asked=True, effort_answer=7),
        episode("con_2", effort_asked=True, effort_answer=4),
        episode("con_3", effort_asked=True),
        episode("con_4"),
    )
    assert (figures.customer_effort_score.mean, figures.customer_effort_score.count) == (5.5, 2)
    assert figures.effort_answer_rate.value == 2 / 3


def test_derived_effort_adds_up_the_whole_journey() -> None:
    first = episode(channels=(Channel.EMAIL, Channel.WEB_CHAT), transfers=1, queued_at=NOON, accepted_at=NOON + HOUR)
    second = episode(
        episode=2, channels=(Channel.VOICE,), transfers=1, opened_at=NOON + 3 * HOUR, resolved_at=NOON + 4 * HOUR
    )
    effort = kpis(first, second).derived_effort
    assert (effort.switches.value, effort.transfers.value, effort.reopens.value) == (2, 2, 1)
    assert effort.wait.mean == HOUR


def test_utilisation_is_occupancy_times_expertise_and_only_counts_the_range() -> None:
    presence = (PresenceSpan("agt_1", "support", 100, MARCH.start - DAY, MARCH.start + 2 * HOUR),)
    handled = (
        HandledSpan("agt_1", "support", 50, 1.0, MARCH.start - HOUR, MARCH.start + HOUR),
        HandledSpan("agt_1", "support", 50, 0.5, MARCH.start + HOUR, MARCH.start + 2 * HOUR),
    )
    figures = compute_kpis(MARCH, (), presence=presence, handled=handled).overall
    assert figures.occupancy.value == 0.5
    assert figures.mean_expertise_match.value == 0.75
    assert figures.agent_utilization_efficiency.value == 0.375


def test_a_span_still_open_lasts_until_the_end_of_the_range() -> None:
    hours = TimeRange(NOON, NOON + 4 * HOUR)
    presence = (PresenceSpan("agt_1", "support", 100, NOON + 2 * HOUR),)
    handled = (HandledSpan("agt_1", "support", 25, 1.0, NOON + 3 * HOUR),)
    assert compute_kpis(hours, (), presence=presence, handled=handled).overall.occupancy.value == 0.125


def clock(metric: Metric, state: ClockState, hours: float | None, business: timedelta = HOUR) -> EndedClock:
    return EndedClock(metric, state, NOON, None if hours is None else NOON + hours * HOUR, business)


def attained(figures: Kpis, metric: Metric) -> tuple[float, float]:
    return next(
        (entry.kept.numerator, entry.kept.denominator) for entry in figures.sla_attainment if entry.metric is metric
    )


def test_attainment_counts_a_late_answer_as_broken_and_a_cancelled_clock_not_at_all() -> None:
    metric = Metric.NEXT_RESPONSE
    clocks = (
        clock(metric, ClockState.MET, 1),
        clock(metric, ClockState.BREACHED, 4),
        clock(metric, ClockState.BREACHED, None),
        clock(metric, ClockState.CANCELLED, 2),
    )
    figures = kpis(episode(clocks=clocks))
    assert attained(figures, metric) == (1, 3)
    assert attained(figures, Metric.RESOLUTION) == (0, 0)
    assert (figures.next_response_time.wall.count, figures.next_response_time.wall.mean) == (2, 2.5 * HOUR)


def test_a_first_response_time_needs_a_response() -> None:
    clocks = (clock(Metric.FIRST_RESPONSE, ClockState.BREACHED, 5, business=2 * HOUR),)
    assert kpis(episode(clocks=clocks)).first_response_time.wall.count == 0
    answered = kpis(episode(clocks=clocks, first_response_at=NOON + 5 * HOUR)).first_response_time
    assert (answered.wall.mean, answered.business.mean) == (5 * HOUR, 2 * HOUR)


def test_an_abandoned_episode_is_not_resolved_and_its_clocks_took_no_time() -> None:
    gone = episode(abandoned=True, queued_at=NOON, clocks=(clock(Metric.RESOLUTION, ClockState.BREACHED, 1),))
    answered = episode("con_2", queued_at=NOON, accepted_at=NOON + HOUR / 2)
    figures = kpis(gone, answered)
    assert (figures.conversations, figures.resolved) == (2, 1)
    assert figures.abandonment_rate.value == 1 / 2
    assert figures.speed_of_answer.mean == HOUR / 2
    assert figures.resolution_time.wall.count == 0
    assert attained(figures, Metric.RESOLUTION) == (0, 1)


def test_handle_time_is_active_time_and_wrap_up() -> None:
    figures = kpis(episode(accepted_at=NOON, handle_time=HOUR, wrap_up_time=HOUR / 4), episode("con_2"))
    assert (figures.handle_time.mean, figures.handle_time.count) == (1.25 * HOUR, 1)


def test_offer_rates_are_per_conversation_offered() -> None:
    figures = kpis(
        episode("con_1", offers=4, declines=2, timeouts=1, reroutes=3, transfers=1),
        episode("con_2", offers=1),
        episode("con_3"),
    )
    assert figures.decline_rate.value == 1
    assert figures.offer_timeout_rate.value == 1 / 2
    assert figures.reroute_rate.value == 3 / 2
    assert figures.transfer_rate.value == 1 / 2


def test_a_misroute_counts_a_conversation_once() -> None:
    figures = kpis(episode("con_1", accepted_at=NOON, misroutes=2), episode("con_2", accepted_at=NOON))
    assert figures.misroute_rate.value == 1 / 2


def test_suggestions_are_accepted_of_those_offered_and_succeed_of_those_accepted() -> None:
    figures = kpis(episode(suggestions_offered=4, suggestions_accepted=2, suggestions_resolved_there=1))
    assert (figures.suggestion_acceptance.value, figures.suggestion_success.value) == (0.5, 0.5)


def test_percentiles_are_interpolated_between_neighbours() -> None:
    waits = [episode(f"con_{hours}", queued_at=NOON, accepted_at=NOON + hours * HOUR) for hours in (1, 2, 3, 10)]
    summary = kpis(*waits).speed_of_answer
    assert (summary.mean, summary.p50, summary.p90) == (4 * HOUR, 2.5 * HOUR, 7.9 * HOUR)


def test_durations_are_real_time_whatever_zone_they_are_noted_in() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    day = TimeRange(datetime(2026, 3, 29, tzinfo=berlin), datetime(2026, 3, 30, tzinfo=berlin))
    presence = (PresenceSpan("agt_1", "support", 1, day.start.astimezone(berlin), day.end.astimezone(berlin)),)
    assert compute_kpis(day, (), presence=presence).overall.occupancy.denominator == 23 * 3600


def test_each_conversation_is_in_one_group_that_of_its_last_episode() -> None:
    first = episode(agent_id="agt_1")
    second = episode(episode=2, agent_id="agt_2", opened_at=NOON + 3 * HOUR, resolved_at=NOON + 4 * HOUR)
    report = compute_kpis(MARCH, (first, second, episode("con_2", agent_id=None)), group_by=(Dimension.AGENT,))
    assert [(group.key, group.kpis.conversations) for group in report.groups] == [(("agt_2",), 1), ((None,), 1)]


def test_agents_without_conversations_still_have_their_utilisation() -> None:
    presence = (PresenceSpan("agt_7", "support", 100, NOON, NOON + HOUR),)
    report = compute_kpis(MARCH, (episode(),), presence=presence, group_by=(Dimension.POOL, Dimension.AGENT))
    assert [group.key for group in report.groups] == [("support", "agt_1"), ("support", "agt_7")]
    assert [group.kpis.occupancy.value for group in report.groups] == [None, 0]
    by_intent = compute_kpis(MARCH, (episode(),), presence=presence, group_by=(Dimension.INTENT,))
    assert by_intent.groups[0].kpis.occupancy.value is None
    assert by_intent.overall.occupancy.value == 0


def test_the_channel_of_a_conversation_is_the_one_it_began_on() -> None:
    switched = episode(channels=(Channel.VOICE,), first_channel=Channel.EMAIL)
    report = compute_kpis(MARCH, (switched,), group_by=(Dimension.CHANNEL, Dimension.SEGMENT))
    assert [group.key for group in report.groups] == [("email", "gold")]


def test_the_roi_view_prices_the_change_against_the_baseline_at_visible_rates() -> None:
    baseline = kpis(episode(accepted_at=NOON, handle_time=2 * HOUR, offers=1, transfers=1, reroutes=1, episode=2))
    before = replace(baseline, first_contact_resolution=replace(baseline.first_contact_resolution, value=0.5))
    now = kpis(
        *(
            episode(f"con_{number}", accepted_at=NOON, handle_time=HOUR, offers=1, customer_id=f"cus_{number}")
            for number in range(4)
        )
    )
    rates = RoiRates(cost_per_agent_hour=30, cost_per_escalation=10, value_per_customer=100, churn_share=0.25)
    view = roi_view(now, before, rates)
    assert (view.agent_time_saved, view.agent_cost_saved) == (4 * HOUR, 120)
    assert (view.escalations_avoided, view.escalation_cost_avoided) == (8, 80)
    assert (view.customers_kept, view.value_of_customers_kept) == (0.5, 50)
    assert view.rates == rates


def test_the_roi_view_claims_nothing_without_a_baseline() -> None:
    view = roi_view(kpis(episode()), kpis(), RoiRates(1, 1, 1, 1))
    assert view.agent_cost_saved is view.escalation_cost_avoided is view.value_of_customers_kept is None


def test_records_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="effort"):
        episode(effort_answer=8)
    with pytest.raises(ValueError, match="history"):
        episode(touches=1, touches_with_full_history=2)
    with pytest.raises(ValueError, match="match"):
        HandledSpan("agt_1", "support", 1, 1.5, NOON)
    with pytest.raises(ValueError, match="after"):
        TimeRange(NOON, NOON)
    with pytest.raises(ValueError, match="share"):
        RoiRates(1, 1, 1, 2)


def test_a_report_survives_serialisation() -> None:
    report = compute_kpis(MARCH, (episode(),), group_by=(Dimension.CHANNEL,))
    assert msgspec.json.decode(msgspec.json.encode(report), type=KpiReport) == report
