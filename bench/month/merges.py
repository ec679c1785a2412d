"""Conversations that become one, and one that becomes two."""

from collections import Counter
from datetime import datetime

from bench.month.agenda import Talk
from bench.month.customers import Customers
from bench.month.floor import Floor, OnFloor
from bench.month.terms import DAY, HOUR, MINUTE, SECOND
from domain.conversation.state import Phase
from storage.ledger.merging import MergeRefused, merge_conversations
from storage.ledger.splitting import SplitRefused, split_thread, undo_merge_in


class Merges(OnFloor):
    def __init__(self, floor: Floor, customers: Customers) -> None:
        super().__init__(floor)
        self._customers = customers
        self.merged: Counter[str] = Counter()
        self.unmerged = self.split_off = 0

    async def merge(self, talk: Talk, now: datetime) -> None:
        """With any other conversation of the floor; both may not have heard yet what was said just before."""
        other = self._other(talk)
        if other is None:
            return
        if self._random.random() < 0.5:
            for one in (talk, other):
                await self._customers.write(one, now, one.channel)
        try:
            async with self._connection.transaction():
                done = await merge_conversations(
                    self._connection, talk.id, other.id, cause="agent", by="agt_0", at=now, one_person=True
                )
        except MergeRefused:
            return
        if done.merge_id is None:
            return
        survivor, loser = self._floor.talks[done.survivor_id], self._floor.talks[done.loser_id]
        self.merged[f"{loser.state.phase} into {survivor.state.phase}"] += 1
        for one in (loser, survivor):
            self._floor.tell(one, now)
        if self._random.random() < 0.4:
            self._agenda.plan(now + self._random.uniform(1, 60) * MINUTE, "writes", loser, loser.channel)
        if self._random.random() < 0.3:
            after = self._random.choice((SECOND, MINUTE, HOUR, DAY)) * self._random.uniform(0.1, 2)
            self._agenda.plan(now + after, "unmerged", loser)

    def _other(self, talk: Talk) -> Talk | None:
        """Another open conversation, in each state as likely as in the next."""
        by_phase: dict[Phase, list[Talk]] = {}
        for other in self._floor.talks.values():
            if other is not talk and not other.state.phase.is_final:
                by_phase.setdefault(other.state.phase, []).append(other)
        if not by_phase:
            return None
        return self._random.choice(by_phase[self._random.choice(sorted(by_phase))])

    async def undo(self, talk: Talk, now: datetime) -> None:
        try:
            async with self._connection.transaction():
                done = await undo_merge_in(self._connection, talk.id, by="agt_0", owner=None, at=now)
        except SplitRefused:
            return
        self.unmerged += 1
        await self._parted(done.from_id, done.into_id, now)

    async def split(self, talk: Talk, now: datetime) -> None:
        if len(talk.threads) < 2:
            return
        thread_id = list(talk.threads.values())[-1]
        where, _, _ = await self._floor.place(thread_id)
        try:
            done = await split_thread(self._books.database, where, thread_id, by="agt_0", owner=None, at=now)
        except SplitRefused:
            return
        self.split_off += 1
        await self._parted(done.from_id, done.into_id, now)

    async def _parted(self, place_id: str, new_id: str, now: datetime) -> None:
        for conversation_id in (place_id, new_id):
            self._floor.tell(await self._floor.known(conversation_id), now)
