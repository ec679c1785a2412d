"""A month played: who acts when something happens."""

from datetime import datetime
from random import Random

from bench.month.agenda import Planned
from bench.month.agents import Agents
from bench.month.books import Books
from bench.month.customers import Customers
from bench.month.dispatcher import Dispatcher
from bench.month.floor import Floor
from bench.month.merges import Merges
from bench.month.relay import Relay
from bench.month.terms import DAY, MONTH, PROMISES, START
from domain.conversation import events
from storage.database import Database, LedgerConnection
from storage.ledger.surveys import keep_score


class Month:
    def __init__(self, database: Database, connection: LedgerConnection, conversations: int, seed: int) -> None:
        self._wanted = conversations
        self._books = Books(database, connection)
        agents = tuple(f"agt_{number}" for number in range(max(4, conversations // 60)))
        self.floor = Floor(self._books, Random(seed), agents)
        self._customers = Customers(self.floor)
        self._agents = Agents(self.floor)
        self._dispatcher = Dispatcher(self.floor)
        self._relay = Relay(self.floor)
        self.merges = Merges(self.floor, self._customers)

    async def run(self) -> None:
        floor, connection = self.floor, self._books.connection
        await connection.execute("set synchronous_commit = off")
        await self._agents.arrive()
        for number in range(self._wanted):
            at = START + floor.random.random() * (MONTH.end - START - 2 * DAY)
            floor.agenda.plan(at, "opens", None, f"cus_{number}")
        for week in range(1, len(PROMISES)):
            floor.agenda.plan(START + week * 7 * DAY, "promise_changes", None, str(week))
        while (planned := floor.agenda.next_before(MONTH.end)) is not None:
            await self._happen(planned)
            await self._dispatcher.dispatch(planned.at)
            await connection.commit()

    async def _happen(self, planned: Planned) -> None:  # noqa: C901, PLR0912 -- one case a kind
        talk, now, facts = planned.talk, planned.at, planned.facts
        match planned.what:
            case "opens":
                await self._customers.open(facts[0], now)
            case "promise_changes":
                await self._change_promises(int(facts[0]), now)
            case "returns":
                await self._books.take_up(facts[0], "online", now)
            case "scores":
                await keep_score(self._books.connection, facts[0], int(facts[1]), "link", now)
        if talk is None:
            return
        match planned.what:
            case "deadline":
                if talk.wakes_at == now:
                    await self.floor.step(talk, now, events.DeadlineReached())
            case "hears":
                await self._relay.hear(talk, now)
            case "writes":
                await self._customers.write(talk, now, *facts)
            case "leaves":
                await self._customers.leave(talk, now)
            case "agent":
                await self._agents.act(talk, now)
            case "supervisor":
                await self._agents.supervise(talk, now)
            case "offered":
                await self._agents.answer_offer(talk, now, facts[0])
            case "merged":
                await self.merges.merge(talk, now)
            case "unmerged":
                await self.merges.undo(talk, now)
            case "split":
                await self.merges.split(talk, now)

    async def _change_promises(self, week: int, now: datetime) -> None:
        self.floor.promises = PROMISES[week]
        for talk in list(self.floor.talks.values()):
            if not talk.state.phase.is_final:
                await self.floor.owe(talk.id, "policy_changed", {"cause": "policy changed"}, now)
