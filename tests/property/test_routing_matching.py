from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.routing.demand import needs_at
from domain.routing.matching import match
from domain.routing.model import AgentCapacity, Matching, SkillNeed, SuccessEstimate, WaitingCase
from domain.routing.policy import CostWeights, FitWeights, RoutingPolicy, UrgencyWeights, WaitingWorth, WideningStep

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SKILLS = ("billing", "fraud", "loans")
CHANNELS = ("email", "web_chat", "voice")
POOLS = ("north", "south")
COST = {"email": 15, "web_chat": 34, "voice": 100}
WIDENING = (WideningStep(timedelta(minutes=5), 1), WideningStep(timedelta(minutes=10), 1, 1, ("south",)))


class TableOfSuccess:
    """A probability for each agent and intent, drawn once."""

    version = "table-1"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _value(self, agent_id: str, intent: str | None) -> float:
        return float(np.random.default_rng([self._seed, *map(ord, agent_id + (intent or ""))]).uniform(0.2, 0.95))

    def probability(self, agent_id, intent, product, segment, channel):  # noqa: ANN001, ANN201, ARG002 - the protocol's
        return SuccessEstimate(self._value(agent_id, intent), 0.6, 20, 0.05)

    def probabilities(self, agent_ids, intent, product, segment, channel):  # noqa: ANN001, ANN201, ARG002 - the protocol's
        return np.array([self._value(one, intent) for one in agent_ids]), np.full(len(agent_ids), 0.05)


def cases(channels: tuple[str, ...] = CHANNELS, most: int = 6) -> st.SearchStrategy[list[WaitingCase]]:
    needs = st.lists(st.builds(SkillNeed, st.sampled_from(SKILLS), st.integers(1, 5)), max_size=2)
    one = st.tuples(
        st.sampled_from(POOLS),
        st.sampled_from(channels),
        st.integers(0, 1200),
        needs,
        st.frozensets(st.sampled_from(("en", "fr")), max_size=2),
        st.integers(1, 5),
        st.sampled_from(("a", "b")),
        st.frozensets(st.sampled_from(("agent-0", "agent-1")), max_size=1),
        st.sampled_from((None, "agent-0", "agent-2")),
        st.sampled_from((0.5, 1.0, 3.0)),
    )

    def built(rows: list[tuple]) -> list[WaitingCase]:
        return [
            WaitingCase(
                f"case-{at}",
                at,
                pool,
                NOW - timedelta(seconds=waited),
                channel,
                COST[channel],
                required_skills=tuple(needs),
                languages=languages,
                priority=priority,
                intent=intent,
                excluded=excluded,
                affinity_agent=affine,
                value_weight=value,
            )
            for at, (pool, channel, waited, needs, languages, priority, intent, excluded, affine, value) in enumerate(
                rows
            )
        ]

    return st.lists(one, max_size=most).map(built)


def agents(most: int = 4, capacity: int = 100) -> st.SearchStrategy[list[AgentCapacity]]:
    one = st.tuples(
        st.lists(st.sampled_from(POOLS), min_size=1, max_size=2, unique=True),
        st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 5)),
        st.frozensets(st.sampled_from(("en", "fr")), min_size=1),
        st.integers(0, capacity),
        st.frozensets(st.sampled_from(CHANNELS), min_size=1),
        st.dictionaries(st.sampled_from(CHANNELS), st.integers(0, 3), max_size=1),
        st.integers(0, 3600),
        st.dictionaries(st.sampled_from(("a", "b")), st.sampled_from((-1.0, 0.5, 1.0)), max_size=2),
    )

    def built(rows: list[tuple]) -> list[AgentCapacity]:
        return [
            AgentCapacity(
                f"agent-{at}",
                tuple(pools),
                capacity,
                accepts,
                load=load,
                skills=skills,
                languages=languages,
                channel_ceilings=ceilings,
                last_assigned_at=NOW - timedelta(seconds=idle),
                preferences=preferences,
            )
            for at, (pools, skills, languages, load, accepts, ceilings, idle, preferences) in enumerate(rows)
        ]

    return st.lists(one, max_size=most).map(built)


