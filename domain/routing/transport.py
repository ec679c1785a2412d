"""Large assignments: prices by entropic transport, then an exact assignment among the pairs the prices leave."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Singles = NDArray[np.float32]

_ROUNDS = 150
# A share of the median best gain: the smoother the plan, the quicker and the less exact its prices.
_TEMPERATURE = 0.006
_LARGEST_EXPONENT = 80.0
_SEED = 20_259
_PAIRS = 40_000


def slots_by_prices(
    gain: Floats, scale: Floats, server: Ints, cost: Floats, *, per_case: int, per_server: int
) -> tuple[Ints, float]:
    """The slot of each case (-1: none), and an upper bound of the gain of any assignment.

    `gain` (cases, servers) has -inf where a pair is not allowed; `server` and `cost` are given per slot, a server's
    slots beside each other and growing in cost; a slot costs `scale[case] * cost[slot]`. Sinkhorn iterations price
    the servers; at least `per_case` servers a case and `per_server` cases a server are drawn from the priced plan; the
    sparse assignment over these pairs is exact. The bound is the dual value at the prices: the true optimum lies
    between the answer and it.
    """
    servers = gain.shape[1]
    count = np.bincount(server, minlength=servers)
    first = np.cumsum(count) - count
    value = gain - scale[:, None] * np.where(count > 0, cost[np.minimum(first, max(len(cost) - 1, 0))], 0.0)[None, :]
    best = value.max(axis=1)
    price, plan = _priced_plan(value, best, count.astype(np.float64))
    net = value - price[None, :]
    bound = float(price @ count + np.maximum(net.max(axis=1), 0.0).sum())
    rng = np.random.default_rng(_SEED)
    # Short queues can afford many pairs, and need them: there a single bad pair shows.
    wide = min(max(per_case, _PAIRS // len(gain)), 2 * servers)
    deep = min(max(per_server, _PAIRS // servers // 2), 2 * len(gain))
    case, drawn_server = _draws(plan, wide, rng)
    other_server, drawn_case = _draws(np.ascontiguousarray(plan.T), deep, rng)
    servers_of_best = net.argmax(axis=1)
    pairs = np.unique(
        np.concatenate(
            (
                case * servers + drawn_server,
                drawn_case * servers + other_server,
                np.arange(len(gain)) * servers + servers_of_best,
            )
        )
    )
    case, of_server = np.divmod(pairs, servers)
    allowed = value[case, of_server] > 0
    return _best_among(gain, scale, server, cost, price, case[allowed], of_server[allowed]), bound


def _priced_plan(value: Floats, best: Floats, room: Floats) -> tuple[Floats, Singles]:
    """What a place at each server is worth, and the smoothed share of each case at each server.

    A price is near 0 where places are left over. Cases may also take nobody.
    """
    temperature = max(float(np.median(best)) * _TEMPERATURE, 1e-9)
    places = int(room.sum())
    threshold = 0.0
    if places < len(best):
        threshold = max(0.0, 0.95 * float(np.partition(best, len(best) - places - 1)[len(best) - places - 1]))
    kernel: Singles = np.exp(((value - best[:, None]) / temperature).astype(np.float32))
    nobody = np.exp(np.clip((threshold - best) / temperature, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
    # Prices are kept as exp((threshold - price) / temperature): this one stands for the price 0.
    cheapest = np.exp(min(threshold / temperature, _LARGEST_EXPONENT))
    weight: Floats = np.ones(len(room))
    share: Floats = np.ones(len(best))
    for _ in range(_ROUNDS):
        share = 1.0 / ((kernel @ weight.astype(np.float32)).astype(np.float64) + nobody)
        load = share.astype(np.float32) @ kernel
        weight = np.clip(room / np.maximum(load.astype(np.float64), 1e-35), 1e-35, cheapest)
    price: Floats = np.maximum(threshold - temperature * np.log(weight), 0.0)
    kernel *= weight.astype(np.float32)[None, :]
    kernel *= share.astype(np.float32)[:, None]
    return price, kernel


def _draws(plan: Singles, times: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Pairs drawn from the plan, `times` a row: rows that are alike must not all keep the same few columns."""
    total = plan.sum(axis=1, dtype=np.float64)
    rows = np.flatnonzero(total > 0)
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # One running sum over all rows, each row worth 1: a draw in row r is a point between r and r + 1.
    running = np.cumsum((plan[rows] / total[rows, None].astype(np.float32)).ravel(), dtype=np.float64)
    edges = np.concatenate(([0.0], running[plan.shape[1] - 1 :: plan.shape[1]]))
    point = edges[:-1, None] + rng.random((len(rows), times)) * np.diff(edges)[:, None]
    at = np.minimum(np.searchsorted(running, point.ravel(), side="right"), len(running) - 1)
    row, column = np.divmod(at, plan.shape[1])
    return rows[row], column


def _best_among(
    gain: Floats, scale: Floats, server: Ints, cost: Floats, price: Floats, case: Ints, of_server: Ints
) -> Ints:
    """The exact assignment over the given pairs.

    Every case may take nobody and every slot nothing: a mirrored copy of the pairs makes that a full matching, which
    keeps the optimum when the prices are taken off, and with good prices the augmenting paths are short.
    """
    cases, slots = len(gain), len(server)
    count = np.bincount(server, minlength=gain.shape[1])
    first = np.cumsum(count) - count
    times = count[of_server]
    row = np.repeat(case, times)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    column = np.repeat(first[of_server], times) + nth
    paid = price[server]
    weight = paid[column] - gain[row, server[column]] + scale[row] * cost[column]
    rows = np.concatenate((row, np.arange(cases), cases + np.arange(slots), cases + column))
    columns = np.concatenate((column, slots + np.arange(cases), np.arange(slots), slots + row))
    weights = np.concatenate((weight, np.zeros(cases), paid, np.zeros(len(row))))
    cheapest = np.full(cases + slots, np.inf)
    np.minimum.at(cheapest, rows, weights)
    # The solver takes an explicit 0 for a missing pair, so every weight is moved above it.
    weights += 1.0 - cheapest[rows]
    graph = csr_array((weights, (rows, columns)), shape=(cases + slots, cases + slots))
    matched, taken = min_weight_full_bipartite_matching(graph)
    chosen = np.full(cases, -1, np.int64)
    real = (matched < cases) & (taken < slots)
    chosen[matched[real]] = taken[real]
    return chosen
