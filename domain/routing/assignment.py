"""The assignment of the whole queue at once: the most gain that capacity, in units, allows."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import coo_array

from domain.routing.auction import NO_SLOT, slots_by_auction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOBODY = -1
_EXACT_VARIABLES = 600
_HASTE = 2


@dataclass(frozen=True, slots=True)
class AssignmentProblem:
    """Cases are rows, servers (agents now, or soon) are columns.

    `gain` (cases, servers) is what the pair adds over waiting; a pair that is not allowed has -inf, and a gain not
    above 0 is never taken. `units` (cases,) and `free` (servers,) are in units of capacity. `channel` (cases,)
    indexes the rows of `room` (channels, servers), the count of conversations each channel's ceiling still allows.
    The k-th case of a server costs `scale[case] * (first_cost + k * step_cost * unit)`, `unit` being the smallest
    units among the cases it may take: fuller servers cost more. Up to `exact_pairs` pairs of case and slot the
    assignment is exact; beyond it an auction whose bids rise by `step`, a share of the median best gain.
    """

    gain: Floats
    units: Ints
    free: Ints
    channel: Ints
    room: Ints
    scale: Floats
    first_cost: Floats
    step_cost: Floats
    exact_pairs: int = 400_000
    step: float = 0.002


@dataclass(frozen=True, slots=True)
class _Slots:
    server: Ints
    cost: Floats
    mixed: bool
    pairs: int


def assign(problem: AssignmentProblem) -> Ints:
    """The server of each case, or NOBODY: shape (cases,).

    Up to `exact_pairs` it is exact where all cases of a server take equal units (an assignment problem) and in small
    mixed instances (an integer program); in large mixed ones over-full servers keep their best set and the rest is
    solved again.
    """
    taken = np.full(len(problem.units), NOBODY, np.int64)
    free, room = problem.free.copy(), problem.room.copy()
    first_cost = problem.first_cost.copy()
    open_cases = np.arange(len(problem.units))
    while len(open_cases):
        whole = len(open_cases) == len(problem.units)
        gain, units, channel = problem.gain, problem.units, problem.channel
        if not whole:
            gain, units, channel = gain[open_cases], units[open_cases], channel[open_cases]
        fits = (room > 0)[channel]
        fits &= gain > 0
        fits &= units[:, None] <= free[None, :]
        rows = np.flatnonzero(fits.any(axis=1))
        columns = np.flatnonzero(fits.any(axis=0))
        if not len(rows):
            break
        open_gain = np.where(fits, gain, -np.inf)
        part = AssignmentProblem(
            open_gain if open_gain.shape == (len(rows), len(columns)) else open_gain[np.ix_(rows, columns)],
            units[rows],
            free[columns],
            channel[rows],
            room[:, columns],
            problem.scale[open_cases[rows]],
            first_cost[columns],
            problem.step_cost[columns],
            problem.exact_pairs,
            problem.step,
        )
        chosen, complete = _solve(part)
        won = np.flatnonzero(chosen != NOBODY)
        cases, servers = open_cases[rows[won]], columns[chosen[won]]
        taken[cases] = servers
        np.subtract.at(free, servers, problem.units[cases])
        np.subtract.at(room, (problem.channel[cases], servers), 1)
        np.add.at(first_cost, servers, problem.step_cost[servers] * problem.units[cases])
        if complete or not len(won):
            break
        open_cases = open_cases[taken[open_cases] == NOBODY]
    return taken


def _solve(problem: AssignmentProblem) -> tuple[Ints, bool]:
    """An answer within capacity, and whether nothing more can come of another round."""
    slots = _slots(problem)
    if not slots.mixed:
        return _by_slots(problem, slots), True
    if slots.pairs <= _EXACT_VARIABLES:
        return _by_integer_program(problem, slots), True
    # What does not fit is solved again, so that this round need not be told to the last step.
    hasty = replace(problem, step=problem.step * _HASTE)
    return _within_capacity(problem, _by_slots(hasty, slots)), False


def _slots(problem: AssignmentProblem) -> _Slots:
    """The places of each server, and whether their number depends on which cases fill them."""
    allowed = np.isfinite(problem.gain)
    smallest = np.full(len(problem.free), np.iinfo(np.int64).max)
    largest = np.zeros(len(problem.free), np.int64)
    for units in np.unique(problem.units)[::-1].tolist():
        takes = allowed[problem.units == units].any(axis=0)
        smallest[takes] = units
        largest[takes] = np.maximum(largest[takes], units)
    eligible = allowed.sum(axis=0)
    by_units = problem.free // np.maximum(smallest, 1)
    by_room = np.zeros(len(problem.free), np.int64)
    tight = np.zeros(len(problem.free), np.bool_)
    for channel in range(len(problem.room)):
        of_channel = allowed[problem.channel == channel].sum(axis=0)
        by_room += np.minimum(of_channel, problem.room[channel])
        tight |= (problem.room[channel] < of_channel) & (of_channel < eligible)
    count = np.minimum(np.minimum(by_units, by_room), eligible)
    overfull = np.minimum(eligible, count) * largest > problem.free
    mixed = bool(((smallest != largest) & overfull).any() or (tight & (count > 1)).any())
    server = np.repeat(np.arange(len(problem.free)), count)
    nth = np.arange(len(server)) - np.repeat(np.cumsum(count) - count, count)
    cost = problem.first_cost[server] + nth * problem.step_cost[server] * smallest[server]
    return _Slots(server, cost, mixed, int((eligible * count).sum()))


def _by_slots(problem: AssignmentProblem, slots: _Slots) -> Ints:
    if len(problem.units) * len(slots.server) > problem.exact_pairs and len(slots.server) > 1:
        slot = slots_by_auction(problem.gain, problem.scale, slots.server, slots.cost, step=problem.step)
        return np.where(slot != NO_SLOT, slots.server[slot], NOBODY)
    weight = problem.gain[:, slots.server] - problem.scale[:, None] * slots.cost[None, :]
    np.maximum(weight, 0.0, out=weight)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    chosen = np.full(len(problem.units), NOBODY, np.int64)
    real = weight[rows, columns] > 0
    chosen[rows[real]] = slots.server[columns[real]]
    return chosen


def _by_integer_program(problem: AssignmentProblem, slots: _Slots) -> Ints:
    case, slot = np.nonzero(np.isfinite(problem.gain[:, slots.server]))
    server = slots.server[slot]
    weight = problem.gain[case, server] - problem.scale[case] * slots.cost[slot]
    variable = np.arange(len(case))
    cases, servers, channels = len(problem.units), len(problem.free), len(problem.room)
    one = np.ones(len(case))
    blocks = (
        (case, one, np.ones(cases)),
        (slot, one, np.ones(len(slots.server))),
        (server, problem.units[case].astype(np.float64), problem.free.astype(np.float64)),
        (problem.channel[case] * servers + server, one, problem.room.reshape(-1).astype(np.float64)),
    )
    sizes = (cases, len(slots.server), servers, channels * servers)
    constraints = [
        LinearConstraint(coo_array((value, (row, variable)), shape=(size, len(case))).tocsr(), ub=bound)
        for (row, value, bound), size in zip(blocks, sizes, strict=True)
    ]
    answer = milp(
        -weight,
        integrality=np.ones(len(case), np.int64),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    chosen = np.full(cases, NOBODY, np.int64)
    if answer.x is None:
        raise ArithmeticError(f"the integer program of an assignment has no answer: {answer.message}")
    won = np.flatnonzero((answer.x > 0.5) & (weight > 0))  # noqa: PLR2004 - a binary variable, rounded
    chosen[case[won]] = server[won]
    return chosen


def _within_capacity(problem: AssignmentProblem, chosen: Ints) -> Ints:
    """Each server keeps of its cases those that gain most per unit, as far as units and ceilings reach."""
    kept = np.full(len(chosen), NOBODY, np.int64)
    free, room = problem.free.copy(), problem.room.copy()
    won = np.flatnonzero(chosen != NOBODY)
    density = problem.gain[won, chosen[won]] / np.maximum(problem.units[won], 1)
    for case in won[np.argsort(-density, kind="stable")]:
        server, channel = chosen[case], problem.channel[case]
        if problem.units[case] <= free[server] and room[channel, server] > 0:
            kept[case] = server
            free[server] -= problem.units[case]
            room[channel, server] -= 1
    return kept
