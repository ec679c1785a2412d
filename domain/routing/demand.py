"""What cases ask of agents, at each widening step, in columns: most cases of a queue share a few demands."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from domain.routing.model import SkillNeed
from domain.routing.policy import OverflowRule, WideningStep

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Key = TypeVar("Key", bound=Hashable)


class Interned(Generic[Key]):
    """Values and their numbers, in the order of their first appearance."""

    def __init__(self) -> None:
        self.values: list[Key] = []
        self._number: dict[Key, int] = {}

    def __call__(self, value: Key) -> int:
        number = self._number.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


@dataclass(frozen=True, slots=True)
class Demand:
    """What a case asks of an agent, before any widening."""

    pool: str
    needs: tuple[SkillNeed, ...]
    languages: frozenset[str]
    channel: str
    units: int
    handle: timedelta | None


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a demand may go to at a widening step: agents of `pools` who meet `needs`, or generalists.

    A generalist is an agent of the named pool with so many skills who meets the needs beside them.
    """

    pools: tuple[str, ...]
    needs: tuple[SkillNeed, ...]
    generalists: tuple[tuple[str, int, tuple[SkillNeed, ...]], ...]


@lru_cache(maxsize=16_384)
def needs_at(needs: tuple[SkillNeed, ...], lower_levels: int, drop_skills: int) -> tuple[SkillNeed, ...]:
    """The needs after relaxation: the last ones dropped, the others lowered, never below level 1."""
    kept = needs[: max(0, len(needs) - drop_skills)]
    return tuple(SkillNeed(need.skill, max(1, need.level - lower_levels)) for need in kept)


@dataclass(frozen=True, slots=True)
class DemandRows:
    """Demands at their steps, arrays of shape (demands,): numbers of `reaches`, `channels` and `languages`.

    `handle` is the expected work in seconds, 0 where none is known.
    """

    reach: Ints
    channel: Ints
    languages: Ints
    units: Ints
    handle: Floats
    reaches: Sequence[Reach]
    channels: Sequence[str]
    languages_asked: Sequence[frozenset[str]]


class DemandTable:
    """The demands that a queue has seen, compiled once for each widening step under the rules in force."""

    def __init__(self) -> None:
        self.demands: Interned[Demand] = Interned()
        self._reaches: Interned[Reach] = Interned()
        self._channels: Interned[str] = Interned()
        self._languages: Interned[frozenset[str]] = Interned()
        self._plain: list[tuple[int, int, int, float]] = []
        self._reach_of: dict[int, int] = {}
        self._under: tuple[tuple[WideningStep, ...], Mapping[str, tuple[OverflowRule, ...]]] = ((), {})

    def rows(
        self, keys: Ints, widening: tuple[WideningStep, ...], active: Mapping[str, tuple[OverflowRule, ...]]
    ) -> DemandRows:
        """The demands of `keys`, each demand's number times (steps + 1) plus the step it has reached."""
        if self._under != (widening, active):
            self._under = (widening, dict(active))
            self._reach_of = {}
        for demand in self.demands.values[len(self._plain) :]:
            handle = 0.0 if demand.handle is None else demand.handle.total_seconds()
            self._plain.append(
                (self._channels(demand.channel), self._languages(demand.languages), demand.units, handle)
            )
        steps = len(widening) + 1
        asked = keys.tolist()
        for key in asked:
            if key not in self._reach_of:
                number, step = divmod(key, steps)
                self._reach_of[key] = self._reaches(
                    _reach(self.demands.values[number], widening[step - 1] if step else None, active)
                )
        plain = np.array([self._plain[key // steps] for key in asked], np.float64).reshape(len(asked), 4)
        whole = plain[:, :3].astype(np.int64)
        return DemandRows(
            reach=np.array([self._reach_of[key] for key in asked], np.int64),
            channel=whole[:, 0],
            languages=whole[:, 1],
            units=whole[:, 2],
            handle=plain[:, 3],
            reaches=self._reaches.values,
            channels=self._channels.values,
            languages_asked=self._languages.values,
        )


def _reach(asked: Demand, widened: WideningStep | None, active: Mapping[str, tuple[OverflowRule, ...]]) -> Reach:
    pools: tuple[str, ...] = (asked.pool,)
    needs = asked.needs
    if widened is not None:
        pools += widened.extra_pools
        needs = needs_at(needs, widened.lower_levels, widened.drop_skills)
    rules = active.get(asked.pool, ())
    for rule in rules:
        pools += rule.to_pools
    generalists = tuple(
        (rule.pool, rule.generalist_skills, needs_at(needs, rule.lower_levels, 0))
        for rule in rules
        if rule.to_generalists
    )
    return Reach(tuple(dict.fromkeys(pools)), needs, generalists)
