"""The timers of a conversation: one for the next deadline, named in words for the Temporal UI."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.conversation.deadlines import NextDeadline


class Alarm:
    """Rings at the next deadline. A timer whose instant is still a later deadline is left armed, to save events."""

    def __init__(self) -> None:
        self._timers: dict[datetime, asyncio.Task[None]] = {}

    def set(self, upcoming: Sequence[NextDeadline]) -> None:
        wanted = {deadline.at for deadline in upcoming}
        for instant in [instant for instant, timer in self._timers.items() if instant not in wanted or timer.done()]:
            self._timers.pop(instant).cancel()
        if upcoming and upcoming[0].at not in self._timers:
            first = upcoming[0]
            delay = max((first.at - workflow.now()).total_seconds(), 0.001)
            self._timers[first.at] = asyncio.create_task(workflow.sleep(delay, summary=first.summary))

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @staticmethod
    def is_due(upcoming: Sequence[NextDeadline]) -> bool:
        return bool(upcoming) and upcoming[0].at <= workflow.now()
