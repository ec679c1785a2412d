"""Recorded decisions of a real ledger, replayed."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.matching import match_pool, take_lease
from storage.tables.agents import PresenceSpan
from storage.tables.routing import Assignment
from tests.integration.dispatch_ledger import POOL, add, add_agent, add_ticket, rows
from workers.replay import Asked, NothingToReplayError, replay


async def online_since(database: Database, agent_id: str, at: datetime) -> None:
    await add(database, PresenceSpan(agent_id=agent_id, presence="online", capacity=100, started_at=at))


async def test_what_a_dispatcher_decided_is_replayed_with_one_agent_fewer(database: Database) -> None:
    for name, skill in (("agt_1", 5), ("agt_2", 3)):
        await add_agent(database, name, skills={"billing": skill}, languages=("en",), capacity=34)
        await online_since(database, name, datetime.now(UTC) - timedelta(minutes=10))
    for name in ("con_1", "con_2"):
        await add_ticket(database, name, skills=[("billing", 3)], languages=("en",))
    await match_pool(database, await take_lease(database, POOL, "test"), SuccessLearner().model())
    offers = await rows(database, "select id, conversation_id, agent_id from offers order by id")
    now = datetime.now(UTC)
    for offer_id, conversation_id, agent_id in offers:
        await add(
            database,
            Assignment(
                id=f"asg_{conversation_id}",
                conversation_id=conversation_id,
                episode=1,
                agent_id=agent_id,
                offer_id=offer_id,
                channel="web_chat",
                units=34,
                how="offer",
                full_history=True,
                started_at=now,
                ended_at=now + timedelta(seconds=30),
                end_cause="resolved",
            ),
        )
    until = now + timedelta(minutes=5)
    same = await replay(database, Asked(until=until))
    assert (same.decisions, same.unrecorded, same.by_hand) == (2, 0, 0)
    assert same.recorded_policies == same.present_policies == same.other_policies
    assert (same.comparison.recorded.taken, same.comparison.present.taken) == (2, 2)
    assert same.comparison.changed == ()
    fewer = await replay(database, Asked(until=until, without=("agt_1",)))
    assert fewer.comparison.other.taken == 2
    assert fewer.comparison.other.mean_wait > fewer.comparison.present.mean_wait
    assert {one.other_agent for one in fewer.comparison.changed} == {"agt_2"}


async def test_a_ledger_without_decisions_has_nothing_to_replay(database: Database) -> None:
    with pytest.raises(NothingToReplayError, match="nothing was decided"):
        await replay(database, Asked())
