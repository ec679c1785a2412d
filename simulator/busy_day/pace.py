"""How fast a day is played: human time divided by one number."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    speed: float

    def of(self, human: timedelta, at_least: timedelta = timedelta(0)) -> timedelta:
        return max(human / self.speed, at_least)

    async def pause(self, human: timedelta) -> None:
        await asyncio.sleep(self.of(human).total_seconds())
