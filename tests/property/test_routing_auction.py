from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from domain.routing.auction import NO_SLOT, slots_by_auction
from domain.routing.matching import match, takers
from domain.routing.model import AgentCapacity, SkillNeed, SoonFree, WaitingCase
from domain.routing.policy import RoutingPolicy, WideningStep
from domain.routing.success import SuccessLearner

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = 0.002
NOTHING_LEARNED = SuccessLearner().model()


@dataclass(frozen=True)
class Instance:
    gain: np.ndarray
    scale: np.ndarray
    server: np.ndarray
    cost: np.ndarray

    def total(self, slot: np.ndarray) -> float:
        held = np.flatnonzero(slot != NO_SLOT)
        at = slot[held]
        return float((self.gain[held, self.server[at]] - self.scale[held] * self.cost[at]).sum())

    def best(self) -> float:
        weight = np.maximum(self.gain[:, self.server] - self.scale[:, None] * self.cost[None, :], 0.0)
        rows, columns = linear_sum_assignment(weight, maximize=True)
        return float(weight[rows, columns].sum())


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Random gains, many alike or not allowed; servers with one to four places that grow in cost."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    cases, servers = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    kinds = draw(st.integers(1, 60))
    gain = rng.uniform(0.5, 2.0, (kinds, servers))[rng.integers(kinds, size=cases)]
    gain *= rng.choice((1.0, 3.0), (cases, 1))
    gain[rng.random(gain.shape) < draw(st.sampled_from((0.0, 0.3, 0.8)))] = -np.inf
    gain[np.arange(cases), rng.integers(servers, size=cases)] = 1.0
    places = rng.integers(1, 5, servers)
    server = np.repeat(np.arange(servers), places)
    nth = np.concatenate([np.arange(one) for one in places])
    return Instance(gain, np.ones(cases), server, 0.02 * nth)


@settings(max_examples=80, deadline=None)
@given(instances())
def test_an_auction_loses_no_more_than_a_bidding_step_a_case(instance: Instance) -> None:
    slot = slots_by_auction(instance.gain, instance.scale, instance.server, instance.cost, step=STEP)
    held = slot[slot != NO_SLOT]
    assert len(set(held.tolist())) == len(held)
    assert np.isfinite(instance.total(slot))
    step = STEP * float(np.median(instance.gain.max(axis=1)))
    assert instance.total(slot) >= instance.best() - len(instance.gain) * step - 1e-9


@settings(max_examples=15, deadline=None)
@given(cases=st.integers(20, 250), servers=st.integers(2, 60), kinds=st.integers(1, 4), seed=st.integers(0, 1_000))
def test_cases_and_servers_that_are_alike_are_no_harder(cases: int, servers: int, kinds: int, seed: int) -> None:
    """A new floor: nothing is known of anybody, so that many cases want all servers of their kind the same."""
    rng = np.random.default_rng(seed)
    fits = rng.integers(kinds, size=cases)[:, None] == rng.integers(kinds, size=servers)[None, :]
    fits[0, :] = True
    instance = Instance(
        np.where(fits, rng.choice((1.0, 1.2, 2.0), (cases, 1)), -np.inf)[fits.any(axis=1)],
        np.ones(int(fits.any(axis=1).sum())),
        np.repeat(np.arange(servers), 3),
        np.tile(0.03 * np.arange(3), servers),
    )
    slot = slots_by_auction(instance.gain, instance.scale, instance.server, instance.cost, step=STEP)
    step = STEP * float(np.median(instance.gain.max(axis=1)))
    assert instance.total(slot) >= instance.best() - len(instance.gain) * step - 1e-9


@settings(max_examples=25, deadline=None)
@given(instances())
def test_an_auction_repeats_itself(instance: Instance) -> None:
    first = slots_by_auction(instance.gain, instance.scale, instance.server, instance.cost, step=STEP)
    again = slots_by_auction(instance.gain, instance.scale, instance.server, instance.cost, step=STEP)
    assert (first == again).all()


def crowd(seed: int, size: int) -> tuple[list[WaitingCase], list[AgentCapacity]]:
    rng = np.random.default_rng(seed)
    skills, pools = ("billing", "fraud", "loans"), ("north", "south")
    cases = [
        WaitingCase(
            f"case-{at}",
            at,
            str(rng.choice(pools)),
            NOW - timedelta(seconds=int(rng.integers(900))),
            "web_chat",
            34,
            required_skills=(SkillNeed(str(rng.choice(skills)), int(rng.integers(1, 6))),),
            priority=int(rng.integers(1, 6)),
            affinity_agent=f"agent-{rng.integers(8)}" if rng.random() < 0.3 else None,
            excluded=frozenset({"agent-0"}) if rng.random() < 0.02 else frozenset(),
        )
        for at in range(size)
    ]
    staff = [
        AgentCapacity(
            f"agent-{at}",
            (str(rng.choice(pools)),),
            102,
            frozenset({"web_chat"}),
            load=int(rng.choice((0, 68, 102))),
            skills={str(one): int(rng.integers(1, 6)) for one in rng.choice(skills, 2, replace=False)},
        )
        for at in range(8)
    ]
    return cases, staff


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_in_a_long_queue_what_is_out_of_reach_can_be_left_out_without_any_loss(seed: int, forecast: bool) -> None:
    cases, staff = crowd(seed, 260)
    policy = RoutingPolicy(widening=(WideningStep(timedelta(minutes=5), 2),))
    soon = [SoonFree("agent-1", NOW + timedelta(minutes=1), 34)] if forecast else []
    told = match(cases, staff, policy, NOTHING_LEARNED, NOW, soon_free=soon)
    quick = match(cases, staff, policy, NOTHING_LEARNED, NOW, soon_free=soon, tell_unmatched=False)
    # Where two pairs of agents and cases are worth the same, either is an optimum.
    assert abs(quick.total_score - told.total_score) < 1e-6
    assert len(quick.decisions) == len(told.decisions)
    pairs = takers(cases, staff, policy, NOTHING_LEARNED, NOW, soon_free=soon)
    assert pairs == tuple((one.conversation_id, one.agent_id) for one in quick.decisions)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_a_queue_solved_by_auction_gets_the_equal_answer_in_any_order(seed: int, random: object) -> None:
    cases, staff = crowd(seed, 120)
    policy = RoutingPolicy(exact_pairs=0)
    first = match(cases, staff, policy, NOTHING_LEARNED, NOW)
    random.shuffle(cases)
    random.shuffle(staff)
    assert match(cases, staff, policy, NOTHING_LEARNED, NOW) == first
