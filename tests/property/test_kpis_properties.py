"""Whatever was recorded: rates are shares where they must be, groups partition the whole, and order never matters."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import Channel
from domain.kpis.compute import Kpis, compute_kpis
from domain.kpis.figures import Ratio, summarize_durations
from domain.kpis.records import EpisodeRecord, TimeRange, whole_days
from domain.kpis.scope import Dimension

START = datetime(2026, 3, 1, tzinfo=UTC)
MARCH = whole_days(date(2026, 3, 1), date(2026, 3, 31), "UTC")
channels = st.sampled_from((Channel.EMAIL, Channel.WEB_CHAT, Channel.VOICE))
hours = st.integers(0, 48).map(lambda count: timedelta(hours=count))


@st.composite
def conversations(draw: st.DrawFn, number: int) -> list[EpisodeRecord]:
    opened = START + draw(st.integers(-200, 800)) * timedelta(hours=1)
    first = draw(channels)
    customer = draw(st.sampled_from(("cus_1", "cus_2")))
    records: list[EpisodeRecord] = []
    for episode in range(1, draw(st.integers(1, 3)) + 1):
        resolved = opened + draw(hours)
        abandoned = draw(st.booleans())
        touches = draw(st.integers(0, 3))
        records.append(
            EpisodeRecord(
                conversation_id=f"con_{number}",
                episode=episode,
                customer_id=customer,
                intent=draw(st.sampled_from((None, "refund_request", "login_problem"))),
                segment=draw(st.sampled_from(("gold", "standard"))),
                pool=draw(st.sampled_from(("support", "sales"))),
                agent_id=draw(st.sampled_from((None, "agt_1", "agt_2"))),
                channels=tuple(draw(st.lists(channels, min_size=1, unique=True))),
                first_channel=first,
                opened_at=opened,
                first_inbound_at=opened,
                resolved_at=resolved,
                business_time=(resolved - opened) / 2,
                queued_at=opened,
                accepted_at=None if abandoned else resolved,
                abandoned=abandoned,
                offers=draw(st.integers(0, 2)),
                misroutes=draw(st.integers(0, 2)),
                touches=touches,
                touches_with_full_history=draw(st.integers(0, touches)),
            )
        )
        opened = resolved + draw(hours)
    return records


@st.composite
def histories(draw: st.DrawFn) -> list[EpisodeRecord]:
    return [record for number in range(draw(st.integers(0, 6))) for record in draw(conversations(number))]


def shares(kpis: Kpis) -> tuple[Ratio, ...]:
    return (
        kpis.channel_deflection_rate,
        kpis.first_contact_resolution,
        kpis.context_preservation_score,
        kpis.abandonment_rate,
        kpis.misroute_rate,
    )


def total(ratios: Iterable[Ratio]) -> tuple[float, float]:
    numerators, denominators = 0.0, 0.0
    for part in ratios:
        numerators += part.numerator
        denominators += part.denominator
    return numerators, denominators


@settings(deadline=None)
@given(histories())
def test_a_share_is_between_nothing_and_everything_or_unknown(history: list[EpisodeRecord]) -> None:
    for part in shares(compute_kpis(MARCH, history).overall):
        assert (part.value is None) == (part.denominator == 0)
        assert part.value is None or 0 <= part.value <= 1


@settings(deadline=None)
@given(histories(), st.lists(st.sampled_from(Dimension), min_size=1, max_size=3, unique=True).map(tuple))
def test_groups_add_up_to_the_whole(history: list[EpisodeRecord], by: tuple[Dimension, ...]) -> None:
    report = compute_kpis(MARCH, history, group_by=by)
    assert sum(group.kpis.conversations for group in report.groups) == report.overall.conversations
    by_group = [shares(group.kpis) for group in report.groups]
    for place, whole in enumerate(shares(report.overall)):
        assert total(parts[place] for parts in by_group) == (whole.numerator, whole.denominator)


@settings(deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(history: list[EpisodeRecord], random: Random) -> None:
    shuffled = history.copy()
    random.shuffle(shuffled)
    assert compute_kpis(MARCH, shuffled) == compute_kpis(MARCH, history)


@settings(deadline=None)
@given(histories())
def test_first_contact_and_deflection_agree_with_a_plain_search(history: list[EpisodeRecord]) -> None:
    figures = compute_kpis(MARCH, history).overall
    resolved, first_contact, deflected = 0, 0, 0
    for name in {record.conversation_id for record in history}:
        journey = [record for record in history if record.conversation_id == name and record.resolved_at < MARCH.end]
        if not any(record.resolved_at >= MARCH.start and not record.abandoned for record in journey):
            continue
        resolved += 1
        came_back = any(
            earlier.customer_id == later.customer_id
            and earlier.intent is not None
            and earlier.intent == later.intent
            and not earlier.abandoned
            and timedelta(0) < later.opened_at - earlier.resolved_at <= timedelta(days=7)
            for earlier in journey
            for later in history
        )
        first_contact += len(journey) == 1 and not came_back
        used = {channel for record in journey for channel in record.channels}
        deflected += used == {journey[0].first_channel} and not came_back
    assert figures.resolved == resolved
    assert figures.first_contact_resolution.numerator == first_contact
    assert figures.channel_deflection_rate.numerator == deflected


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=40)), min_size=1, max_size=30))
def test_percentiles_lie_among_the_values_and_in_order(durations: list[timedelta]) -> None:
    summary = summarize_durations(durations)
    assert summary.mean is not None
    assert summary.p50 is not None
    assert summary.p90 is not None
    assert min(durations) <= summary.p50 <= summary.p90 <= max(durations)
    assert min(durations) <= summary.mean <= max(durations)
    assert summary.count == len(durations)


@settings(deadline=None)
@given(histories(), st.integers(1, 30))
def test_splitting_a_range_splits_its_episodes(history: list[EpisodeRecord], day: int) -> None:
    middle = START + timedelta(days=day)
    parts = [compute_kpis(TimeRange(*edges), history).overall for edges in ((MARCH.start, middle), (middle, MARCH.end))]
    whole = compute_kpis(MARCH, history).overall
    assert sum(part.abandonment_rate.denominator for part in parts) == whole.abandonment_rate.denominator
    assert sum(part.speed_of_answer.count for part in parts) == whole.speed_of_answer.count
