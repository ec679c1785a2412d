"""What the dispatchers of a process know of who resolves what: from the ledger, at once, and again after a restart."""

from datetime import timedelta

import pytest
from psycopg.errors import QueryCanceled

from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import match_pool, take_lease
from tests.integration.dispatch_ledger import (
    LONG_AGO,
    POOL,
    add_agent,
    add_conversation,
    add_resolution,
    add_ticket,
    rows,
    set_setting,
)

KIND = ("billing_question", None, "standard", "web_chat")


async def resolutions(database: Database, agent: str, outcomes: list[str], *, hour: int = 0) -> None:
    for number, code in enumerate(outcomes):
        conversation = f"con_{agent}_{number}"
        await add_conversation(database, conversation)
        await add_resolution(database, conversation, agent, code, LONG_AGO + timedelta(hours=hour, minutes=number))
    await rows(database, "update resolutions set intent = 'billing_question'")


async def test_few_cases_stay_near_the_team_and_many_tell(database: Database) -> None:
    for agent in ("agt_many", "agt_star", "agt_unlucky", "agt_new"):
        await add_agent(database, agent)
    await resolutions(database, "agt_many", ["resolved", "passed_on"] * 60)
    await resolutions(database, "agt_star", ["resolved"] * 2)
    await resolutions(database, "agt_unlucky", ["passed_on"] * 2)
    model = await LearnedFromLedger(database).model()
    team = model.probability("agt_new", *KIND)
    assert team.value == team.team
    for agent, own_rate in (("agt_star", 1.0), ("agt_unlucky", 0.0)):
        estimate = model.probability(agent, *KIND).value
        assert abs(estimate - team.value) < abs(own_rate - team.value) / 2
    assert model.probability("agt_star", *KIND).value > team.value > model.probability("agt_unlucky", *KIND).value


async def test_a_restart_forgets_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.ledger.learned.REFRESH_AFTER", timedelta())
    await add_agent(database, "agt_1")
    await add_agent(database, "agt_2")
    running = LearnedFromLedger(database)
    for hour, (agent, outcomes) in enumerate((("agt_1", ["resolved"] * 7), ("agt_2", ["passed_on", "resolved"] * 4))):
        await resolutions(database, agent, outcomes, hour=hour)
        await running.model()
    kept, rebuilt = await running.model(), await LearnedFromLedger(database).model()
    assert kept.version == rebuilt.version == "success-15"
    for agent in ("agt_1", "agt_2"):
        assert kept.probability(agent, *KIND).value == pytest.approx(rebuilt.probability(agent, *KIND).value, abs=0.02)


@pytest.mark.parametrize(("exploration", "gets_it"), [(0.0, "agt_known"), (0.2, "agt_new")])
async def test_a_new_agent_gets_cases_as_far_as_the_policy_lets_uncertainty_count(
    database: Database, exploration: float, gets_it: str
) -> None:
    await set_setting(database, "exploration", exploration)
    await set_setting(database, "preference_epsilon", 0)
    await add_agent(database, "agt_known")
    await add_agent(database, "agt_new")
    await add_agent(database, "agt_elsewhere", presence="offline")
    await resolutions(database, "agt_known", (["resolved"] * 4 + ["passed_on"]) * 8)
    await resolutions(database, "agt_elsewhere", (["resolved"] * 3 + ["passed_on"]) * 10)
    await add_ticket(database, "con_1", intent="billing_question")
    model = await LearnedFromLedger(database).model()
    await match_pool(database, await take_lease(database, POOL, "test"), model)
    [(agent, record)] = await rows(database, "select record ->> 'agent_id', record from routing_decisions")
    assert agent == gets_it
    explored = [part["value"] for part in record["parts"] if part["name"] == "exploration"]
    assert bool(explored) is (exploration > 0)
    assert all(value <= exploration * record["urgency"] + 1e-9 for value in explored)
    assert record["model_version"] == model.version == "success-80"


async def test_an_end_that_was_committed_late_is_learned_too_and_none_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ledger.learned.REFRESH_AFTER", timedelta())
    learned = LearnedFromLedger(database)
    await add_agent(database, "agt_1")
    for number, seconds in enumerate((30, 10, 31)):
        await add_conversation(database, f"con_{number}")
        await add_resolution(database, f"con_{number}", "agt_1", "resolved", LONG_AGO + timedelta(seconds=seconds))
        for _ in range(2):
            assert (await learned.model()).version == f"success-{number + 1}"


async def test_who_resolves_one_product_is_not_taken_to_resolve_another(database: Database) -> None:
    await add_agent(database, "agt_1")
    await resolutions(database, "agt_1", ["resolved"] * 25 + ["passed_on"] * 25)
    await rows(
        database,
        "update resolutions set product = case when wrap_up_code = 'resolved' then 'wallet' else 'card' end",
    )
    model = await LearnedFromLedger(database).model()
    wallet = model.probability("agt_1", "billing_question", "wallet", "standard", "web_chat")
    card = model.probability("agt_1", "billing_question", "card", "standard", "web_chat")
    assert wallet.value > 0.6 > card.value


async def test_who_comes_back_makes_a_failure_of_it_once_all_is_learned_again_beside(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ledger.learned.REFRESH_AFTER", timedelta())
    monkeypatch.setattr("storage.ledger.learned.RELEARN_AFTER", timedelta())
    await add_agent(database, "agt_1")
    await resolutions(database, "agt_1", ["resolved"] * 30)
    learned = LearnedFromLedger(database)
    before = (await learned.model()).probability("agt_1", *KIND).value
    await rows(database, "update conversations set episode = 2")

    at_once = (await learned.model()).probability("agt_1", *KIND).value

    assert at_once == before, "nobody waits for it"
    relearning = learned._relearning._task
    assert relearning is not None
    await relearning
    after = (await learned.model()).probability("agt_1", *KIND).value
    assert after < before - 0.2


async def test_a_history_that_takes_too_long_to_read_holds_no_dispatcher_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_long(*_: object, **__: object) -> None:
        raise QueryCanceled("canceling statement due to statement timeout")

    await add_agent(database, "agt_1")
    await resolutions(database, "agt_1", ["resolved"] * 3)
    learned = LearnedFromLedger(database)
    monkeypatch.setattr("storage.ledger.learned.ended_since", too_long)
    monkeypatch.setattr("storage.ledger.learned.FAILED_FOR", timedelta())
    assert (await learned.model()).version == "success-0"
    monkeypatch.undo()
    assert (await learned.model()).version == "success-3", "asked again once the time after a failure is over"
