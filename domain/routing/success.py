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
TallyKey = tuple[str, ...]

_LEVELS = ("intent", "product", "kind", "agent", "agent_intent", "agent_product")
_WEAKEST, _STRONGEST = 2.0, 2_000.0
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
    """Cases, successes, and the successes the level above expected of them; all faded to the instant `at`."""

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
    level_strength: float = 20.0
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
        """Count one resolution: each level against what the level above it expected."""
        estimate = self._walk(
            resolution.agent_id, resolution.intent, resolution.product, resolution.segment, resolution.channel
        )
        expected = {
            "intent": estimate.overall,
            "product": estimate.intent,
            "kind": estimate.product,
            "agent": estimate.kind,
            "agent_intent": estimate.agent,
            "agent_product": estimate.agent_intent,
        }
        for level, key in _keys(
            resolution.agent_id, resolution.intent, resolution.product, resolution.segment, resolution.channel
        ):
            tallies = self._tallies[level]
            tallies[key] = self._counted(tallies.get(key), resolution, expected[level])
        self._overall = self._counted(self._overall, resolution, self._prior.mean)
        self._learned += 1

    def learn_all(self, resolutions: Iterable[Resolution]) -> None:
        for resolution in resolutions:
            self.learn(resolution)

    def model(self) -> "LearnedSuccess":
        """What is known now, as a value that later learning does not change."""
        strengths = {level: self._strength(level) for level in _LEVELS}
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

    def _strength(self, level: str) -> float:
        """How many cases the level above is worth: few when the groups of this level really differ."""
        tallies = [tally for tally in self._tallies[level].values() if tally.cases > 1]
        if len(tallies) < 5:  # noqa: PLR2004 - a spread of fewer groups says nothing
            return self._prior.level_strength
        cases = np.array([tally.cases for tally in tallies])
        surplus = np.array([tally.successes - tally.expected for tally in tallies])
        mean = np.array([min(1 - _EDGE, max(_EDGE, tally.expected / tally.cases)) for tally in tallies])
        noise = mean * (1 - mean)
        # Moments: cases x spread of the rates = noise of counting + cases x true variance.
        variance = float((surplus**2 / cases - noise).sum() / cases.sum())
        if variance <= 0:
            return _STRONGEST
        return min(_STRONGEST, max(_WEAKEST, float(noise.mean()) / variance - 1.0))


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
        self._known: dict[tuple[str | None, str | None, str, str], dict[str, tuple[float, float]]] = {}

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
        row = self._known.setdefault((intent, product, segment, channel), {})
        for agent_id in agent_ids:
            if agent_id not in row:
                walk = self._walk(agent_id, intent, product, segment, channel)
                row[agent_id] = (walk.value, walk.deviation)
        both = np.array([row[agent_id] for agent_id in agent_ids], np.float64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def _walk(self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str) -> "_Walk":
        return _walk(
            self._prior, self._overall, self._tallies, self.strengths, (agent_id, intent, product, segment, channel)
        )


@dataclass(frozen=True, slots=True)
class _Walk:
    """The estimate after each level, from the widest to the narrowest."""

    overall: float
    intent: float
    product: float
    kind: float
    agent: float
    agent_intent: float
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
    value = prior.mean
    if overall is not None:
        value = (overall.successes + prior.strength * prior.mean) / (overall.cases + prior.strength)
    steps = [value]
    cases, weight = 0.0, 0.0
    for level, key in _keys(*about):
        tally = tallies[level].get(key)
        if tally is not None:
            value = _moved(value, tally, strengths[level])
            if level.startswith("agent"):
                weight = max(weight, tally.cases)
            if level == "agent_intent":
                cases = tally.cases
        steps.append(value)
    certain = weight + strengths["agent"]
    total, intent, product, kind, agent, agent_intent, value = steps
    deviation = math.sqrt(value * (1 - value) / (certain + 1))
    return _Walk(total, intent, product, kind, agent, agent_intent, value, cases, deviation)


def _moved(value: float, tally: Tally, strength: float) -> float:
    """The estimate after a level spoke: its surplus over what was expected of the same cases, shrunk, in log-odds."""
    expected = min(1 - _EDGE, max(_EDGE, tally.expected / tally.cases))
    shrunk = (tally.successes + strength * expected) / (tally.cases + strength)
    shift = _log_odds(min(1 - _EDGE, max(_EDGE, shrunk))) - _log_odds(expected)
    return 1.0 / (1.0 + math.exp(-(_log_odds(min(1 - _EDGE, max(_EDGE, value))) + shift)))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


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
