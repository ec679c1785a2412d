"""Every KPI, defined once: what its function's docstring says is what the word means everywhere in Baton."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from domain.kpis.figures import (
    DurationSummary,
    Ratio,
    ScoreSummary,
    elapsed,
    ratio,
    share,
    summarize_durations,
    summarize_scores,
)
from domain.kpis.records import EpisodeRecord, HandledSpan, PresenceSpan, TimeRange
from domain.kpis.scope import Conversation, time_within
from domain.sla.clock import ClockState
from domain.sla.policy import Metric

Conversations = tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class WallAndBusiness:
    """One duration in time that passed and in open time of the calendar that applied."""

    wall: DurationSummary
    business: DurationSummary


@dataclass(frozen=True, slots=True)
class DerivedEffort:
    """What a conversation asked of its customer, from the log; never mixed into what customers answered."""

    switches: Ratio
    repeats: Ratio
    transfers: Ratio
    reopens: Ratio
    wait: DurationSummary


def channel_deflection_rate(conversations: Conversations) -> Ratio:
    """Resolved conversations that used only the channel they began on and had no return ÷ resolved conversations.

    A return is the same customer opening an episode with the same intent on any channel within 7 days of a resolution,
    in this conversation or another.
    """
    return share(
        not conversation.is_returned_to and _channels(conversation) <= {conversation.journey[0].first_channel}
        for conversation in _resolved(conversations)
    )


def first_contact_resolution(conversations: Conversations) -> Ratio:
    """Conversations resolved in one episode with no return within 7 days ÷ resolved conversations."""
    return share(
        len(conversation.journey) == 1 and not conversation.is_returned_to for conversation in _resolved(conversations)
    )


def context_preservation_score(conversations: Conversations) -> Ratio:
    """Agent touches with the customer's full earlier history visible ÷ agent touches."""
    episodes = tuple(_episodes(conversations))
    return ratio(
        sum(episode.touches_with_full_history for episode in episodes), sum(episode.touches for episode in episodes)
    )


def context_preservation_per_conversation(conversations: Conversations) -> ScoreSummary:
    """The context preservation score of each conversation that was touched, all conversations weighing the same."""
    scores = (context_preservation_score((conversation,)).value for conversation in conversations)
    return summarize_scores(score for score in scores if score is not None)


def cross_channel_resolution_time(conversations: Conversations) -> WallAndBusiness:
    """First inbound message of the conversation, the earliest of all merged threads → resolved, switches included."""
    journeys = [
        (min(episode.first_inbound_at for episode in conversation.journey), resolved)
        for conversation in conversations
        if (resolved := conversation.resolved) is not None
    ]
    return WallAndBusiness(
        summarize_durations(elapsed(first_inbound, resolved.resolved_at) for first_inbound, resolved in journeys),
        summarize_durations(resolved.business_time for _, resolved in journeys),
    )


def customer_effort_score(conversations: Conversations) -> ScoreSummary:
    """CES 2.0: the 7-point answers to "made it easy", 7 the easiest."""
    answers = (episode.effort_answer for episode in _episodes(conversations))
    return summarize_scores(answer for answer in answers if answer is not None)


def effort_answer_rate(conversations: Conversations) -> Ratio:
    """Effort surveys answered ÷ effort surveys sent."""
    return share(episode.effort_answer is not None for episode in _episodes(conversations) if episode.effort_asked)


def derived_effort(conversations: Conversations) -> DerivedEffort:
    """Per resolved conversation: channel switches, repeats, transfers, re-opens, and the waits for an accept.

    Switches are the channels used beyond the first; a repeat is an agent touch without the full history, after which
    the customer has to tell it again.
    """
    resolved = _resolved(conversations)
    journeys = [episode for conversation in resolved for episode in conversation.journey]
    return DerivedEffort(
        switches=ratio(
            sum(
                len(_channels(conversation) | {conversation.journey[0].first_channel}) - 1 for conversation in resolved
            ),
            len(resolved),
        ),
        repeats=ratio(sum(episode.touches - episode.touches_with_full_history for episode in journeys), len(resolved)),
        transfers=ratio(sum(episode.transfers for episode in journeys), len(resolved)),
        reopens=ratio(sum(len(conversation.journey) - 1 for conversation in resolved), len(resolved)),
        wait=summarize_durations(_waits(journeys)),
    )


def occupancy(range_: TimeRange, presence: Iterable[PresenceSpan], handled: Iterable[HandledSpan]) -> Ratio:
    """Σ handled unit-seconds ÷ Σ capacity unit-seconds while present."""
    return ratio(
        sum(_unit_seconds(range_, span) for span in handled),
        sum(time_within(range_, span.started_at, span.ended_at).total_seconds() * span.capacity for span in presence),
    )


def mean_expertise_match(range_: TimeRange, handled: Iterable[HandledSpan]) -> Ratio:
    """Σ (handled unit-seconds weighted by the expertise match of the assignment) ÷ Σ handled unit-seconds."""
    spans = tuple(handled)
    return ratio(
        sum(_unit_seconds(range_, span) * span.expertise_match for span in spans),
        sum(_unit_seconds(range_, span) for span in spans),
    )


def agent_utilization_efficiency(
    range_: TimeRange, presence: Iterable[PresenceSpan], handled: Iterable[HandledSpan]
) -> Ratio:
    """Occupancy times mean expertise match: Σ match-weighted handled unit-seconds ÷ Σ capacity unit-seconds."""
    spans = tuple(handled)
    return ratio(mean_expertise_match(range_, spans).numerator, occupancy(range_, presence, spans).denominator)


