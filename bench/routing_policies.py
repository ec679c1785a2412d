"""Routing policies side by side on real logs: `python bench/routing_policies.py --calls DIR --incidents FILE`.

DIR holds january.txt and february.txt of a call log; everything is learned and tuned on January, judged on February.
FILE is an incident log; learned on the first 60 % of the incidents, judged on the rest.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

from domain.routing.calibration import calibration
from domain.routing.presets import live_calls, tickets
from domain.routing.success import LearnedSuccess, Resolution, SuccessLearner, SuccessPrior
from simulator.routing import call_log, incident_log
from simulator.routing.baselines import (
    BestAvailable,
    FirstComeLongestIdle,
    GreedyBestPair,
    PriorityFirst,
    PunctualFirst,
    RoundRobin,
    ShortestPunctualFirst,
    SkillsWithTimeout,
)
from simulator.routing.bound import fluid_score, most_value
from simulator.routing.engine import Router, simulate
from simulator.routing.measures import Measures, Spread, measure, over_seeds
from simulator.routing.ours import WholeQueue

LEARNED_SHARE = 0.6
COLUMNS = ("score", "value", "on_time", "abandoned", "mean_wait", "p90_wait", "p95_wait", "success", "gini", "cost")


def learned(resolutions: Sequence[Resolution], mean: float) -> LearnedSuccess:
    learner = SuccessLearner(SuccessPrior(mean=mean))
    learner.learn_all(resolutions)
    return learner.model()


def routers(known: LearnedSuccess, ours: Callable[[], WholeQueue], timeout: timedelta) -> list[Callable[[], Router]]:
    return [
        FirstComeLongestIdle,
        RoundRobin,
        lambda: SkillsWithTimeout(known, timeout),
        lambda: BestAvailable(known),
        lambda: GreedyBestPair(known),
        PriorityFirst,
        PunctualFirst,
        ShortestPunctualFirst,
        ours,
    ]


def months(directory: Path) -> tuple[Sequence[call_log.LoggedCall], Sequence[call_log.LoggedCall]]:
    return call_log.read_calls(directory / "january.txt"), call_log.read_calls(directory / "february.txt")


def call_measures(directory: Path, seed: int) -> list[tuple[str, Measures]]:
    january, february = months(directory)
    known = learned(list(call_log.resolutions(january)), 0.7)
    truth = learned(list(call_log.resolutions(february)), 0.7)
    days = list(call_log.CallTraces.of(february, january).days(seed))
    some = routers(known, lambda: WholeQueue(live_calls(), known), timedelta(seconds=20))
    return [(router().name, measure([simulate(day, router()) for day in days], truth)) for router in some]


def incident_measures(path: Path, seed: int) -> list[tuple[str, Measures]]:
    history, judged = incident_parts(path)
    known = learned(list(incident_log.resolutions(history)), 0.8)
    truth = learned(list(incident_log.resolutions((*history, *judged))), 0.8)
    trace = incident_log.incident_trace(judged, history, seed=seed)
    some = routers(known, lambda: WholeQueue(tickets(), known), timedelta(minutes=30))
    return [(router().name, measure([simulate(trace, router())], truth)) for router in some]


def incident_parts(path: Path) -> tuple[Sequence[incident_log.LoggedIncident], Sequence[incident_log.LoggedIncident]]:
    incidents = incident_log.read_incidents(path)
    # A handful of incidents trickle in after the three months the log is about.
    last = incidents[0].opened_at + timedelta(days=92)
    incidents = tuple(one for one in incidents if one.opened_at < last)
    cut = int(len(incidents) * LEARNED_SHARE)
    return incidents[:cut], incidents[cut:]


def report(title: str, by_seed: Sequence[list[tuple[str, Measures]]], bound: float, bounded: str) -> None:
    print(f"\n{title}; {len(by_seed)} seeds, 95 % intervals; bound of {bounded}: {bound:.3f}")
    print("| policy | " + " | ".join(COLUMNS) + f" | {bounded} / bound |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for at, (name, _) in enumerate(by_seed[0]):
        spread = over_seeds([measured[at][1] for measured in by_seed])
        cells = [shown(spread[column], waits=column.endswith("wait") or column == "cost") for column in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + f" | {spread[bounded].mean / bound:.3f} |")


def shown(spread: Spread, *, waits: bool) -> str:
    digits = 1 if waits else 3
    half = "" if spread.half_width is None else f" ±{spread.half_width:.{digits}f}"
    return f"{spread.mean:.{digits}f}{half}"


def reproduction(directory: Path) -> None:
    """The log's own service beside first come, first served in the simulator."""
    january, february = months(directory)
    nothing = SuccessLearner().model()
    for name, calls in (("January", january), ("February", february)):
        answered = [call for call in calls if call.service is not None]
        punctual = sum(call.wait <= call_log.TARGET for call in answered) / len(calls)
        days = call_log.CallTraces.of(calls, january).days(1)
        simulated = measure([simulate(day, FirstComeLongestIdle()) for day in days], nothing)
        print(
            f"{name}: {len(calls)} calls; logged on time {punctual:.3f}, "
            f"abandoned {1 - len(answered) / len(calls):.3f}; "
            f"simulated {simulated.on_time:.3f}, {simulated.abandoned:.3f}"
        )


def prediction(path: Path) -> None:
    """How well P(success) of an incident's agent is predicted on incidents not seen."""
    history, judged = incident_parts(path)
    known = learned(list(incident_log.resolutions(history)), 0.8)
    asked = list(incident_log.resolutions(judged))
    estimates = [known.probability(one.agent_id, one.intent, one.product, one.segment, one.channel) for one in asked]
    resolved = [one.resolved for one in asked]
    for name, values in (("agent", [one.value for one in estimates]), ("team only", [one.team for one in estimates])):
        told = calibration(values, resolved)
        if told is not None:
            print(
                f"P(success), {name}: {told.cases} assignments, base rate {told.base_rate:.3f}, "
                f"Brier {told.brier:.4f} (base {told.base_brier:.4f}), log loss {told.log_loss:.4f}, "
                f"ECE {told.expected_error:.4f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=Path, help="a folder with january.txt and february.txt")
    parser.add_argument("--incidents", type=Path, help="an incident log, .csv or .zip")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    seeds = range(1, asked.seeds + 1)
    with ProcessPoolExecutor(asked.workers) as pool:
        if asked.calls is not None:
            reproduction(asked.calls)
            january, february = months(asked.calls)
            days = list(call_log.CallTraces.of(february, january).days(1))
            scores = list(pool.map(fluid_score, days))
            cases = sum(len(day.cases) for day in days)
            bound = sum(score * len(day.cases) for score, day in zip(scores, days, strict=True)) / cases
            report("Calls", list(pool.map(partial(call_measures, asked.calls), seeds)), bound, "score")
        if asked.incidents is not None:
            prediction(asked.incidents)
            history, judged = incident_parts(asked.incidents)
            truth = learned(list(incident_log.resolutions((*history, *judged))), 0.8)
            bound = most_value(incident_log.incident_trace(judged, history, seed=1), truth)
            report("Incidents", list(pool.map(partial(incident_measures, asked.incidents), seeds)), bound, "value")


if __name__ == "__main__":
    main()
