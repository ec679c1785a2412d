"""The KPI report of a time range, computed straight from the records: what any faster computation must equal."""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.kpis import definitions as kpi
from domain.kpis.definitions import Conversations, DerivedEffort, WallAndBusiness
from domain.kpis.figures import DurationSummary, Ratio, ScoreSummary
from domain.kpis.records import EpisodeRecord, HandledSpan, Opening, PresenceSpan, TimeRange
from domain.kpis.scope import AGENT_DIMENSIONS, Dimension, GroupKey, agent_group, conversations_in
from domain.sla.policy import Metric


@dataclass(frozen=True, slots=True)
class Attainment:
    """How often the promise of one metric was kept."""

    metric: Metric
    kept: Ratio


@dataclass(frozen=True, slots=True)
class Kpis:
    """All KPIs of one set of conversations; each is defined where `domain.kpis.definitions` names it."""

    conversations: int
    resolved: int
    channel_deflection_rate: Ratio
    context_preservation_score: Ratio
    context_preservation_per_conversation: ScoreSummary
    cross_channel_resolution_time: WallAndBusiness
    customer_effort_score: ScoreSummary
    effort_answer_rate: Ratio
    derived_effort: DerivedEffort
    agent_utilization_efficiency: Ratio
    occupancy: Ratio
    mean_expertise_match: Ratio
    first_contact_resolution: Ratio
    first_response_time: WallAndBusiness
    next_response_time: WallAndBusiness
    resolution_time: WallAndBusiness
    sla_attainment: tuple[Attainment, ...]
    speed_of_answer: DurationSummary
    abandonment_rate: Ratio
    handle_time: DurationSummary
    reroute_rate: Ratio
    transfer_rate: Ratio
    decline_rate: Ratio
    offer_timeout_rate: Ratio
    misroute_rate: Ratio
    suggestion_acceptance: Ratio
    suggestion_success: Ratio


@dataclass(frozen=True, slots=True)
class KpiGroup:
    """The KPIs of one group; `key` has one value per dimension of the report."""

    key: GroupKey
    kpis: Kpis


@dataclass(frozen=True, slots=True)
class KpiReport:
    """The KPIs of a range, over all and by group."""

    range: TimeRange
    group_by: tuple[Dimension, ...]
    overall: Kpis
    groups: tuple[KpiGroup, ...]


def compute_kpis(
    range_: TimeRange,
    episodes: Iterable[EpisodeRecord],
    openings: Iterable[Opening] = (),
    presence: Iterable[PresenceSpan] = (),
    handled: Iterable[HandledSpan] = (),
    group_by: tuple[Dimension, ...] = (),
) -> KpiReport:
    """Return every KPI of a range by resolution time.

    `episodes` are all that may matter: those that ended in the range, earlier ones of the same conversations and, for
    returns, those opened up to 7 days after it; `openings` add episodes that have not ended. Utilisation can only be
    cut by pool and agent; in groups by anything else it has no value.
    """
    conversations = conversations_in(range_, episodes, openings)
    present, held = tuple(presence), tuple(handled)
    keys: set[GroupKey] = set()
    if group_by:
        keys.update(conversation.group(group_by) for conversation in conversations)
    by_agents = bool(group_by) and AGENT_DIMENSIONS.issuperset(group_by)
    if by_agents:
        keys.update(agent_group(span, group_by) for span in present)
        keys.update(agent_group(span, group_by) for span in held)
    return KpiReport(
        range=range_,
        group_by=group_by,
        overall=_kpis(range_, conversations, present, held),
        groups=tuple(
            KpiGroup(
                key,
                _kpis(
                    range_,
                    tuple(conversation for conversation in conversations if conversation.group(group_by) == key),
                    tuple(span for span in present if by_agents and agent_group(span, group_by) == key),
                    tuple(span for span in held if by_agents and agent_group(span, group_by) == key),
                ),
            )
            for key in sorted(keys, key=lambda key: [(value is None, value or "") for value in key])
        ),
    )


def _kpis(
    range_: TimeRange,
    conversations: Conversations,
    presence: tuple[PresenceSpan, ...],
    handled: tuple[HandledSpan, ...],
) -> Kpis:
    return Kpis(
        conversations=len(conversations),
        resolved=sum(conversation.resolved is not None for conversation in conversations),
        channel_deflection_rate=kpi.channel_deflection_rate(conversations),
        context_preservation_score=kpi.context_preservation_score(conversations),
        context_preservation_per_conversation=kpi.context_preservation_per_conversation(conversations),
        cross_channel_resolution_time=kpi.cross_channel_resolution_time(conversations),
        customer_effort_score=kpi.customer_effort_score(conversations),
        effort_answer_rate=kpi.effort_answer_rate(conversations),
        derived_effort=kpi.derived_effort(conversations),
        agent_utilization_efficiency=kpi.agent_utilization_efficiency(range_, presence, handled),
        occupancy=kpi.occupancy(range_, presence, handled),
        mean_expertise_match=kpi.mean_expertise_match(range_, handled),
        first_contact_resolution=kpi.first_contact_resolution(conversations),
        first_response_time=kpi.first_response_time(conversations),
        next_response_time=kpi.next_response_time(conversations),
        resolution_time=kpi.resolution_time(conversations),
        sla_attainment=tuple(Attainment(metric, kpi.sla_attainment(conversations, metric)) for metric in Metric),
        speed_of_answer=kpi.speed_of_answer(conversations),
        abandonment_rate=kpi.abandonment_rate(conversations),
        handle_time=kpi.handle_time(conversations),
        reroute_rate=kpi.reroute_rate(conversations),
        transfer_rate=kpi.transfer_rate(conversations),
        decline_rate=kpi.decline_rate(conversations),
        offer_timeout_rate=kpi.offer_timeout_rate(conversations),
        misroute_rate=kpi.misroute_rate(conversations),
        suggestion_acceptance=kpi.suggestion_acceptance(conversations),
        suggestion_success=kpi.suggestion_success(conversations),
    )
