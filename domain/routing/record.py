"""The record of a pass: candidates with their parts, exclusions with their reasons, what was left and why."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.routing.assignment import NOBODY
from domain.routing.eligibility import ELIGIBLE, Eligibility, code_of, reason_of
from domain.routing.explain import sentence
from domain.routing.model import (
    Candidate,
    Decision,
    Exclusion,
    ExclusionCount,
    ExclusionExample,
    ScorePart,
    SuccessModel,
    Unmatched,
    UnmatchedReason,
    WaitingCase,
)
from domain.routing.utility import Utility

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_NamedValues = tuple[tuple[str, float], ...]


def decided_cases(
    agent: Ints, preferred: Bools, eligible: Eligibility, utility: Utility, success: SuccessModel
) -> tuple[Decision, ...]:
    """The decisions of a pass, in the order of the queue: `agent` (cases,) is who takes each case, or NOBODY."""
    return _DecisionRecord(eligible, utility, success).decisions(agent, preferred)


class _DecisionRecord:
    def __init__(self, eligible: Eligibility, utility: Utility, success: SuccessModel) -> None:
        self._queue = utility.queue.cases
        self._eligible = eligible
        self._utility = utility
        self._policy = utility.policy
        self._success = success
        self._roster = utility.roster
        self._exclusions = ExclusionCounts(eligible)
        self._examples: dict[int, tuple[ExclusionExample, ...]] = {}

    def decisions(self, agent: Ints, preferred: Bools) -> tuple[Decision, ...]:
        """One decision for each case that has an agent, in the order of the queue."""
        matched = np.flatnonzero(agent != NOBODY)
        if not len(matched):
            return ()
        rival_case, rival_agent = self._rivals(matched, agent)
        candidates = self._candidates(rival_case, rival_agent)
        own = _table(self._utility.parts_of_pairs(matched, agent[matched]))
        urgent = _table(tuple((name, part[matched]) for name, part in self._utility.urgency.parts))
        taken = self._roster.load.copy()
        return tuple(
            self._decision(
                int(case), int(agent[case]), own[at], urgent[at], candidates.get(int(case), []), taken, preferred
            )
            for at, case in enumerate(matched)
        )

    def _rivals(self, matched: Ints, agent: Ints) -> tuple[Ints, Ints]:
        """The best few eligible agents of each matched case besides its own, as pairs."""
        wanted = max(self._policy.candidates_kept - 1, 0)
        pairs: list[tuple[Ints, Ints]] = []
        free_now = np.flatnonzero(self._roster.free > 0)
        load_cost = self._load_cost()[free_now]
        for start in range(0, len(matched), 512):
            part = matched[start : start + 512]
            score = self._utility.block(part, free_now)
            score -= self._utility.cost_scale[part, None] * load_cost[None, :]
            score[self._eligible.codes[np.ix_(self._eligible.row_of_case[part], free_now)] != ELIGIBLE] = -np.inf
            score[np.arange(len(part)), np.searchsorted(free_now, agent[part])] = -np.inf
            kept = min(wanted, score.shape[1])
            if not kept:
                continue
            best = np.argpartition(-score, kept - 1, axis=1)[:, :kept]
            row = np.repeat(np.arange(len(part)), kept)
            column = best.reshape(-1)
            real = np.isfinite(score[row, column])
            pairs.append((part[row[real]], free_now[column[real]]))
        if not pairs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate([case for case, _ in pairs]), np.concatenate([column for _, column in pairs])

    def _load_cost(self) -> Floats:
        return self._utility.load_cost(self._roster.load.astype(np.float64), self._roster.capacity.astype(np.float64))

    def _candidates(self, cases: Ints, agents: Ints) -> dict[int, list[Candidate]]:
        parts = _table(self._utility.parts_of_pairs(cases, agents))
        load = -self._utility.cost_scale[cases] * self._load_cost()[agents]
        rivals: dict[int, list[Candidate]] = {}
        for row, cost, case, agent in zip(parts, load.tolist(), cases.tolist(), agents.tolist(), strict=True):
            explained = _explained(row, cost)
            rivals.setdefault(case, []).append(Candidate(self._roster.ids[agent], _total(explained), explained))
        for some in rivals.values():
            some.sort(key=lambda one: (-one.score, self._roster.index[one.agent_id]))
        return rivals

    def _decision(
        self,
        case_at: int,
        agent_at: int,
        own: _NamedValues,
        urgent: _NamedValues,
        rivals: list[Candidate],
        taken: Ints,
        preferred: Bools,
    ) -> Decision:
        case, agent = self._queue[case_at], self._roster.agents[agent_at]
        now = self._roster.now
        share = taken[agent_at] / max(agent.capacity, 1)
        load = -float(self._utility.cost_scale[case_at]) * self._policy.costs.load * share
        taken[agent_at] += case.units
        parts = _explained(own, load)
        score = _total(parts)
        mine = Candidate(agent.agent_id, score, parts)
        everyone = sorted([mine, *rivals], key=lambda one: (-one.score, self._roster.index[one.agent_id]))
        estimate = self._success.probability(agent.agent_id, case.intent, case.product, case.segment, case.channel)
        step, overflow = int(self._eligible.steps[case_at]), self._eligible.overflow.get(case.pool)
        row = int(self._eligible.row_of_case[case_at])
        return Decision(
            conversation_id=case.conversation_id,
            ticket=case.ticket,
            agent_id=agent.agent_id,
            units=case.units,
            score=score,
            parts=parts,
            urgency=float(self._utility.urgency.total[case_at]),
            urgency_parts=_explained(urgent, 0.0),
            widening_step=step,
            overflow=overflow,
            candidates=tuple(everyone),
            exclusions=self._exclusions(row),
            exclusion_examples=self._some(row),
            runner_up=rivals[0].agent_id if rivals else None,
            by_preference=bool(preferred[case_at]),
            success=estimate,
            waited=now - case.queued_at,
            policy_version=self._policy.version,
            model_version=self._success.version,
            sentence=sentence(
                case,
                agent,
                parts,
                estimate,
                rivals[0] if rivals else None,
                load_after=int(taken[agent_at]),
                waited=now - case.queued_at,
                step=step,
                overflow=overflow,
                affinity_age=None if case.affinity_at is None else now - case.affinity_at,
                by_preference=bool(preferred[case_at]),
            ),
            case=case,
        )

    def _some(self, row: int) -> tuple[ExclusionExample, ...]:
        if row not in self._examples:
            codes = self._eligible.codes[row]
            some = np.flatnonzero(codes != ELIGIBLE)[: self._policy.examples_kept]
            self._examples[row] = tuple(
                ExclusionExample(self._roster.ids[agent], reason_of(int(codes[agent]))) for agent in some
            )
        return self._examples[row]


class ExclusionCounts:
    """How many agents each reason excluded, row by row of the codes, in the order of the reasons."""

    def __init__(self, eligible: Eligibility) -> None:
        codes = np.array([code_of(reason) for reason in Exclusion], np.int8)
        self._counts = np.stack([(eligible.codes == code).sum(axis=1) for code in codes], axis=1).tolist()
        self._told: dict[int, tuple[ExclusionCount, ...]] = {}

    def __call__(self, row: int) -> tuple[ExclusionCount, ...]:
        if row not in self._told:
            counts = zip(Exclusion, self._counts[row], strict=True)
            self._told[row] = tuple(ExclusionCount(reason, count) for reason, count in counts if count)
        return self._told[row]


def unmatched_cases(
    queue: Sequence[WaitingCase],
    left: Ints,
    eligible: Eligibility,
    waits_for: Mapping[int, str],
    put_off: frozenset[int] = frozenset(),
) -> tuple[Unmatched, ...]:
    """Who stays in the queue and why, in the order of the queue; `put_off` for the sake of a last free place."""
    counts = ExclusionCounts(eligible)
    agents = eligible.codes.shape[1]
    rows, steps = eligible.row_of_case.tolist(), eligible.steps.tolist()
    # Most rows are shared by many cases: their reason is found once.
    plain = {row: _reason(counts(row), agents) for row in set(eligible.row_of_case[left].tolist())}
    told = []
    for at in left.tolist():
        row, case, awaited = rows[at], queue[at], waits_for.get(at)
        reason = plain[row] if awaited is None else UnmatchedReason.WAITING_IS_BETTER
        if at in put_off:
            reason = UnmatchedReason.PLACE_KEPT_FREE
        told.append(Unmatched(case.conversation_id, case.ticket, reason, steps[at], counts(row), awaited))
    return tuple(told)


def _reason(counts: tuple[ExclusionCount, ...], agents: int) -> UnmatchedReason:
    reasons = {count.reason for count in counts}
    if sum(count.agents for count in counts) < agents:
        return UnmatchedReason.OTHERS_FIRST
    if reasons & {Exclusion.CAPACITY, Exclusion.CEILING}:
        return UnmatchedReason.ALL_FULL
    if Exclusion.CUSTOMER_HOURS in reasons:
        return UnmatchedReason.CUSTOMER_HOURS
    return UnmatchedReason.NO_ELIGIBLE_AGENT


def _table(parts: tuple[tuple[str, Floats], ...]) -> list[_NamedValues]:
    """The parts pair by pair: plain floats, as thousands of pairs are told one by one."""
    told = [(name, part) for name, part in parts if part.any()]
    if not told:
        return [()] * len(parts[0][1])
    names = [name for name, _ in told]
    return [tuple(zip(names, row, strict=True)) for row in np.stack([part for _, part in told], axis=1).tolist()]


def _explained(parts: _NamedValues, load: float) -> tuple[ScorePart, ...]:
    told = [ScorePart(name, value) for name, value in parts if value != 0.0]
    if load != 0.0:
        told.append(ScorePart("load", load))
    return tuple(told)


def _total(parts: tuple[ScorePart, ...]) -> float:
    return sum(part.value for part in parts)
