"""P(success): how likely an agent resolves a kind of case, learned from resolutions and shrunk toward the team.

The team's rate of a kind is shrunk along intent, then product, then segment and channel. An agent's estimate starts
from the team's, moves by how the agent does against what the team would have done on the same cases, then by the same
for that intent and that product: a beta-binomial at each step, whose strength (in cases) is estimated from how much
the groups really differ (empirical Bayes). A few cases therefore make neither a star nor a failure, and an agent with
no cases has exactly the team's estimate. These are predictions from assignments that were not random, no causes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from domain.routing.model import SuccessEstimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TallyKey = tuple[str, ...]

_LEVELS = ("intent", "product", "kind", "agent", "agent_intent", "agent_product")
# The wider levels of each, and how much of the key they share.
_ABOVE: Mapping[str, tuple[tuple[str, int], ...]] = {
    "intent": (),
    "product": (("intent", 1),),
    "kind": (("intent", 1), ("product", 2)),
    "agent": (),
    "agent_intent": (("agent", 1),),
    "agent_product": (("agent", 1), ("agent_intent", 2)),
}
# Three levels of an agent speak of the same case: were each worth less, two bad cases would condemn.
_WEAKEST, _STRONGEST = 6.0, 2_000.0
# A spread of fewer groups says nothing.
_FEWEST_GROUPS = 5
_EDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of one assignment: whether that agent resolved that case for good."""

    agent_id: str
    intent: str | None
    product: str | None
    segment: str
    channel: str
    resolved: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """Cases, successes, and the successes expected of them at the time, all faded to the instant `at`.

    For the team's levels everybody's rate expects, for an agent's levels the team's rate of the kind.
    """

    cases: float
    successes: float
    expected: float
    at: datetime


@dataclass(frozen=True, slots=True)
class KeyedTally:
    level: str
    key: TallyKey
    tally: Tally


@dataclass(frozen=True, slots=True)
class SuccessPrior:
    """What is believed before any case.

    `mean` is the probability of a success, worth `strength` cases; `level_strength` (cases) holds for each level
    until enough is known to estimate it; `half_life` fades old cases, None never.
    """

    mean: float = 0.7
    strength: float = 5.0
    level_strength: float = 30.0
    half_life: timedelta | None = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class SuccessState:
    """Everything a learner knows, to be stored and read back."""

    version: str
    prior: SuccessPrior
    overall: Tally | None
    tallies: tuple[KeyedTally, ...]


