"""Which cases of a long queue can win a place at all: what is left out has others of its kind before it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_SPARE = 1.3
_STARVED = 0.8


def shortlist(worth: Floats, group: Ints, reaches: Bools, places: Ints) -> Ints:
    """The cases worth solving, in ascending order.

    `worth` (cases,) ranks the cases, `group` (cases,) numbers those with the same eligible agents and the same
    probabilities, `reaches` (groups, agents) says whom a group may go to, `places` (agents,) how many cases each
    takes. Inside a group only as many of the best can win as its agents have places: that cut loses nothing. When
    much more than all places together is left, the best over all groups are kept too, and whole groups only for
    agents who would otherwise have too few to choose from: that cut is measured, not proven.
    """
    reached = reaches @ places
    by_group = np.lexsort((-worth, group))
    start = np.searchsorted(group[by_group], group[by_group], side="left")
    rank = np.empty(len(worth), np.int64)
    rank[by_group] = np.arange(len(worth)) - start
    possible = np.flatnonzero(rank < reached[group])
    wanted = int(np.ceil(_SPARE * places.sum())) + 1
    if len(possible) <= 2 * wanted:
        return possible
    best = possible[np.argpartition(-worth[possible], wanted)[:wanted]]
    kept = np.zeros(len(worth), np.bool_)
    kept[best] = True
    supply = np.bincount(group[best], minlength=len(reached)) / np.maximum(reached, 1)
    supplied: Floats = supply @ reaches.astype(np.float64)
    starved = (supplied < _STARVED) & (places > 0)
    if starved.any():
        short: Bools = np.asarray((reaches & starved[None, :]).any(axis=1))
        kept[possible[short[group[possible]]]] = True
    return np.flatnonzero(kept)
