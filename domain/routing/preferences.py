"""What agents want to work on: it decides among agents who are as good for the customer, and never further."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from domain.routing.assignment import NOBODY, AssignmentProblem, assign
from domain.routing.eligibility import ELIGIBLE, Eligibility
from domain.routing.queue import NO_AGENT, CaseKind
from domain.routing.utility import Utility

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Above any sum of preferences, so that no case loses its agent for the sake of a wish.
_KEEP = 1000.0
# Few enough for the exact assignment to stay quick; the cases beyond are settled in the next group.
_GROUP = 200


def settle_preferences(agent: Ints, eligible: Eligibility, utility: Utility) -> tuple[Ints, Bools]:
    """The assignment after preferences, and which cases they moved: both of shape (cases,).

    A case moves only to an agent whose outcome for that customer (success and continuity), and whose whole score per
    unit of urgency, is within the policy's epsilon of what the optimum gave it; every case keeps an agent.
    """
    settled = agent.copy()
    matched = np.flatnonzero(agent != NOBODY)
    if utility.policy.epsilon > 0 and any(one.preferences for one in utility.roster.agents):
        wishes = _wishes_by_kind(utility)
        for start in range(0, len(matched), _GROUP):
            _settle_group(settled, matched[start : start + _GROUP], wishes, eligible, utility)
    return settled, settled != agent


def _settle_group(settled: Ints, group: Ints, wishes: Floats, eligible: Eligibility, utility: Utility) -> None:
    roster, queue, epsilon = utility.roster, utility.queue, utility.policy.epsilon
    held = settled[group]
    position = np.arange(len(group))
    wish = wishes[utility.kind_of_case[group]]
    own_wish = wish[position, held][:, None]
    allowed = eligible.codes[eligible.row_of_case[group]] == ELIGIBLE
    if not (allowed & (wish > own_wish)).any():
        return
    score = utility.block(group, np.arange(len(roster.agents))) / utility.urgency.total[group, None]
    outcome = _outcome(group, utility)
    allowed &= score >= score[position, held][:, None] - epsilon
    allowed &= outcome >= outcome[position, held][:, None] - epsilon
    allowed[position, held] = True
    if not (allowed & (wish > own_wish)).any():
        return
    others = np.flatnonzero(settled != NOBODY)
    others = others[~np.isin(others, group)]
    free = roster.free.copy()
    np.subtract.at(free, settled[others], queue.units[others])
    room = np.stack([roster.ceiling_room(channel) for channel in queue.channels])
    np.subtract.at(room, (queue.channel[others], settled[others]), 1)
    nothing = np.zeros(len(roster.agents))
    lost = score[position, held][:, None] - score
    chosen = assign(
        AssignmentProblem(
            np.where(allowed, _KEEP + wish - 1e-3 * lost, -np.inf),
            queue.units[group],
            free,
            queue.channel[group],
            room,
            np.ones(len(group)),
            nothing,
            nothing,
        )
    )
    if (chosen != NOBODY).all() and wish[position, chosen].sum() > own_wish.sum():
        settled[group] = chosen


def _outcome(cases: Ints, utility: Utility) -> Floats:
    outcome = utility.policy.fit.success * utility.success[utility.kind_of_case[cases]]
    affine = np.flatnonzero(utility.affine_agent[cases] != NO_AGENT)
    outcome[affine, utility.affine_agent[cases[affine]]] += utility.continuity[cases[affine]]
    return outcome


def _wishes_by_kind(utility: Utility) -> Floats:
    """How much each agent wants each kind of case, within -1..1: shape (kinds, agents)."""
    kinds = [utility.queue.kinds[number] for number in np.unique(utility.queue.kind).tolist()]
    wish = np.zeros((len(kinds), len(utility.roster.agents)))
    for column, agent in enumerate(utility.roster.agents):
        if agent.preferences:
            wish[:, column] = [_wish(agent.preferences, kind) for kind in kinds]
    return np.clip(wish, -1.0, 1.0)


def _wish(preferences: Mapping[str, float], kind: CaseKind) -> float:
    names = {name for name in (kind.intent, kind.product, kind.segment) if name}
    return sum(preferences.get(name, 0.0) for name in sorted(names))