def first_response_time(conversations: Conversations) -> WallAndBusiness:
    """The first-response clocks of resolved episodes that got a human reply."""
    return _clock_times(
        Metric.FIRST_RESPONSE,
        (episode for episode in _episodes(conversations) if episode.first_response_at is not None),
    )


def next_response_time(conversations: Conversations) -> WallAndBusiness:
    """The next-response clocks of resolved episodes: oldest unanswered customer message → reply or resolve."""
    return _clock_times(Metric.NEXT_RESPONSE, _episodes(conversations))


def resolution_time(conversations: Conversations) -> WallAndBusiness:
    """The resolution clocks of resolved episodes; business time leaves pauses out, wall time does not."""
    return _clock_times(Metric.RESOLUTION, _episodes(conversations))


def sla_attainment(conversations: Conversations, metric: Metric) -> Ratio:
    """Clocks met ÷ clocks ended; a clock met late has broken its promise, a cancelled one had none to keep."""
    return share(
        clock.state is ClockState.MET
        for episode in _episodes(conversations)
        for clock in episode.clocks
        if clock.metric is metric and clock.state in {ClockState.MET, ClockState.BREACHED}
    )


def speed_of_answer(conversations: Conversations) -> DurationSummary:
    """Queue entry → accept."""
    return summarize_durations(_waits(_episodes(conversations)))


def abandonment_rate(conversations: Conversations) -> Ratio:
    """Queued episodes whose customer left before an accept ÷ queued episodes."""
    return share(episode.abandoned for episode in _episodes(conversations) if episode.queued_at is not None)


def handle_time(conversations: Conversations) -> DurationSummary:
    """Assigned active time + wrap-up, per accepted episode."""
    return summarize_durations(
        episode.handle_time + episode.wrap_up_time
        for episode in _episodes(conversations)
        if episode.accepted_at is not None
    )


def reroute_rate(conversations: Conversations) -> Ratio:
    """Re-routes per conversation offered; may exceed 1."""
    return ratio(sum(episode.reroutes for episode in _episodes(conversations)), _offered(conversations))


def transfer_rate(conversations: Conversations) -> Ratio:
    """Transfers per conversation offered; may exceed 1."""
    return ratio(sum(episode.transfers for episode in _episodes(conversations)), _offered(conversations))


def decline_rate(conversations: Conversations) -> Ratio:
    """Declined offers per conversation offered; may exceed 1."""
    return ratio(sum(episode.declines for episode in _episodes(conversations)), _offered(conversations))


def offer_timeout_rate(conversations: Conversations) -> Ratio:
    """Timed-out offers per conversation offered; may exceed 1."""
    return ratio(sum(episode.timeouts for episode in _episodes(conversations)), _offered(conversations))


def misroute_rate(conversations: Conversations) -> Ratio:
    """Conversations transferred or re-routed for lack of fit ÷ conversations assigned."""
    return share(
        any(episode.misroutes for episode in conversation.in_range)
        for conversation in conversations
        if any(episode.accepted_at is not None for episode in conversation.in_range)
    )


def suggestion_acceptance(conversations: Conversations) -> Ratio:
    """Channel suggestions accepted ÷ offered."""
    episodes = tuple(_episodes(conversations))
    return ratio(
        sum(episode.suggestions_accepted for episode in episodes),
        sum(episode.suggestions_offered for episode in episodes),
    )


def suggestion_success(conversations: Conversations) -> Ratio:
    """Channel suggestions that led to a resolution on the channel suggested ÷ accepted."""
    episodes = tuple(_episodes(conversations))
    return ratio(
        sum(episode.suggestions_resolved_there for episode in episodes),
        sum(episode.suggestions_accepted for episode in episodes),
    )


def _resolved(conversations: Conversations) -> Conversations:
    return tuple(conversation for conversation in conversations if conversation.resolved is not None)


def _episodes(conversations: Conversations) -> Iterable[EpisodeRecord]:
    return (episode for conversation in conversations for episode in conversation.in_range)


def _channels(conversation: Conversation) -> set[str]:
    return {channel for episode in conversation.journey for channel in episode.channels}


def _offered(conversations: Conversations) -> int:
    return sum(any(episode.offers for episode in conversation.in_range) for conversation in conversations)


def _waits(episodes: Iterable[EpisodeRecord]) -> Iterable[timedelta]:
    return (
        elapsed(episode.queued_at, episode.accepted_at)
        for episode in episodes
        if episode.accepted_at is not None and episode.queued_at is not None
    )


def _unit_seconds(range_: TimeRange, span: HandledSpan) -> float:
    return time_within(range_, span.started_at, span.ended_at).total_seconds() * span.units


def _clock_times(metric: Metric, episodes: Iterable[EpisodeRecord]) -> WallAndBusiness:
    """Summarise clocks that were met, in time or late; an abandoned episode's were given up."""
    met = [
        (elapsed(clock.started_at, clock.ended_at), clock.business_time)
        for episode in episodes
        if not episode.abandoned
        for clock in episode.clocks
        if clock.metric is metric
        and clock.state in {ClockState.MET, ClockState.BREACHED}
        and clock.ended_at is not None
    ]
    return WallAndBusiness(
        summarize_durations(wall for wall, _ in met), summarize_durations(business for _, business in met)
    )
