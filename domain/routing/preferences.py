"""What agents want to work on: it decides among agents who are as good for the customer, and never further."""

import numpy as np
from numpy.typing import NDArray

from domain.routing.assignment import NOBODY, AssignmentProblem, assign
from domain.routing.eligibility import ELIGIBLE, Eligibility
from domain.routing.utility import Utility

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Above any sum of preferences, so that no case loses its agent for the sake of a wish.
_KEEP = 1000.0
_MOST_CASES = 400


def settle_preferences(agent: Ints, eligible: Eligibility, utility: Utility) -> tuple[Ints, Bools]:
    """The assignment after preferences, and which cases they moved: both of shape (cases,).

    A case moves only to an agent whose outcome for that customer (success and continuity), and whose whole score per
    unit of urgency, is within the policy's epsilon of what the optimum gave it; every case keeps an agent.
    """
    moved = np.zeros(len(agent), np.bool_)
    roster, policy = utility.roster, utility.policy
    everyone = np.flatnonzero(agent != NOBODY)
    if policy.epsilon <= 0 or not len(everyone) or not any(one.preferences for one in roster.agents):
        return agent, moved
    matched = everyone[:_MOST_CASES]
    cases = [utility.cases[case] for case in matched.tolist()]
    held = agent[matched]
    wish = _wishes(matched, utility)
    score = utility.rows(matched) / utility.urgency.total[matched, None]
    outcome = _outcome(matched, utility)
    position = np.arange(len(matched))
    allowed = eligible.codes[eligible.row_of_case[matched]] == ELIGIBLE
    allowed &= score >= score[position, held][:, None] - policy.epsilon
    allowed &= outcome >= outcome[position, held][:, None] - policy.epsilon
    allowed[position, held] = True
    if not (allowed & (wish > wish[position, held][:, None])).any():
        return agent, moved
    lost = score[position, held][:, None] - score
    gain = np.where(allowed, _KEEP + wish - 1e-3 * lost, -np.inf)
    channels = sorted({case.channel for case in cases})
    index = {channel: at for at, channel in enumerate(channels)}
    units = np.fromiter((case.units for case in cases), np.int64, len(cases))
    channel = np.fromiter((index[case.channel] for case in cases), np.int64, len(cases))
    free, room = roster.free.copy(), np.stack([roster.ceiling_room(one) for one in channels])
    for case in everyone[_MOST_CASES:].tolist():
        free[agent[case]] -= utility.cases[case].units
        if utility.cases[case].channel in index:
            room[index[utility.cases[case].channel], agent[case]] -= 1
    nothing = np.zeros(len(roster.agents))
    chosen = assign(AssignmentProblem(gain, units, free, channel, room, np.ones(len(matched)), nothing, nothing))
    if (chosen == NOBODY).any() or wish[position, chosen].sum() <= wish[position, held].sum():
        return agent, moved
    settled = agent.copy()
    settled[matched] = chosen
    moved[matched] = chosen != held
    return settled, moved


def _outcome(cases: Ints, utility: Utility) -> Floats:
    outcome = utility.policy.fit.success * utility.success[utility.kind_of_case[cases]]
    affine = np.flatnonzero(utility.affine_agent[cases] >= 0)
    outcome[affine, utility.affine_agent[cases[affine]]] += utility.continuity[cases[affine]]
    return outcome


def _wishes(cases: Ints, utility: Utility) -> Floats:
    """How much each agent wants each case, clipped to -1..1: the sum over its intent, product and segment."""
    wish = np.zeros((len(cases), len(utility.roster.agents)))
    for column, agent in enumerate(utility.roster.agents):
        if agent.preferences:
            for row, case in enumerate(cases):
                one = utility.cases[case]
                names = {name for name in (one.intent, one.product, one.segment) if name}
                wish[row, column] = sum(agent.preferences.get(name, 0.0) for name in sorted(names))
    return np.clip(wish, -1.0, 1.0)