def keeps_the_rules(matching: Matching, queue: list[WaitingCase], staff: list[AgentCapacity]) -> None:
    by_case = {case.conversation_id: case for case in queue}
    by_agent = {agent.agent_id: agent for agent in staff}
    load = {agent.agent_id: agent.load for agent in staff}
    held: dict[tuple[str, str], int] = {}
    for decision in matching.decisions:
        case, agent = by_case[decision.conversation_id], by_agent[decision.agent_id]
        waited = NOW - case.queued_at
        reached = [step for step in WIDENING if step.after <= waited]
        relaxed = reached[-1] if reached else WideningStep(timedelta())
        load[agent.agent_id] += case.units
        held[agent.agent_id, case.channel] = held.get((agent.agent_id, case.channel), 0) + 1
        assert case.channel in agent.accepts
        assert not case.languages or case.languages & agent.languages
        assert agent.agent_id not in case.excluded
        assert {case.pool, *relaxed.extra_pools} & set(agent.pools)
        for need in needs_at(case.required_skills, relaxed.lower_levels, relaxed.drop_skills):
            assert agent.skills.get(need.skill, 0) >= need.level
        assert abs(sum(part.value for part in decision.parts) - decision.score) < 1e-9
        assert abs(sum(part.value for part in decision.urgency_parts) - decision.urgency) < 1e-9
        assert decision.waited == waited
    for agent in staff:
        assert load[agent.agent_id] <= max(agent.capacity, agent.load)
        for channel, ceiling in agent.channel_ceilings.items():
            assert held.get((agent.agent_id, channel), 0) <= ceiling
    told = [one.conversation_id for one in (*matching.decisions, *matching.unmatched)]
    assert sorted(told) == sorted(by_case)


@settings(deadline=None)
@given(cases(most=10), agents(), st.integers(0, 5))
def test_a_pass_keeps_every_hard_constraint_and_names_every_case_once(
    queue: list[WaitingCase], staff: list[AgentCapacity], seed: int
) -> None:
    keeps_the_rules(match(queue, staff, RoutingPolicy(widening=WIDENING), TableOfSuccess(seed), NOW), queue, staff)


@settings(deadline=None)
@given(cases(most=10), agents(), st.integers(0, 5))
def test_large_instances_solved_by_prices_keep_the_same_rules(
    queue: list[WaitingCase], staff: list[AgentCapacity], seed: int
) -> None:
    policy = RoutingPolicy(widening=WIDENING, exact_pairs=0)
    keeps_the_rules(match(queue, staff, policy, TableOfSuccess(seed), NOW), queue, staff)


@settings(deadline=None)
@given(cases(), agents(), st.randoms(use_true_random=False))
def test_equal_input_in_any_order_gets_the_equal_answer(
    queue: list[WaitingCase], staff: list[AgentCapacity], random: object
) -> None:
    policy = RoutingPolicy(widening=WIDENING)
    first = match(queue, staff, policy, TableOfSuccess(1), NOW)
    shuffled, others = list(queue), list(staff)
    random.shuffle(shuffled)
    random.shuffle(others)
    assert match(shuffled, others, policy, TableOfSuccess(1), NOW) == first


PLAIN = RoutingPolicy(
    epsilon=0.0,
    costs=CostWeights(load=0.0, idle=0.1),
    waiting=WaitingWorth(affinity_wait=timedelta()),
    urgency=UrgencyWeights(least=1.0),
    fit=FitWeights(continuity=0.2),
)