class SuccessLearner:
    """Counts resolutions one by one and answers with a model of what it knows by then."""

    def __init__(self, prior: SuccessPrior | None = None) -> None:
        self._prior = prior or SuccessPrior()
        self._overall: Tally | None = None
        self._tallies: dict[str, dict[TallyKey, Tally]] = {level: {} for level in _LEVELS}
        self._learned = 0

    @classmethod
    def from_state(cls, state: SuccessState) -> "SuccessLearner":
        learner = cls(state.prior)
        learner._overall = state.overall
        learner._learned = int(state.version.rsplit("-", 1)[-1])
        for keyed in state.tallies:
            learner._tallies[keyed.level][keyed.key] = keyed.tally
        return learner

    @property
    def state(self) -> SuccessState:
        tallies = tuple(
            KeyedTally(level, key, self._tallies[level][key])
            for level in _LEVELS
            for key in sorted(self._tallies[level])
        )
        return SuccessState(f"success-{self._learned}", self._prior, self._overall, tallies)

    def learn(self, resolution: Resolution) -> None:
        """Count one resolution, beside what was expected of it."""
        estimate = self._walk(
            resolution.agent_id, resolution.intent, resolution.product, resolution.segment, resolution.channel
        )
        for level, key in _keys(
            resolution.agent_id, resolution.intent, resolution.product, resolution.segment, resolution.channel
        ):
            tallies = self._tallies[level]
            expected = estimate.kind if level.startswith("agent") else estimate.overall
            tallies[key] = self._counted(tallies.get(key), resolution, expected)
        self._overall = self._counted(self._overall, resolution, self._prior.mean)
        self._learned += 1

    def learn_all(self, resolutions: Iterable[Resolution]) -> None:
        for resolution in resolutions:
            self.learn(resolution)

    def model(self) -> "LearnedSuccess":
        """What is known now, as a value that later learning does not change."""
        strengths: dict[str, float] = {}
        for level in _LEVELS:
            strengths[level] = self._strength(level, strengths)
        return LearnedSuccess(
            f"success-{self._learned}",
            self._prior,
            self._overall,
            {level: dict(tallies) for level, tallies in self._tallies.items()},
            strengths,
        )

    def _walk(self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str) -> "_Walk":
        strengths = dict.fromkeys(_LEVELS, self._prior.level_strength)
        return _walk(
            self._prior, self._overall, self._tallies, strengths, (agent_id, intent, product, segment, channel)
        )

    def _counted(self, tally: Tally | None, resolution: Resolution, expected: float) -> Tally:
        success = 1.0 if resolution.resolved else 0.0
        if tally is None:
            return Tally(1.0, success, expected, resolution.at)
        fade = 1.0
        if self._prior.half_life is not None:
            fade = 2.0 ** (-max(resolution.at - tally.at, timedelta()) / self._prior.half_life)
        return Tally(
            tally.cases * fade + 1.0,
            tally.successes * fade + success,
            tally.expected * fade + expected,
            max(tally.at, resolution.at),
        )

    def _strength(self, level: str, wider: Mapping[str, float]) -> float:
        """How many cases the level above is worth: few when the groups of this level really differ."""
        groups = [(key, tally) for key, tally in self._tallies[level].items() if tally.cases > 1]
        if len(groups) < _FEWEST_GROUPS:
            return self._prior.level_strength
        cases = np.array([tally.cases for _, tally in groups])
        mean = np.array([self._expected(level, key, tally, wider) for key, tally in groups])
        surplus = np.array([tally.successes for _, tally in groups]) - mean * cases
        noise = mean * (1 - mean)
        # Moments: cases x spread of the rates = noise of counting + cases x true variance.
        variance = float((surplus**2 / cases - noise).sum() / cases.sum())
        if variance <= 0:
            return _STRONGEST
        return min(_STRONGEST, max(_WEAKEST, float(noise.mean()) / variance - 1.0))

    def _expected(self, level: str, key: TallyKey, tally: Tally, wider: Mapping[str, float]) -> float:
        """What the levels above expect of a group, after they moved by what they know."""
        moved = 0.0
        for above, length in _ABOVE[level]:
            known = self._tallies[above].get(key[:length])
            if known is not None:
                moved += _shift(known, moved, wider[above])
        return _moved(tally.expected / tally.cases, moved)


class LearnedSuccess:
    """A SuccessModel: one moment's knowledge, with the rows it was already asked for kept."""

    def __init__(
        self,
        version: str,
        prior: SuccessPrior,
        overall: Tally | None,
        tallies: Mapping[str, Mapping[TallyKey, Tally]],
        strengths: Mapping[str, float],
    ) -> None:
        self._version = version
        self._prior = prior
        self._overall = overall
        self._tallies = tallies
        self.strengths = strengths
        self._walks: dict[tuple[str, str | None, str | None, str, str], _Walk] = {}
        self._column: dict[str, int] = {}
        self._known: dict[tuple[str | None, str | None, str, str], _KnownRow] = {}
        self._asked: tuple[Sequence[str], Ints] = ((), np.empty(0, np.int64))

    @property
    def version(self) -> str:
        return self._version

    def probability(
        self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str
    ) -> SuccessEstimate:
        """The estimate, the team's beside it, and how many of the agent's own cases of that intent speak."""
        walk = self._walk(agent_id, intent, product, segment, channel)
        return SuccessEstimate(walk.value, walk.kind, round(walk.cases), walk.deviation)

    def probabilities(
        self, agent_ids: Sequence[str], intent: str | None, product: str | None, segment: str, channel: str
    ) -> tuple[Floats, Floats]:
        """Values and deviations in the order of the ids, each of shape (agents,)."""
        columns = self._columns(agent_ids)
        row = self._known.get((intent, product, segment, channel))
        if row is None or len(row.values) < len(self._column):
            row = self._known[intent, product, segment, channel] = _KnownRow.of(len(self._column) * 2, row)
        for at in np.flatnonzero(np.isnan(row.values[columns])).tolist():
            walk = self._walk(agent_ids[at], intent, product, segment, channel)
            row.values[columns[at]], row.deviations[columns[at]] = walk.value, walk.deviation
        return row.values[columns], row.deviations[columns]

    def _columns(self, agent_ids: Sequence[str]) -> Ints:
        # A pass asks for the same agents once for every kind of case.
        if self._asked[0] is not agent_ids or not isinstance(agent_ids, tuple):
            column = self._column
            found = np.fromiter((column.setdefault(one, len(column)) for one in agent_ids), np.int64, len(agent_ids))
            self._asked = (agent_ids, found)
        return self._asked[1]

    def _walk(self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str) -> "_Walk":
        about = (agent_id, intent, product, segment, channel)
        walk = self._walks.get(about)
        if walk is None:
            walk = self._walks[about] = _walk(self._prior, self._overall, self._tallies, self.strengths, about)
        return walk


