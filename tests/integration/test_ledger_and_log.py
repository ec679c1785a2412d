"""Whatever becomes of customers and their conversations, tables and log tell the same (S13)."""

from dataclasses import dataclass, field

import pytest

from domain.channels import MessageKind
from domain.conversation import events
from domain.identity.linking import LinkCause
from storage.database import Database
from storage.ledger.intake import TakenIn
from storage.ledger.linking import LinkRequest, link
from storage.ledger.splitting import undo_merge
from storage.ledger.unlinking import unlink
from storage.violations import violations
from tests.integration.merge_ledger import MergeLedger, now
from tests.integration.merge_shells import PlayedTemporal
from workers.relay import Relay
from workflows.messages import workflow_id


@dataclass
class Floor:
    """One agent, who takes and resolves what comes."""

    ledger: MergeLedger
    temporal: PlayedTemporal = field(init=False)

    def __post_init__(self) -> None:
        self.temporal = PlayedTemporal(self.ledger.database)

    async def hears(self) -> None:
        await Relay(self.ledger.database, self.temporal).drain()  # type: ignore[arg-type] # what the relay calls of it
        for shell in self.temporal.shells.values():
            while shell.inbox:
                await shell.take_next()

    async def resolved(self, person: str) -> TakenIn:
        taken = await self.ledger.says(person)
        await self.hears()
        talk = self.temporal.shells[workflow_id(taken.conversation_id)]
        for event in (
            events.Claimed("agt_1"),
            events.Resolved("agt_1", "solved", None, by_supervisor=False),
            events.WrapUpEnded("agt_1", by_supervisor=False),
        ):
            assert await talk.advance(event)
        return taken

    async def agrees(self) -> None:
        async with self.ledger.database.ledger.connection() as connection:
            assert await violations(connection) == []


@pytest.fixture
async def floor(database: Database) -> Floor:
    ledger = MergeLedger(database)
    await ledger.agent("agt_1")
    return Floor(ledger)


async def test_when_customers_are_linked_and_parted_again(floor: Floor) -> None:
    ada, bea = await floor.resolved("ada"), await floor.resolved("bea")
    await floor.agrees()
    request = LinkRequest(ada.customer_id, bea.customer_id, LinkCause.BY_HAND, "key_admin", force=True)
    linked = await link(floor.ledger.database, request)
    whose = "select count(distinct customer_id) from resolutions"
    assert await floor.ledger.sql(whose) == [(1,)]
    await floor.agrees()
    await floor.hears()
    await floor.agrees()
    await unlink(floor.ledger.database, linked.link_id, "key_admin")
    assert await floor.ledger.sql(whose) == [(2,)]
    await floor.hears()
    await floor.agrees()


async def test_when_a_resolved_conversation_is_merged_and_parted_again(floor: Floor) -> None:
    ada, bea = await floor.resolved("ada"), await floor.resolved("bea")
    cyd = await floor.ledger.says("cyd")
    await floor.hears()
    for other in (bea, cyd):
        await floor.ledger.merge(ada.conversation_id, other.conversation_id)
        await floor.agrees()
        await floor.hears()
        await floor.agrees()
    await undo_merge(floor.ledger.database, bea.conversation_id, by="agt_1", owner=None, at=now())
    await floor.agrees()
    await floor.hears()
    await floor.agrees()


async def test_when_something_nobody_has_to_answer_is_filed(floor: Floor) -> None:
    await floor.ledger.says("ada", "I am on holiday", kind=MessageKind.AUTO_REPLY)
    await floor.agrees()
    await floor.resolved("ada")
    await floor.agrees()
