"""Routing policies side by side: `python bench/routing_policies.py --calls DIR --incidents FILE`.

DIR holds january.txt and february.txt of a call log: learned on one month, judged on the other, both ways round. The
preset `live_calls` was tuned on January. FILE is an incident log. The preset `tickets` was chosen on its last 40 %
(`--choose` prints such a comparison); it is judged on the part from 40 % to 60 %, which the choice never saw, and again
on the last 40 %. P(success) is learned each time only from what came before. With neither log, a small trace of our
own. `--quick` takes one seed and few days.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

# One thread a process: the arrays of a pass are small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from domain.routing.calibration import calibration
from domain.routing.policy import RoutingPolicy
from domain.routing.presets import live_calls, tickets
from domain.routing.success import LearnedSuccess, Resolution, SuccessLearner, SuccessPrior
from simulator.routing import call_log, incident_log
from simulator.routing.baselines import (
    BestAvailable,
    Bullseye,
    FirstComeLongestIdle,
    GeneralisedCMu,
    GreedyBestPair,
    HighestSpareCapacity,
    MaxWeight,
    PriorityFirst,
    PunctualFirst,
    RoundRobin,
    ShortestPunctualFirst,
    SkillsWithTimeout,
    SpecialistFirst,
    shares_of_intents,
)
from simulator.routing.bound import fluid_score, most_value
from simulator.routing.engine import Router, simulate
from simulator.routing.generated import generated_day, generated_resolutions
from simulator.routing.measures import Measures, Spread, measure, over_seeds
from simulator.routing.ours import WholeQueue
from simulator.routing.trace import Trace

MONTHS = ("january", "february")
UNSEEN, CHOSEN_ON = (0.4, 0.6), (0.6, 1.0)
WITHIN = 0.02
QUICK_EVERY = 4
COLUMNS = ("score", "value", "on_time", "abandoned", "mean_wait", "p90_wait", "p95_wait", "success", "gini", "cost")


@dataclass(frozen=True)
class Setting:
    """What the routers know, what is true, and the days they are judged on."""

    known: LearnedSuccess
    truth: LearnedSuccess
    history: Sequence[Resolution]
    traces: Sequence[Trace]
    timeout: timedelta
    policy: RoutingPolicy


def learned(resolutions: Sequence[Resolution], mean: float) -> LearnedSuccess:
    learner = SuccessLearner(SuccessPrior(mean=mean))
    learner.learn_all(resolutions)
    return learner.model()


def routers(setting: Setting) -> list[Callable[[], Router]]:
    known, timeout = setting.known, setting.timeout
    shares = shares_of_intents(setting.history)
    return [
        FirstComeLongestIdle,
        RoundRobin,
        HighestSpareCapacity,
        lambda: SkillsWithTimeout(known, timeout),
        lambda: Bullseye(known, timeout / 2),
        lambda: BestAvailable(known),
        lambda: GreedyBestPair(known),
        PriorityFirst,
        lambda: SpecialistFirst(shares),
        GeneralisedCMu,
        MaxWeight,
        PunctualFirst,
        ShortestPunctualFirst,
        lambda: WholeQueue(setting.policy, known),
    ]


def measured(setting: Setting) -> list[tuple[str, Measures]]:
    return [
        (router().name, measure([simulate(trace, router()) for trace in setting.traces], setting.truth))
        for router in routers(setting)
    ]


def some(days: Sequence[Trace], *, quick: bool) -> Sequence[Trace]:
    return days[::QUICK_EVERY] if quick else days


def calls_of(directory: Path, month: str) -> Sequence[call_log.LoggedCall]:
    return call_log.read_calls(directory / f"{month}.txt")


def call_days(directory: Path, judged: str, seed: int, *, quick: bool) -> Sequence[Trace]:
    calls, history = calls_of(directory, judged), calls_of(directory, other_month(judged))
    return some(list(call_log.CallTraces.of(calls, history).days(seed)), quick=quick)


def other_month(month: str) -> str:
    return MONTHS[1 - MONTHS.index(month)]


def call_measures(directory: Path, quick: bool, task: tuple[str, int]) -> list[tuple[str, Measures]]:
    judged, seed = task
    history = list(call_log.resolutions(calls_of(directory, other_month(judged))))
    truth = learned(list(call_log.resolutions(calls_of(directory, judged))), 0.7)
    days = call_days(directory, judged, seed, quick=quick)
    return measured(Setting(learned(history, 0.7), truth, history, days, timedelta(seconds=20), live_calls()))


def incidents_between(path: Path, start: float, end: float) -> Sequence[incident_log.LoggedIncident]:
    incidents = incident_log.read_incidents(path)
    # A handful of incidents trickle in after the three months the log is about.
    last = incidents[0].opened_at + timedelta(days=92)
    incidents = tuple(one for one in incidents if one.opened_at < last)
    return incidents[int(len(incidents) * start) : int(len(incidents) * end)]


def incident_setting(path: Path, start: float, end: float, policy: RoutingPolicy, seed: int) -> Setting:
    """Learned on all before `start`, judged from there to `end`, as shares of the log."""
    before, judged = incidents_between(path, 0.0, start), incidents_between(path, start, end)
    history = list(incident_log.resolutions(before))
    truth = learned(list(incident_log.resolutions((*before, *judged))), 0.8)
    trace = incident_log.incident_trace(judged, before, seed=seed)
    return Setting(learned(history, 0.8), truth, history, [trace], timedelta(minutes=30), policy)


def incident_measures(path: Path, part: tuple[float, float], seed: int) -> list[tuple[str, Measures]]:
    return measured(incident_setting(path, *part, tickets(), seed))


def candidates() -> list[tuple[str, RoutingPolicy]]:
    """What a preset for tickets may be chosen among: `tickets` and its neighbours."""
    base = tickets()
    urgency, costs, fit = base.urgency, base.costs, base.fit
    return [
        ("tickets", base),
        *((f"idle {one:g}", replace(base, costs=replace(costs, idle=one))) for one in (1.0, 2.0)),
        *((f"success {one:g}", replace(base, fit=replace(fit, success=one))) for one in (1.0, 4.0)),
        *(
            (f"horizon {one} h", replace(base, urgency=replace(urgency, breach_horizon=timedelta(hours=one))))
            for one in (4, 24)
        ),
        *(
            (f"half-life {one} h", replace(base, urgency=replace(urgency, late_half_life=timedelta(hours=one))))
            for one in (6, 96)
        ),
        *((f"breach {one:g}", replace(base, urgency=replace(urgency, breach=one))) for one in (2.0, 15.0)),
        *((f"longest {one} h", replace(base, longest_wait=timedelta(hours=one))) for one in (40, 72)),
    ]


def chosen_among(path: Path, task: tuple[int, int]) -> Measures:
    number, seed = task
    setting = incident_setting(path, *CHOSEN_ON, candidates()[number][1], seed)
    return measure([simulate(setting.traces[0], WholeQueue(setting.policy, setting.known))], setting.truth)


def generated_measures(quick: bool, seed: int) -> list[tuple[str, Measures]]:
    traces = [generated_day(seed=seed, cases=300 if quick else 900, agents=12)]
    history = generated_resolutions(seed=seed, agents=12, count=2_000)
    truth = learned(generated_resolutions(seed=seed, agents=12, count=20_000), 0.7)
    return measured(Setting(learned(history, 0.7), truth, history, traces, timedelta(seconds=20), live_calls()))


def report(title: str, by_seed: Sequence[list[tuple[str, Measures]]], bound: float, bounded: str) -> None:
    print(f"\n{title}; {len(by_seed)} seeds, 95 % intervals (Student); bound of {bounded}: {bound:.3f}")
    print("| policy | " + " | ".join(COLUMNS) + f" | {bounded} / bound |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for at, (name, _) in enumerate(by_seed[0]):
        spread = over_seeds([one[at][1] for one in by_seed])
        cells = [shown(spread[column], waits=column.endswith("wait") or column == "cost") for column in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + f" | {spread[bounded].mean / bound:.3f} |", flush=True)


def shown(spread: Spread, *, waits: bool) -> str:
    digits = 1 if waits else 3
    half = "" if spread.half_width is None else f" ±{spread.half_width:.{digits}f}"
    return f"{spread.mean:.{digits}f}{half}"


def reproduction(directory: Path) -> None:
    """The log's own service beside first come, first served in the simulator."""
    nothing = SuccessLearner().model()
    for month in MONTHS:
        calls = calls_of(directory, month)
        answered = [call for call in calls if call.service is not None]
        punctual = sum(call.wait <= call_log.TARGET for call in answered) / len(calls)
        lost = 1 - len(answered) / len(calls)
        days = call_days(directory, month, 1, quick=False)
        simulated = measure([simulate(day, FirstComeLongestIdle()) for day in days], nothing)
        near = max(abs(simulated.on_time - punctual), abs(simulated.abandoned - lost)) <= WITHIN
        print(
            f"{month}: {len(calls)} calls; logged on time {punctual:.3f}, abandoned {lost:.3f}; "
            f"simulated {simulated.on_time:.3f}, {simulated.abandoned:.3f}: "
            f"{'within' if near else 'NOT within'} {WITHIN:.0%}",
            flush=True,
        )