def every_assignment(queue: list[WaitingCase], staff: list[AgentCapacity], policy: RoutingPolicy, seed: int) -> float:
    """The best total by trying all: each case to each agent or to nobody, pair scores read from passes of one pair."""
    scores = {}
    for case, agent in product(queue, staff):
        found = match([case], [agent], policy, TableOfSuccess(seed), NOW).decisions
        if found:
            scores[case.conversation_id, agent.agent_id] = found[0].score
    best = 0.0
    for chosen in product((None, *staff), repeat=len(queue)):
        load = {agent.agent_id: agent.load for agent in staff}
        room = {(agent.agent_id, channel): n for agent in staff for channel, n in agent.channel_ceilings.items()}
        total = 0.0
        for case, agent in zip(queue, chosen, strict=True):
            if agent is None:
                continue
            total += scores.get((case.conversation_id, agent.agent_id), -1e9)
            load[agent.agent_id] += case.units
            key = (agent.agent_id, case.channel)
            room[key] = room.get(key, 99) - 1
        if (
            all(load[one.agent_id] <= max(one.capacity, one.load) for one in staff)
            and min(room.values(), default=0) >= 0
        ):
            best = max(best, total)
    return best


@settings(max_examples=40, deadline=None)
@given(cases(most=4), agents(most=3), st.integers(0, 5))
def test_small_queues_get_the_best_of_all_assignments_with_mixed_units_and_ceilings(
    queue: list[WaitingCase], staff: list[AgentCapacity], seed: int
) -> None:
    answer = match(queue, staff, PLAIN, TableOfSuccess(seed), NOW)
    assert abs(answer.total_score - every_assignment(queue, staff, PLAIN, seed)) < 1e-6


@settings(deadline=None)
@given(cases(most=8), agents(most=3), st.integers(0, 5))
def test_one_more_agent_never_lowers_the_total(queue: list[WaitingCase], staff: list[AgentCapacity], seed: int) -> None:
    free = AgentCapacity("one-more", POOLS, 100, frozenset(CHANNELS), skills=dict.fromkeys(SKILLS, 3))
    before = match(queue, staff, PLAIN, TableOfSuccess(seed), NOW).total_score
    assert match(queue, [*staff, free], PLAIN, TableOfSuccess(seed), NOW).total_score >= before - 1e-6


@settings(deadline=None)
@given(cases(channels=("voice",), most=5), agents(most=4), st.integers(0, 5), st.sampled_from((0.01, 0.05, 0.2)))
def test_a_preference_never_costs_a_customer_more_than_epsilon(
    queue: list[WaitingCase], staff: list[AgentCapacity], seed: int, epsilon: float
) -> None:
    success = TableOfSuccess(seed)
    blind = match(queue, staff, replace(PLAIN, epsilon=0.0), success, NOW)
    wished = match(queue, staff, replace(PLAIN, epsilon=epsilon), success, NOW)
    before = {one.conversation_id: one for one in blind.decisions}
    assert before.keys() == {one.conversation_id for one in wished.decisions}
    for one in wished.decisions:
        other = before[one.conversation_id]
        assert one.score / one.urgency >= other.score / other.urgency - epsilon - 1e-6
        assert one.success.value + 0.2 >= other.success.value - epsilon - 1e-6


@settings(deadline=None)
@given(cases(most=8), st.integers(0, 5))
def test_with_a_bound_on_the_wait_whoever_passed_it_goes_first(queue: list[WaitingCase], seed: int) -> None:
    bound = timedelta(minutes=10)
    open_to_all = [
        replace(
            case,
            required_skills=(),
            languages=frozenset(),
            excluded=frozenset(),
            pool="north",
            channel="voice",
            units=100,
        )
        for case in queue
    ]
    free = [AgentCapacity("only", ("north",), 100, frozenset({"voice"}))]
    answer = match(open_to_all, free, replace(PLAIN, longest_wait=bound), TableOfSuccess(seed), NOW)
    over = {case.conversation_id for case in open_to_all if NOW - case.queued_at > bound}
    if over:
        assert answer.decisions[0].conversation_id in over
