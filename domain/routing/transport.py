"""What a place at each server is worth in a large assignment, nearly: prices by entropic transport."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

_ROUNDS = 40
# A share of the median best gain: the smoother the plan, the quicker and the less exact its prices.
_TEMPERATURE = 0.006
_LARGEST_EXPONENT = 80.0


def place_prices(value: Floats, places: Ints) -> Floats:
    """The price of a place at each server: shape (servers,), near 0 where places are left over.

    `value` (cases, servers) has -inf where a pair is not allowed, `places` (servers,) how many cases each can take.
    Sinkhorn iterations move the prices until the smoothed demand of every server meets its places; cases may also
    take nobody.
    """
    best = value.max(axis=1)
    room = places.astype(np.float64)
    temperature = max(float(np.median(best)) * _TEMPERATURE, 1e-9)
    total = int(places.sum())
    threshold = 0.0
    if total < len(best):
        threshold = max(0.0, 0.95 * float(np.partition(best, len(best) - total - 1)[len(best) - total - 1]))
    exponent = value.astype(np.float32)
    exponent -= best.astype(np.float32)[:, None]
    exponent /= np.float32(temperature)
    kernel: Singles = np.exp(exponent, out=exponent)
    nobody = np.exp(np.clip((threshold - best) / temperature, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
    # Prices are kept as exp((threshold - price) / temperature): this one stands for the price 0.
    cheapest = np.exp(min(threshold / temperature, _LARGEST_EXPONENT))
    weight: Floats = np.ones(len(room))
    for _ in range(_ROUNDS):
        share = 1.0 / ((kernel @ weight.astype(np.float32)).astype(np.float64) + nobody)
        load = share.astype(np.float32) @ kernel
        weight = np.clip(room / np.maximum(load.astype(np.float64), 1e-35), 1e-35, cheapest)
    price: Floats = np.maximum(threshold - temperature * np.log(weight), 0.0)
    return price