def prediction(path: Path) -> None:
    """How well P(success) of an incident's agent is predicted on incidents not seen."""
    setting = incident_setting(path, *CHOSEN_ON, tickets(), 1)
    asked = list(incident_log.resolutions(incidents_between(path, *CHOSEN_ON)))
    estimates = [
        setting.known.probability(one.agent_id, one.intent, one.product, one.segment, one.channel) for one in asked
    ]
    resolved = [one.resolved for one in asked]
    for name, values in (("agent", [one.value for one in estimates]), ("team only", [one.team for one in estimates])):
        told = calibration(values, resolved)
        if told is not None:
            print(
                f"P(success), {name}: {told.cases} assignments, base rate {told.base_rate:.3f}, "
                f"Brier {told.brier:.4f} (base {told.base_brier:.4f}), log loss {told.log_loss:.4f}, "
                f"ECE {told.expected_error:.4f}"
            )


def of_calls(pool: ProcessPoolExecutor, directory: Path, seeds: Sequence[int], *, quick: bool) -> None:
    reproduction(directory)
    for judged in reversed(MONTHS):
        days = call_days(directory, judged, 1, quick=quick)
        tasks = [(judged, seed) for seed in seeds]
        found = list(pool.map(partial(call_measures, directory, quick), tasks))
        scores = list(pool.map(fluid_score, days))
        cases = sum(len(day.cases) for day in days)
        bound = sum(score * len(day.cases) for score, day in zip(scores, days, strict=True)) / cases
        report(f"Calls, learned on {other_month(judged)}, judged on {judged} ({cases} calls)", found, bound, "score")