@dataclass(frozen=True, slots=True)
class _KnownRow:
    """What is known of one kind of case, by the agents' columns: NaN where nobody has asked."""

    values: Floats
    deviations: Floats

    @classmethod
    def of(cls, size: int, before: "_KnownRow | None") -> "_KnownRow":
        row = cls(np.full(size, np.nan), np.full(size, np.nan))
        if before is not None:
            row.values[: len(before.values)] = before.values
            row.deviations[: len(before.deviations)] = before.deviations
        return row


@dataclass(frozen=True, slots=True)
class _Walk:
    """The estimate of everybody, of the team for this kind, and of the agent."""

    overall: float
    kind: float
    value: float
    cases: float
    deviation: float


def _walk(
    prior: SuccessPrior,
    overall: Tally | None,
    tallies: Mapping[str, Mapping[TallyKey, Tally]],
    strengths: Mapping[str, float],
    about: tuple[str, str | None, str | None, str, str],
) -> _Walk:
    everybody = prior.mean
    if overall is not None:
        everybody = (overall.successes + prior.strength * prior.mean) / (overall.cases + prior.strength)
    moved = {"team": 0.0, "agent": 0.0}
    cases, weight = 0.0, 0.0
    for level, key in _keys(*about):
        tally = tallies[level].get(key)
        if tally is None:
            continue
        whose = "agent" if level.startswith("agent") else "team"
        moved[whose] += _shift(tally, moved[whose], strengths[level])
        if whose == "agent":
            weight = max(weight, tally.cases)
        if level == "agent_intent":
            cases = tally.cases
    kind = _moved(everybody, moved["team"])
    value = _moved(kind, moved["agent"])
    certain = weight + strengths["agent"]
    return _Walk(everybody, kind, value, cases, math.sqrt(value * (1 - value) / (certain + 1)))


def _shift(tally: Tally, moved: float, strength: float) -> float:
    """How far, in log-odds, a level moves the estimate beyond what the wider levels already moved it."""
    expected = _moved(tally.expected / tally.cases, moved)
    shrunk = (tally.successes + strength * expected) / (tally.cases + strength)
    return _log_odds(shrunk) - _log_odds(expected)


def _moved(probability: float, by: float) -> float:
    return 1.0 / (1.0 + math.exp(-(_log_odds(probability) + by)))


def _log_odds(probability: float) -> float:
    bounded = min(1 - _EDGE, max(_EDGE, probability))
    return math.log(bounded / (1.0 - bounded))


def _keys(
    agent_id: str, intent: str | None, product: str | None, segment: str, channel: str
) -> tuple[tuple[str, TallyKey], ...]:
    what, about = intent or "", product or ""
    return (
        ("intent", (what,)),
        ("product", (what, about)),
        ("kind", (what, about, segment, channel)),
        ("agent", (agent_id,)),
        ("agent_intent", (agent_id, what)),
        ("agent_product", (agent_id, what, about)),
    )
