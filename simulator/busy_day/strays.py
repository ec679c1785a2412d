"""Who else a customer turned out to be: what they wrote from an address nobody knew to be theirs.

The customer tells the agent, as people do, and the agent merges the two conversations. Where both addresses are proven,
so that they may be two people, the agent calls a supervisor, who does it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from simulator.busy_day.door import Door


@dataclass(frozen=True, slots=True)
class Stray:
    conversation_id: str
    customer_id: str


class Strays:
    """By the customer they really are."""

    def __init__(self, customer_ids: Iterable[str], supervisor: Door) -> None:
        """Those who will write from an unknown address."""
        self.supervisor = supervisor
        self._told: dict[str, asyncio.Future[Stray]] = {one: asyncio.Future() for one in customer_ids}
        self._settled: set[str] = set()

    def tell(self, customer_id: str, stray: Stray) -> None:
        self._told[customer_id].set_result(stray)

    async def of(self, customer_id: str) -> Stray | None:
        """The stray conversation of a customer, once it is there; None for who has none, or none any more."""
        if customer_id not in self._told or customer_id in self._settled:
            return None
        return await asyncio.shield(self._told[customer_id])

    def settle(self, customer_id: str) -> None:
        """Nothing is left to merge."""
        self._settled.add(customer_id)
