"""How long one pass takes as the queue grows, and what the auction loses: `python bench/routing_scale.py`.

Times are of the processor, not of the clock: what else the machine does must not show.
"""

import argparse
import os
import random
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

# One thread: the solver's arrays are small, and threads that spin beside other work only cost time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from domain.routing.matching import match
from domain.routing.model import AgentCapacity, Matching, SkillNeed, WaitingCase
from domain.routing.policy import RoutingPolicy, WideningStep
from domain.routing.queue import WaitingQueue
from domain.routing.success import LearnedSuccess, Resolution, SuccessLearner
from workers.garbage import leave_what_is_loaded

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POOLS = ("north", "south", "east", "west")
SKILLS = tuple(f"skill-{at}" for at in range(12))
LANGUAGES = ("en", "fr", "de")
INTENTS = tuple(f"intent-{at}" for at in range(30))
POLICY = RoutingPolicy(
    version="bench", widening=(WideningStep(timedelta(minutes=5), 1), WideningStep(timedelta(minutes=10), 1, 1))
)


def staff(size: int, rng: random.Random) -> list[AgentCapacity]:
    agents = []
    for at in range(size):
        home = rng.choice(POOLS)
        second = (rng.choice(POOLS),) if rng.random() < 0.3 else ()
        agents.append(
            AgentCapacity(
                agent_id=f"agent-{at}",
                pools=(home, *second),
                capacity=102,
                accepts=frozenset({"web_chat", "email"}),
                skills={skill: rng.randint(1, 5) for skill in rng.sample(SKILLS, 4)},
                languages=frozenset(rng.sample(LANGUAGES, 2)),
                last_assigned_at=NOW - timedelta(seconds=rng.random() * 3600),
            )
        )
    return agents


def waiting(size: int, agents: int, rng: random.Random, *, mixed: bool) -> list[WaitingCase]:
    return [
        WaitingCase(
            conversation_id=f"case-{at}",
            ticket=at,
            pool=rng.choice(POOLS),
            queued_at=NOW - timedelta(seconds=rng.random() * 900),
            channel="email" if (email := mixed and rng.random() < 0.4) else "web_chat",
            units=15 if email else 34,
            required_skills=tuple(
                SkillNeed(skill, rng.choice((1, 2))) for skill in rng.sample(SKILLS, rng.choice((0, 1, 1)))
            ),
            languages=frozenset({rng.choice(LANGUAGES)}),
            priority=rng.randint(1, 5),
            value_weight=rng.choice((0.5, 1.0, 1.0, 2.0)),
            intent=rng.choice(INTENTS),
            affinity_agent=f"agent-{rng.randrange(agents)}" if rng.random() < 0.2 else None,
            affinity_at=NOW - timedelta(days=3),
        )
        for at in range(size)
    ]


def experience(agents: int, rng: random.Random) -> LearnedSuccess:
    learner = SuccessLearner()
    able = [rng.uniform(0.4, 0.95) for _ in range(agents)]
    for _ in range(20_000):
        agent = rng.randrange(agents)
        learner.learn(
            Resolution(f"agent-{agent}", rng.choice(INTENTS), None, "", "web_chat", rng.random() < able[agent], NOW)
        )
    return learner.model()


def timed(work: Callable[[], Matching], times: int) -> tuple[float, float, Matching]:
    """The best and the median of several runs, in seconds of processor time, and the answer."""
    spent = []
    answer = work()
    for _ in range(times):
        start = time.process_time()
        answer = work()
        spent.append(time.process_time() - start)
    return min(spent), statistics.median(spent), answer


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_048_576


def loss(cases: int, agents: int, seed: int) -> float:
    """The share of the exact total that the auction loses."""
    rng = random.Random(seed)
    people, queue = staff(agents, rng), waiting(cases, agents, rng, mixed=False)
    success = experience(agents, rng)
    exact = match(queue, people, replace(POLICY, exact_pairs=10**9), success, NOW).total_score
    sold = match(queue, people, replace(POLICY, exact_pairs=0), success, NOW).total_score
    return 1 - sold / exact


def growth(cases: int, agents: int, times: int) -> None:
    rng = random.Random(7)
    people, queue = staff(agents, rng), WaitingQueue(waiting(cases, agents, rng, mixed=False))
    success = experience(agents, rng)
    best, median, answer = timed(lambda: match(queue, people, POLICY, success, NOW), times)
    busy = [replace(agent, load=68 if at == 0 else 102) for at, agent in enumerate(people)]
    freed, freed_median, _ = timed(lambda: match(queue, busy, POLICY, success, NOW, tell_unmatched=False), times * 4)
    print(
        f"| {cases} | {agents} | {best:.3f} | {median:.3f} | {freed * 1e3:.1f} | {freed_median * 1e3:.1f} "
        f"| {len(answer.decisions)} | {peak_gigabytes():.2f} |",
        flush=True,
    )


def mixed_units(cases: int, agents: int, times: int) -> None:
    rng = random.Random(7)
    people, queue = staff(agents, rng), WaitingQueue(waiting(cases, agents, rng, mixed=True))
    success = experience(agents, rng)
    best, median, answer = timed(lambda: match(queue, people, POLICY, success, NOW), times)
    print(f"| {cases} | {agents} | {best:.3f} | {median:.3f} | {len(answer.decisions)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    leave_what_is_loaded()  # as the dispatcher does
    print("| waiting | agents | pass, best s | median s | one freed slot, best ms | median ms | decided | peak GB |")
    print("|---|---|---|---|---|---|---|---|")
    sizes = ((100, 10), (300, 30), (1_000, 100), (3_000, 300), (5_000, 500), (10_000, 1_000))
    for cases, agents in sizes:
        growth(cases, agents, asked.times)
    print("\nUnits of 15 and 34 mixed\n| waiting | agents | pass, best s | median s | decided |\n|---|---|---|---|---|")
    for cases, agents in sizes[::2] + sizes[-1:]:
        mixed_units(cases, agents, asked.times)
    print("\n| waiting | agents | lost against exact, worst of 3 |\n|---|---|---|")
    for cases, agents in ((300, 50), (600, 100), (1_000, 150)):
        print(f"| {cases} | {agents} | {max(loss(cases, agents, seed) for seed in range(3)):.4%} |")


if __name__ == "__main__":
    main()
