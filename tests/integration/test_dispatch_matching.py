import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.converter import DataConverter

from domain.routing.experience import NOTHING_EXPERIENCED
from domain.routing.from_settings import policy_of
from domain.routing.model import UnmatchedReason
from domain.routing.success import SuccessLearner
from domain.settings import DEFAULTS
from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import FencedOffError, Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from storage.ledger.success_history import HistoryPosition, ended_since
from storage.ledger.why_waiting import why_waiting
from tests.integration.dispatch_ledger import (
    LONG_AGO,
    POOL,
    add_agent,
    add_assignment,
    add_conversation,
    add_pool,
    add_resolution,
    add_ticket,
    loads,
    offered,
    rows,
    set_setting,
)
from workflows.messages import OfferMade, SignalName

NOBODY_KNOWN = SuccessLearner().model()


async def matched(database: Database, pool: str = POOL) -> Pass:
    return await match_pool(database, await take_lease(database, pool, "test"), NOBODY_KNOWN)


async def test_a_waiting_conversation_is_offered_to_who_is_free(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    done = await matched(database)
    [(offer, state, ticket, agent, units)] = await rows(
        database, "select id, state, ticket, agent_id, units from offers"
    )
    assert (state, ticket, agent, units) == ("pending", 1, "agt_1", 34)
    assert [made.offer_id for made in done.offers] == [offer]
    assert await loads(database) == {"agt_1": 34}
    assert await rows(database, "select 1 from queue_tickets") == []
    assert await rows(database, "select last_assigned_at = o.created_at from agents, offers o") == [(True,)]


async def test_the_conversation_is_owed_the_signal_its_workflow_reads(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1", auto_accept=True)
    await matched(database)
    [(conversation, kind, payload)] = await rows(database, "select conversation_id, kind, payload from signals")
    assert (conversation, kind) == ("con_1", SignalName.OFFER_MADE)
    [(offer, expires, reason, seconds)] = await rows(
        database, "select id, expires_at, reason, extract(epoch from expires_at - created_at)::int from offers"
    )
    [encoded] = await DataConverter.default.encode([payload])
    [decoded] = await DataConverter.default.decode([encoded], [OfferMade])
    assert decoded == OfferMade(offer, 1, "agt_1", expires, auto_accept=True, reason=reason)
    assert seconds == 30


async def test_the_decision_is_recorded_with_its_candidates_and_versions(database: Database) -> None:
    await add_agent(database, "agt_1", skills={"billing": 3})
    await add_agent(database, "agt_2")
    await add_ticket(database, "con_1", skills=[("billing", 2)])
    await matched(database)
    [(policy, model, record)] = await rows(
        database, "select policy_version, model_version, record from routing_decisions"
    )
    assert policy.startswith("settings-")
    assert model == NOBODY_KNOWN.version
    assert record["agent_id"] == "agt_1"
    assert {"reason": "skill", "agents": 1} in record["exclusions"]
    assert record["score"] == pytest.approx(sum(part["value"] for part in record["parts"]))


async def test_skills_and_languages_decide_who_may_take_it(database: Database) -> None:
    await add_agent(database, "agt_low", skills={"billing": 2}, languages=["fr"])
    await add_agent(database, "agt_mute", skills={"billing": 5}, languages=["en"])
    await add_agent(database, "agt_right", skills={"billing": 4}, languages=["fr", "en"])
    await add_ticket(database, "con_1", skills=[("billing", 4)], languages=["fr"])
    await matched(database)
    assert await offered(database) == {"con_1": "agt_right"}


async def test_nobody_gets_more_than_they_can_hold(database: Database) -> None:
    await add_agent(database, "agt_1", capacity=100, load=20)
    for number in range(4):
        await add_ticket(database, f"con_{number}", units=34)
    done = await matched(database)
    assert len(await offered(database)) == 2
    assert await loads(database) == {"agt_1": 88}
    assert len(done.unmatched) == 2


async def test_a_ceiling_counts_live_assignments_and_pending_offers(database: Database) -> None:
    await add_agent(database, "agt_1", capacity=1000, load=20, ceilings={"web_chat": 2})
    await add_conversation(database, "con_held")
    await add_assignment(database, "con_held", "agt_1", units=20)
    await add_ticket(database, "con_1", units=10)
    await matched(database)
    await add_ticket(database, "con_2", units=10)
    await add_ticket(database, "con_3", units=10, channel="sms")
    await matched(database)
    assert set(await offered(database)) == {"con_1", "con_3"}


@pytest.mark.parametrize("presence", ["away", "offline", "not_responding"])
async def test_who_is_not_there_is_offered_nothing(database: Database, presence: str) -> None:
    await add_agent(database, "agt_1", presence=presence)
    await add_agent(database, "agt_2", active=False)
    await add_ticket(database, "con_1")
    await add_ticket(database, "con_2", only_agent="agt_1")
    await matched(database)
    assert await offered(database) == {}


async def test_transfers_only_takes_what_names_the_agent(database: Database) -> None:
    await add_agent(database, "agt_1", presence="transfers_only")
    await add_ticket(database, "con_any")
    await add_ticket(database, "con_named", only_agent="agt_1", skills=[("billing", 5)])
    await matched(database)
    assert await offered(database) == {"con_named": "agt_1"}


async def test_a_named_agent_of_another_pool_is_found(database: Database) -> None:
    await add_pool(database, "second")
    await add_agent(database, "agt_1")
    await add_agent(database, "agt_2", pool="second")
    await add_ticket(database, "con_named", only_agent="agt_2")
    await matched(database)
    assert await offered(database) == {"con_named": "agt_2"}


async def test_who_declined_is_asked_again_only_when_nobody_else_can_and_the_cool_down_is_over(
    database: Database,
) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1", excluded=["agt_1"], exclusions_clear_in=timedelta(minutes=1))
    first = await matched(database)
    assert await offered(database) == {}
    assert first.until_next_change is not None
    assert first.until_next_change <= timedelta(minutes=1)
    await rows(database, "update queue_tickets set exclusions_clear_at = now()")
    await matched(database)
    assert await offered(database) == {"con_1": "agt_1"}


async def test_a_warm_transfer_takes_units_of_the_next_agent_and_never_goes_to_the_present_one(
    database: Database,
) -> None:
    await add_agent(database, "agt_here", load=34)
    await add_agent(database, "agt_next", load=60)
    await add_ticket(database, "con_1")
    await add_assignment(database, "con_1", "agt_here")
    await matched(database)
    assert await offered(database) == {"con_1": "agt_next"}
    assert await loads(database) == {"agt_here": 34, "agt_next": 94}


async def test_an_urgent_case_asks_no_more_than_the_last_widening_step(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_calm", skills=[("billing", 4)])
    await add_ticket(database, "con_urgent", skills=[("billing", 4)], urgent=True)
    await matched(database)
    assert await offered(database) == {"con_urgent": "agt_1"}


async def test_a_long_wait_widens_by_the_admins_steps(database: Database) -> None:
    await add_agent(database, "agt_1", skills={"billing": 2})
    await add_ticket(database, "con_new", skills=[("billing", 3)])
    await add_ticket(database, "con_old", skills=[("billing", 3)], waited=timedelta(seconds=40))
    await set_setting(database, "widening", [{"after_seconds": 30, "lower_levels": 1}])
    await matched(database)
    assert await offered(database) == {"con_old": "agt_1"}


async def test_widening_reaches_the_agents_of_other_pools(database: Database) -> None:
    await add_pool(database, "second")
    await add_agent(database, "agt_2", pool="second")
    await add_ticket(database, "con_old", waited=timedelta(seconds=40))
    assert await matched(database) is not None
    assert await offered(database) == {}
    await set_setting(database, "widening", [{"after_seconds": 30, "extra_pools": ["second"]}])
    await matched(database)
    assert await offered(database) == {"con_old": "agt_2"}


async def test_an_unreadable_setting_is_told_and_stops_nobody_from_being_served(database: Database) -> None:
    await set_setting(database, "widening", 7)
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    done = await matched(database)
    assert done.settings_unreadable
    assert await offered(database) == {"con_1": "agt_1"}


async def test_a_fenced_holder_commits_nothing(database: Database) -> None:
    old = await take_lease(database, POOL, "old")
    await take_lease(database, POOL, "new")
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    with pytest.raises(FencedOffError):
        await match_pool(database, old, NOBODY_KNOWN)
    assert await offered(database) == {}
    assert await loads(database) == {"agt_1": 0}


async def test_a_lease_taken_during_a_pass_waits_for_its_commit(database: Database) -> None:
    lease = await take_lease(database, POOL, "old")
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    async with database.ledger.connection() as other:
        await other.execute("select 1 from agents for no key update")
        running = asyncio.create_task(match_pool(database, lease, NOBODY_KNOWN))
        taking = asyncio.create_task(take_lease(database, POOL, "new"))
        await other.rollback()
    await asyncio.gather(running, taking, return_exceptions=True)
    # Either the pass came first and its offer stands, or the lease did and nothing does.
    result = running.exception()
    assert (await offered(database) == {}) == isinstance(result, FencedOffError)
    with pytest.raises(FencedOffError):
        await match_pool(database, lease, NOBODY_KNOWN)


async def test_two_dispatchers_at_once_offer_everything_exactly_once(database: Database) -> None:
    for number in range(10):
        await add_agent(database, f"agt_{number}", capacity=102)
    for number in range(40):
        await add_ticket(database, f"con_{number:02}")

    async def dispatch(name: str) -> int:
        made = 0
        for _ in range(10):
            try:
                made += len((await match_pool(database, await take_lease(database, POOL, name), NOBODY_KNOWN)).offers)
            except FencedOffError:
                continue
        return made

    made = await asyncio.gather(dispatch("one"), dispatch("two"))
    await matched(database)
    assert sum(made) <= 30
    assert len(await offered(database)) == 30
    assert await rows(database, "select count(*), count(distinct conversation_id) from offers") == [(30, 30)]
    assert set((await loads(database)).values()) == {102}
    assert await rows(database, "select count(*) from queue_tickets") == [(10,)]
    assert await rows(database, "select count(*), count(distinct conversation_id) from signals") == [(30, 30)]


async def test_two_pools_that_share_agents_never_fill_one_beyond_capacity(database: Database) -> None:
    await add_pool(database, "second")
    await set_setting(database, "widening", [{"after_seconds": 0, "extra_pools": ["second", "default"]}])
    for number in range(6):
        await add_agent(database, f"agt_{number}", capacity=68, pool="second" if number % 2 else POOL)
    for number in range(20):
        await add_ticket(database, f"con_{number:02}", pool="second" if number % 2 else POOL)
    await asyncio.gather(matched(database), matched(database, "second"))
    await asyncio.gather(matched(database), matched(database, "second"))
    assert await rows(database, "select count(*), count(distinct conversation_id) from offers") == [(12, 12)]
    assert set((await loads(database)).values()) == {68}


async def test_a_ticket_that_somebody_holds_is_skipped_and_the_others_are_offered(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    await add_ticket(database, "con_2")
    async with database.ledger.connection() as other:
        await other.execute("select 1 from queue_tickets where conversation_id = 'con_1' for update")
        await matched(database)
        assert await offered(database) == {"con_2": "agt_1"}


async def test_an_offer_the_database_refuses_costs_only_itself(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1")
    await add_ticket(database, "con_2")
    await rows(database, "alter table offers add constraint no_second check (conversation_id <> 'con_2')")
    lease = await take_lease(database, POOL, "test")
    done = await match_pool(database, lease, NOBODY_KNOWN)
    assert [(one.conversation_id, one.constraint) for one in done.refused] == [("con_2", "no_second")]
    assert await offered(database) == {"con_1": "agt_1"}
    assert await loads(database) == {"agt_1": 34}
    assert (await match_pool(database, lease, NOBODY_KNOWN, passed_over=["con_2"])).refused == ()


async def test_a_queue_kept_between_passes_follows_the_ledger(database: Database) -> None:
    lease = await take_lease(database, POOL, "test")
    queue = PoolQueue(POOL)
    await add_agent(database, "agt_1", capacity=1000)
    for name in ("con_stays", "con_changes", "con_leaves"):
        await add_ticket(database, name, skills=[("billing", 1)])
    assert (await match_pool(database, lease, NOBODY_KNOWN, queue=queue)).offers == ()
    await rows(database, "update queue_tickets set required_skills = '[]' where conversation_id = 'con_changes'")
    await rows(database, "delete from queue_tickets where conversation_id = 'con_leaves'")
    await add_ticket(database, "con_comes")
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    assert await offered(database) == {"con_changes": "agt_1", "con_comes": "agt_1"}
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    assert set(queue.tickets) == {"con_stays"}


async def test_a_ticket_that_changed_after_it_was_read_is_not_decided_on(database: Database) -> None:
    queue = PoolQueue(POOL)
    await add_ticket(database, "con_1")
    await add_ticket(database, "con_2")
    async with database.ledger.connection() as connection:
        await queue.follow(connection, DEFAULTS, policy_of(DEFAULTS), NOTHING_EXPERIENCED, datetime.now(UTC), [])
        await rows(database, "update queue_tickets set urgent = true where conversation_id = 'con_1'")
        assert await queue.lock(connection, ["con_1", "con_2"]) == {"con_2"}


async def test_the_model_learns_what_ended_since_it_was_last_asked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ledger.learned.REFRESH_AFTER", timedelta())
    learned = LearnedFromLedger(database)
    await add_agent(database, "agt_1")
    assert (await learned.model()).version == "success-0"
    for number in (1, 2):
        await add_conversation(database, f"con_{number}")
        await add_resolution(database, f"con_{number}", "agt_1", "resolved", LONG_AGO + timedelta(hours=number))
        assert (await learned.model()).version == f"success-{number}"


async def test_success_is_learned_from_who_ended_a_case_and_who_only_held_it(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_agent(database, "agt_2")
    await add_ticket(database, "con_1")
    await add_assignment(database, "con_1", "agt_1")
    for number, code in enumerate(["resolved", "passed_on", "spam"]):
        await add_conversation(database, f"con_of_{code}")
        await add_resolution(database, f"con_of_{code}", "agt_2", code, LONG_AGO + timedelta(hours=number))
    await add_resolution(database, "con_1", "agt_2", "resolved", LONG_AGO + timedelta(hours=5))
    history = await ended_since(database, HistoryPosition(), at_most=100)
    assert [(one.agent_id, one.resolved) for one in history.resolutions] == [
        ("agt_2", True),
        ("agt_2", False),
        ("agt_1", False),
        ("agt_2", True),
    ]
    assert (await ended_since(database, history.position, at_most=100)).resolutions == ()
    await rows(database, "update conversations set episode = 2 where id = 'con_1'")
    again = await ended_since(database, HistoryPosition(), at_most=1)
    assert [(one.agent_id, one.resolved) for one in again.resolutions] == [("agt_1", False), ("agt_2", False)]


async def test_a_pool_of_calls_keeps_a_last_place_that_was_just_freed(database: Database) -> None:
    """Two minutes at most, from who is late by far: who calls next can still be answered in time."""
    lease = await take_lease(database, POOL, "test")
    await set_setting(database, "routing_presets", {POOL: "live_calls"})
    await add_agent(database, "agt_1", capacity=60, presence_since=LONG_AGO)
    await add_conversation(database, "con_before")
    await add_assignment(database, "con_before", "agt_1")
    await rows(database, "update assignments set ended_at = now() - interval '20 seconds'")
    long_late = datetime.now(UTC) - timedelta(minutes=30)
    await add_ticket(database, "con_late", waited=timedelta(hours=1), next_breach_at=long_late)
    kept = await match_pool(database, lease, NOBODY_KNOWN)
    assert [one.reason for one in kept.unmatched] == [UnmatchedReason.PLACE_KEPT_FREE]
    waiting = await why_waiting(database, "con_late", LearnedFromLedger(database))
    assert waiting is not None
    assert "the last free place is kept for a while" in waiting.sentence
    assert waiting.sentence.endswith("UTC: the last free place is kept no longer.")
    ((freed_at,),) = await rows(database, "select ended_at from assignments")
    assert kept.next_change_at == freed_at + timedelta(minutes=2)
    await rows(database, "update assignments set ended_at = now() - interval '3 minutes'")
    await match_pool(database, lease, NOBODY_KNOWN)
    assert await offered(database) == {"con_late": "agt_1"}
