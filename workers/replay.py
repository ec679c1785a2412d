"""`baton replay`: the decisions of a period once more, under another policy or another staffing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from domain.routing.from_settings import policy_of
from domain.routing.model import WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.routing.presets import PRESETS
from domain.routing.success import SuccessLearner
from simulator.routing.recorded import Comparison, PoolPolicies, RecordedAgent, RecordedCase, compare
from simulator.routing.trace import Presence
from storage.database import Database
from storage.ledger.case_facts import read_settings
from storage.ledger.routing_history import DecidedCase, OnlineAgent, decided_between, routing_history
from storage.ledger.success_history import HistoryPosition, ended_since

_EPISODES: Final = 100_000
_DEFAULT_WORK: Final = timedelta(minutes=5)


class NothingToReplayError(Exception):
    """There is nothing to replay, or what was asked for cannot be understood; the text says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`policies` are files or names of presets, POOL=NAME for a pool alone; what is left out is as it is in force.

    `without` and `twin` change the staff.
    """

    policies: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    without: tuple[str, ...] = ()
    twin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """`recorded_policies` are the versions that decided then, `present_policies` and `other_policies` those that the
    simulator ran, the general one first; `unrecorded` and `by_hand` could not be replayed.
    """

    since: datetime
    until: datetime
    decisions: int
    unrecorded: int
    by_hand: int
    recorded_policies: tuple[str, ...]
    present_policies: tuple[str, ...]
    other_policies: tuple[str, ...]
    comparison: Comparison


async def present_policies(database: Database) -> PoolPolicies:
    """What the settings in force mean."""
    async with database.ledger.connection() as connection:
        settings = await read_settings(connection)
    return PoolPolicies(policy_of(settings), {pool: policy_of(settings, pool) for pool in settings.routing_presets})


async def replay(database: Database, asked: Asked) -> Replayed:
    """Simulate the period as it was and as it would have been.

    Raises:
        NothingToReplayError: no decision of the period can be replayed, or a policy or agent asked for is not known.
    """
    span = await decided_between(database)
    if span is None:
        raise NothingToReplayError("nothing was decided yet")
    first, last, now = span
    since = asked.since or first
    until = asked.until or min(now, last + timedelta(days=1))
    history = await routing_history(database, since, until)
    present = await present_policies(database)
    other = other_policies(present, asked.policies)
    learner = SuccessLearner()
    learner.learn_all((await ended_since(database, HistoryPosition(), at_most=_EPISODES)).resolutions)
    cases = recorded_cases(history.decisions, until)
    agents = [_recorded_agent(one) for one in history.agents]
    staff = other_staff(agents, asked.without, asked.twin)
    try:
        comparison = compare(cases, agents, staff, present, other, learner.model())
    except ValueError as error:
        raise NothingToReplayError(f"{error} ({since.isoformat()} to {until.isoformat()})") from error
    return Replayed(
        since,
        until,
        len(history.decisions),
        history.unrecorded,
        history.by_hand,
        tuple(sorted({one.policy_version for one in history.decisions})),
        present.versions,
        other.versions,
        comparison,
    )


def other_policies(present: PoolPolicies, asked: Sequence[str]) -> PoolPolicies:
    """The present ones with those asked for: one for all pools, and over it each for its pool.

    Raises:
        NothingToReplayError: as `read_policy`, or a second one is asked for the same.
    """
    by_pool: dict[str | None, RoutingPolicy] = {}
    for one in asked:
        pool, named = one.split("=", 1) if "=" in one else (None, one)
        if pool in by_pool:
            raise NothingToReplayError(f"two policies are asked for {'all pools' if pool is None else pool}")
        by_pool[pool] = read_policy(named)
    general = by_pool.pop(None, None)
    own = {pool: policy for pool, policy in by_pool.items() if pool is not None}
    return PoolPolicies(present.general, {**present.own, **own}) if general is None else PoolPolicies(general, own)


def read_policy(named: str) -> RoutingPolicy:
    """A preset by its name, or a policy from a JSON file with the knobs of `RoutingPolicy`; spans like "PT90S".

    Raises:
        NothingToReplayError: there is no such file, or it says something that no policy has.
    """
    if named in PRESETS:
        return PRESETS[named]()
    try:
        content = Path(named).read_bytes()
        policy = msgspec.json.decode(content, type=RoutingPolicy)
        unknown = _unknown(msgspec.json.decode(content), msgspec.to_builtins(policy), "")
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise NothingToReplayError(f"policy {named}: {error}") from error
    if unknown:
        raise NothingToReplayError(f"policy {named}: no knob is called {', '.join(unknown)}")
    return policy


def _unknown(given: object, known: object, where: str) -> list[str]:
    """The names in a document that nothing was read from."""
    if isinstance(given, dict) and isinstance(known, dict):
        return [
            name
            for key, value in given.items()
            for name in (_unknown(value, known[key], f"{where}{key}.") if key in known else [f"{where}{key}"])
        ]
    if isinstance(given, list) and isinstance(known, list | tuple):
        return [name for one, other in zip(given, known, strict=False) for name in _unknown(one, other, where)]
    return []


def recorded_cases(decisions: Sequence[DecidedCase], until: datetime) -> list[RecordedCase]:
    """One case for each stay in the queue: told as at its first decision, taken as at its last.

    Who declined then may be asked in another world, and what an agent still holds is taken to end with the period.
    """
    stays: dict[tuple[str, datetime], list[DecidedCase]] = {}
    for one in decisions:
        stays.setdefault((one.told.conversation_id, one.told.queued_at), []).append(one)
    held: dict[str, list[timedelta]] = {}
    for one in decisions:
        if one.taken_at is not None and one.ended_at is not None:
            held.setdefault(one.told.channel, []).append(one.ended_at - one.taken_at)
    mean = {channel: sum(some, timedelta()) / len(some) for channel, some in held.items()}
    return [_stay(number, some, until, mean) for number, some in enumerate(stays.values(), start=1)]


def _stay(number: int, some: Sequence[DecidedCase], until: datetime, mean: Mapping[str, timedelta]) -> RecordedCase:
    taken = next((one for one in reversed(some) if one.taken_at is not None), None)
    told: WaitingCase = some[0].told
    work = mean.get(told.channel, _DEFAULT_WORK)
    if taken is not None and taken.taken_at is not None:
        work = max((taken.ended_at or until) - taken.taken_at, timedelta())
    return RecordedCase(
        case_id=f"{number:06}-{told.conversation_id}",
        told=told,
        work=work,
        taken_by=None if taken is None else taken.taken_by,
        taken_at=None if taken is None else taken.taken_at,
    )


def _recorded_agent(one: OnlineAgent) -> RecordedAgent:
    return RecordedAgent(one.agent, tuple(Presence(since, until) for since, until in one.online))


def other_staff(agents: Sequence[RecordedAgent], without: Sequence[str], twin: Sequence[str]) -> list[RecordedAgent]:
    """The agents without some, and with a twin of others: same skills, same hours.

    Raises:
        NothingToReplayError: an agent named was not online.
    """
    known = {one.agent.agent_id: one for one in agents}
    missing = sorted({*without, *twin} - known.keys())
    if missing:
        raise NothingToReplayError(f"not online in this period: {', '.join(missing)}")
    twins = [
        replace(known[name], agent=replace(known[name].agent, agent_id=f"{name} (twin {number})"))
        for number, name in enumerate(twin, start=1)
    ]
    return [one for one in agents if one.agent.agent_id not in without] + twins
