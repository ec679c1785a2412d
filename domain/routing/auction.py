"""Large assignments: cases bid for places, from prices that are nearly right, until nobody wants to move.

Bertsekas' auction for objects of which several are alike (the places of one server), all bidders of a round at once.
When it ends, no case could gain more than one bidding step elsewhere, so the total is within that step a case of the
optimum. A place left empty at a price of more than nothing is then offered down until a case takes it or it is free.
"""

import numpy as np
from numpy.typing import NDArray

from domain.routing.transport import place_prices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_SLOT = -1
_LOOKED_AT = 64
# Shares of the median best gain: bidding starts a little below the estimated prices, as an empty place must be free,
# and further below where the estimate was too high for too many places.
_HEAD_STARTS = (0.002, 0.03, 0.2)
_SETTLED = 1e-9
# Cases that are alike must not all bid for the same of many servers that are alike: each likes them in an order of its
# own, by up to this share of a step. Rows of an additive sequence are spread evenly, in both directions.
_LIKING = 0.25
_LIKINGS = 61
_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927
# After so many rounds the steps grow, so that no queue of equals is haggled over for ever.
_PATIENCE, _HASTE = 3_000, 1.005


def slots_by_auction(gain: Floats, scale: Floats, server: Ints, cost: Floats, *, step: float) -> Ints:
    """The slot of each case, or NO_SLOT: shape (cases,).

    `gain` (cases, servers) has -inf where a pair is not allowed; `server` and `cost` are given per slot, a server's
    slots beside each other and growing in cost; a slot costs `scale[case] * cost[slot]`. `step` is the smallest rise
    of a price, a share of the median best gain: the answer gains at least the optimum less that much a case.
    """
    return _Auction(gain, scale, server, cost, step).slots()