def of_incidents(pool: ProcessPoolExecutor, path: Path, seeds: Sequence[int]) -> None:
    prediction(path)
    for part, said in ((UNSEEN, "not seen when the preset was chosen"), (CHOSEN_ON, "the preset was chosen here")):
        setting = incident_setting(path, *part, tickets(), 1)
        bound = most_value(setting.traces[0], setting.truth)
        found = list(pool.map(partial(incident_measures, path, part), seeds))
        share = f"{part[0]:.0%} to {part[1]:.0%}, {len(setting.traces[0].cases)} judged"
        report(f"Incidents, {share}; {said}", found, bound, "value")


def choice(pool: ProcessPoolExecutor, path: Path, seeds: Sequence[int]) -> None:
    some_policies = candidates()
    tasks = [(number, seed) for number in range(len(some_policies)) for seed in seeds]
    found = list(pool.map(partial(chosen_among, path), tasks))
    print(f"\nCandidates for `tickets` on the part from {CHOSEN_ON[0]:.0%} to {CHOSEN_ON[1]:.0%}")
    print("| candidate | value | on_time | success | mean_wait | p95_wait | gini |\n|---|---|---|---|---|---|---|")
    for number, (name, _) in enumerate(some_policies):
        spread = over_seeds([one for (at, _), one in zip(tasks, found, strict=True) if at == number])
        columns = ("value", "on_time", "success", "mean_wait", "p95_wait", "gini")
        print(f"| {name} | " + " | ".join(shown(spread[one], waits=one.endswith("wait")) for one in columns) + " |")


def of_generated(pool: ProcessPoolExecutor, seeds: Sequence[int], *, quick: bool) -> None:
    found = list(pool.map(partial(generated_measures, quick), seeds))
    bound = fluid_score(generated_day(seed=seeds[0], cases=300 if quick else 900, agents=12))
    report("A trace of our own", found, bound, "score")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, help="a folder with january.txt and february.txt")
    parser.add_argument("--incidents", type=Path, help="an incident log, .csv or .zip")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one seed, every fourth day")
    parser.add_argument("--choose", action="store_true", help="compare `tickets` with its neighbours")
    asked = parser.parse_args()
    seeds = range(1, 2 if asked.quick else asked.seeds + 1)
    with ProcessPoolExecutor(asked.workers) as pool:
        if asked.calls is not None:
            of_calls(pool, asked.calls, seeds, quick=asked.quick)
        if asked.incidents is not None:
            of_incidents(pool, asked.incidents, seeds)
            if asked.choose:
                choice(pool, asked.incidents, seeds)
        if asked.calls is None and asked.incidents is None:
            of_generated(pool, seeds, quick=asked.quick)


if __name__ == "__main__":
    main()