class _Auction:
    """Places are kept as a table (servers, widest): `price`, `cost` and `holder`, inf and nobody where there is none.

    `at_server` and `at_place` say per case which it holds. `cheap` is each server's cheapest place, `asked` and
    `asked_cost` are its price and cost. A case looks at its `listed` servers only, the best few when it last looked;
    `unlisted` is the most any other server was worth then, and prices only rise, so it still is.
    """

    def __init__(self, gain: Floats, scale: Floats, server: Ints, cost: Floats, step: float) -> None:
        cases, servers = gain.shape
        count = np.bincount(server, minlength=servers)
        self.first = np.cumsum(count) - count
        best = gain.max(axis=1)
        unit = max(float(np.median(best)), _SETTLED)
        self.least_step = unit * step * (1.0 - _LIKING)
        self.gain, self.scale = _with_likings(gain, unit * step * _LIKING), scale
        place = np.arange(len(server)) - self.first[server]
        shape = (servers, int(count.max()))
        self.cost = np.zeros(shape)
        self.cost[server, place] = cost
        self.real = np.arange(shape[1])[None, :] < count[:, None]
        # Which of a server's places is the cheapest depends on the case only by its scale: the usual one decides.
        self.usual = float(np.median(scale))
        mean_cost = self.cost.sum(axis=1) / np.maximum(count, 1)
        value = self.gain - scale[:, None] * mean_cost[None, :]
        asked = (place_prices(value, count) + self.usual * mean_cost)[:, None] - self.usual * self.cost
        self.starts = [*(np.maximum(asked - below * unit, 0.0) for below in _HEAD_STARTS), np.zeros(shape)]
        self.looked_at = min(_LOOKED_AT, servers)
        self.listed = np.zeros((cases, self.looked_at), np.int64)
        self.listed_gain = np.zeros((cases, self.looked_at))
        self.unlisted = np.full(cases, np.inf)

    def _start(self, price: Floats) -> None:
        """Everybody without a place, every place at its price: shape (servers, widest)."""
        servers = len(price)
        self.step = self.least_step
        self.price = np.where(self.real, price, np.inf)
        self.holder = np.full(self.price.shape, NO_SLOT, np.int64)
        self.at_server = np.full(len(self.gain), NO_SLOT, np.int64)
        self.at_place = np.full(len(self.gain), NO_SLOT, np.int64)
        self.cheap = np.zeros(servers, np.int64)
        self.asked, self.asked_cost = np.empty(servers), np.empty(servers)
        self._ask(np.arange(servers))

    def slots(self) -> Ints:
        for price in self.starts:
            self._start(price)
            self._bid()
            # From nothing upward, which comes last, no place can end empty at a price.
            if self._offer_down():
                break
        held = np.flatnonzero(self.at_server != NO_SLOT)
        slot = np.full(len(self.gain), NO_SLOT, np.int64)
        slot[held] = self.first[self.at_server[held]] + self.at_place[held]
        return slot

    def _ask(self, servers: Ints) -> None:
        """Find the cheapest place of some servers anew."""
        price, cost = self.price[servers], self.cost[servers]
        cheap = (price + self.usual * cost).argmin(axis=1)
        row = np.arange(len(servers))
        self.cheap[servers] = cheap
        self.asked[servers] = price[row, cheap]
        self.asked_cost[servers] = cost[row, cheap]

    def _bid(self) -> None:
        """Each case without a place bids for its best one what makes the second best as good, plus a step.

        The highest bid for a place gets it; whoever held it bids again, until nobody gains from any place.
        """
        bidders = np.arange(len(self.gain))
        looks = np.ones(len(self.gain), np.bool_)
        rounds = 0
        while len(bidders):
            if len(again := bidders[looks[bidders]]):
                self._look_around(again)
                looks[again] = False
            listed = self.listed[bidders]
            worth = self.listed_gain[bidders] - self.asked[listed] - self.scale[bidders, None] * self.asked_cost[listed]
            row = np.arange(len(bidders))
            choice = worth.argmax(axis=1)
            best = worth[row, choice]
            worth[row, choice] = -np.inf
            elsewhere = np.maximum(self.unlisted[bidders], 0.0)
            blind = (best < elsewhere) & (elsewhere > 0)
            looks[bidders[blind]] = True
            bids = np.flatnonzero((best > 0) & ~blind)
            wanted = listed[bids, choice[bids]]
            second = np.maximum(worth[bids].max(axis=1), elsewhere[bids])
            level = self.asked[wanted] + self.usual * self.asked_cost[wanted] + (best[bids] - second) + self.step
            won, out = self._take(bidders[bids], wanted, level)
            stays = blind.copy()
            stays[bids[~won]] = True
            bidders = np.concatenate((bidders[stays], out))
            rounds += 1
            if rounds > _PATIENCE:
                self.step *= _HASTE

    def _look_around(self, cases: Ints) -> None:
        # In parts, as a look at everything takes a row of all servers a case.
        for start in range(0, len(cases), 1024):
            some = cases[start : start + 1024]
            worth = self.gain[some] - self.asked[None, :] - self.scale[some, None] * self.asked_cost[None, :]
            order = np.argpartition(-worth, self.looked_at - 1, axis=1)
            self.listed[some] = order[:, : self.looked_at]
            self.listed_gain[some] = np.take_along_axis(self.gain[some], self.listed[some], axis=1)
            np.put_along_axis(worth, self.listed[some], -np.inf, axis=1)
            self.unlisted[some] = worth.max(axis=1)

    def _take(self, cases: Ints, servers: Ints, level: Floats) -> tuple[Bools, Ints]:
        """Give each server's cheapest places to its highest bidders; which bids won, and who held the places before.

        `level` (bids,) is what each offers for price and cost together.
        """
        order = np.lexsort((-level, servers))
        asked, start = np.unique(servers[order], return_index=True)
        nth = np.arange(len(order)) - np.repeat(start, np.diff(np.append(start, len(order))))
        order, nth = order[nth < self.price.shape[1]], nth[nth < self.price.shape[1]]
        row = np.searchsorted(asked, servers[order])
        standing = self.price[asked] + self.usual * self.cost[asked]
        place = np.argsort(standing, axis=1, kind="stable")[row, nth]
        # Only the cheapest place is sure to be worth the bid: the others may ask for more than is offered.
        good = level[order] >= standing[row, place] + self.step * (1 - _SETTLED)
        order, place = order[good], place[good]
        taken, case = servers[order], cases[order]
        before = self.holder[taken, place]
        out: Ints = before[before != NO_SLOT]
        self.at_server[out] = NO_SLOT
        self.holder[taken, place] = case
        self.at_server[case], self.at_place[case] = taken, place
        self.price[taken, place] = np.maximum(level[order] - self.usual * self.cost[taken, place], 0.0)
        self._ask(asked)
        won = np.zeros(len(cases), np.bool_)
        won[order] = True
        return won, out

    def _offer_down(self) -> bool:
        """Places that nobody took although they have a price: each goes to whoever it is worth the most to.

        Whether all of them came to rest.
        """
        empty = list(
            zip(*np.nonzero((self.holder == NO_SLOT) & (self.price > 0) & np.isfinite(self.price)), strict=True)
        )
        if not empty:
            return True
        profit = np.zeros(len(self.gain))
        held = np.flatnonzero(self.at_server != NO_SLOT)
        at = self.at_server[held]
        profit[held] = self.gain[held, at] - self.asked[at] - self.scale[held] * self.asked_cost[at]
        for _ in range(self.holder.size):
            if not empty:
                break
            server, place = empty.pop()
            cost = self.scale * self.cost[server, place]
            offered = self.gain[:, server] - cost - profit
            offered[self.at_server == server] = -np.inf
            case = int(offered.argmax())
            most = float(offered[case])
            if most <= _SETTLED:
                self.price[server, place] = 0.0
                continue
            offered[case] = -np.inf
            price = min(most, max(0.0, min(float(offered.max()), float(self.price[server, place])) - self.step))
            if self.at_server[case] != NO_SLOT:
                left = (self.at_server[case], self.at_place[case])
                self.holder[left] = NO_SLOT
                empty.append(left)
            self.price[server, place] = price
            self.holder[server, place] = case
            self.at_server[case], self.at_place[case] = server, place
            profit[case] = self.gain[case, server] - price - cost[case]
        return not empty


def _with_likings(gain: Floats, most: float) -> Floats:
    """The gains, each raised by up to `most`, differently for every server."""
    liked = gain.copy()
    servers = np.arange(gain.shape[1]) * _GOLDEN
    for row in range(_LIKINGS):
        liked[row::_LIKINGS] += most * ((servers + row * _PLASTIC) % 1.0)
    return liked
