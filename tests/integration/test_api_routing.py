"""What is told of a decision, of a wait, and what an agent's word on the intent does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ids import new_id
from storage.ledger.case_facts import read_case
from storage.ledger.matching import match_pool, take_lease
from storage.migrate import key_digest
from storage.records.intent_corrections import read_corrections
from tests.conftest import ADMIN_KEY, SUPERVISOR_KEY
from tests.integration.dispatch_ledger import (
    POOL,
    add_agent,
    add_conversation,
    add_pool,
    add_ticket,
    rows,
    set_setting,
)

SECRET = b"0123456789abcdef" * 2
NOBODY_KNOWN = SuccessLearner().model()


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, SECRET))
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://baton", headers=headers
    ) as client:
        yield client


async def key_of(database: Database, agent_id: str) -> dict[str, str]:
    await rows(
        database,
        "insert into api_keys (id, role, digest, agent_id, label, created_at) values (%s, 'agent', %s, %s, '', now())",
        f"key_{agent_id}",
        key_digest(f"bt_agent_{agent_id}"),
        agent_id,
    )
    return {"Authorization": f"Bearer bt_agent_{agent_id}"}


async def said(database: Database, conversation_id: str, text: str, *, direction: str = "inbound") -> str:
    message_id = new_id("msg")
    await rows(
        database,
        "insert into messages (id, conversation_id, customer_id, direction, kind, author_kind, channel, account, text,"
        " attachments, at, delivery) values (%s, %s, %s, %s, 'message', 'customer', 'web_chat', 'shop', %s, '[]',"
        " clock_timestamp(), 'received')",
        message_id,
        conversation_id,
        f"cus_of_{conversation_id}",
        direction,
        text,
    )
    return message_id


async def test_a_decision_is_explained_to_the_agent_the_supervisor_and_the_admin(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_agent(database, "agt_1", skills={"billing": 3})
    await add_agent(database, "agt_2", skills={"billing": 2}, load=34)
    await add_agent(database, "agt_3")
    await add_ticket(database, "con_1", skills=[("billing", 2)], intent="billing_question", sentiment=-0.8)
    await match_pool(database, await take_lease(database, POOL, "test"), NOBODY_KNOWN)
    for headers in ({}, {"Authorization": f"Bearer {SUPERVISOR_KEY}"}, await key_of(database, "agt_1")):
        answer = await http.get("/v1/conversations/con_1/routing", headers=headers)
        assert answer.status_code == 200
        assert answer.json()["waiting"] is None
        [decision] = answer.json()["data"]
        assert (decision["agent_id"], decision["runner_up"]) == ("agt_1", "agt_2")
        assert decision["sentence"].startswith("billing, 0.70 likely to resolve (team 0.70)")
        assert decision["policy_version"].startswith("settings-")
        assert decision["model_version"] == "success-0"
        record = decision["record"]
        assert record["widening_step"] == 0
        assert [one["agent_id"] for one in record["candidates"]] == ["agt_1", "agt_2"]
        for candidate in record["candidates"]:
            assert candidate["score"] == pytest.approx(sum(part["value"] for part in candidate["parts"]))
        assert {"reason": "skill", "agents": 1} in record["exclusions"]
        assert "sentiment" in {part["name"] for part in record["urgency_parts"]}


async def test_a_wait_is_explained_with_what_would_change_it_and_when(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_pool(database, "second")
    await set_setting(database, "widening", [{"after_seconds": 60, "lower_levels": 1}])
    await set_setting(
        database,
        "overflow",
        [{"name": "many wait", "pool": POOL, "waiting_over": 5, "to_pools": ["second"]}],
    )
    await add_agent(database, "agt_full", skills={"billing": 5}, load=100)
    await add_agent(database, "agt_low", skills={"billing": 3})
    await add_agent(database, "agt_elsewhere", skills={"billing": 5}, pool="second")
    await add_ticket(
        database,
        "con_1",
        skills=[("billing", 4)],
        waited=timedelta(seconds=20),
        next_breach_at=datetime.now(UTC) + timedelta(hours=1),
    )
    await match_pool(database, await take_lease(database, POOL, "test"), NOBODY_KNOWN)
    answer = (await http.get("/v1/conversations/con_1/routing")).json()
    assert answer["data"] == []
    waiting = answer["waiting"]
    assert waiting["reason"] == "all_full"
    assert waiting["widening_step"] == 0
    assert waiting["waited_seconds"] >= 20
    assert waiting["urgency"] == pytest.approx(sum(part["value"] for part in waiting["urgency_parts"]))
    assert {(one["reason"], one["agents"]) for one in waiting["exclusions"]} == {
        ("capacity", 1),
        ("skill", 1),
        ("pool", 1),
    }
    told = [one["what"] for one in waiting["changes"]]
    assert told[0] == "widening: skill levels are lowered by 1"
    assert "its next promise is due" in told
    assert any(what.startswith("overflow many wait: When in default more than 5 wait") for what in told)
    assert "when an agent who fits has room again" in told
    timed = [one["at"] for one in waiting["changes"] if one["at"] is not None]
    assert timed == sorted(timed)
    assert "3 agents present: 1 of another pool, 1 without a skill or its level, 1 without room" in waiting["sentence"]


async def test_a_wait_under_overflow_and_after_a_decline_says_so(http: httpx.AsyncClient, database: Database) -> None:
    await set_setting(
        database, "overflow", [{"name": "old", "pool": POOL, "oldest_over_seconds": 5, "to_generalists": True}]
    )
    await add_agent(database, "agt_1")
    await add_ticket(
        database,
        "con_1",
        excluded=["agt_1"],
        exclusions_clear_in=timedelta(minutes=1),
        waited=timedelta(seconds=10),
    )
    waiting = (await http.get("/v1/conversations/con_1/routing")).json()["waiting"]
    assert waiting["overflow"] == ["old"]
    assert waiting["reason"] == "no_eligible_agent"
    assert "who declined may be asked again if nobody else can take it" in [one["what"] for one in waiting["changes"]]


async def test_a_wait_that_is_about_to_end_and_one_without_anybody(http: httpx.AsyncClient, database: Database) -> None:
    await add_ticket(database, "con_1")
    alone = (await http.get("/v1/conversations/con_1/routing")).json()["waiting"]
    assert (alone["reason"], alone["present"]) == ("no_eligible_agent", 0)
    assert "nobody who could take it is present" in alone["sentence"]
    await add_agent(database, "agt_1")
    nearly = (await http.get("/v1/conversations/con_1/routing")).json()["waiting"]
    assert nearly["reason"] is None
    assert "somebody could take it now" in nearly["sentence"]


async def test_an_agent_puts_the_intent_right_and_everybody_concerned_is_told_once(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_agent(database, "agt_1")
    await add_ticket(database, "con_1", intent="billing_question")
    await rows(database, "update conversations set intent = 'billing_question', intent_confidence = 0.4")
    asked = await said(database, "con_1", "you took my money twice")
    await said(database, "con_1", "hello?")
    headers = {**await key_of(database, "agt_1"), "Idempotency-Key": "once"}
    for _ in range(2):
        answer = await http.post("/v1/conversations/con_1/intent", json={"intent": "refund_request"}, headers=headers)
        assert answer.status_code == 201
        assert answer.json()["predicted"] == "billing_question"
        assert answer.json()["message_id"] == asked
    assert await rows(database, "select corrected, corrected_by, episode from intent_corrections") == [
        ("refund_request", "agt_1", 1)
    ]
    assert await rows(database, "select conversation_id, kind, payload ->> 'cause' from signals") == [
        ("con_1", "policy_changed", "intent corrected")
    ]
    assert await rows(database, "select kind, data from events where kind = 'intent_corrected'") == [
        ("intent_corrected", {"from": "billing_question", "to": "refund_request", "by": "agt_1"})
    ]
    [correction] = await read_corrections(database)
    assert (correction.text, correction.predicted, correction.corrected) == (
        "you took my money twice",
        "billing_question",
        "refund_request",
    )
    async with database.ledger.connection() as connection:
        assert (await read_case(connection, "con_1", ())).corrected_intent == "refund_request"
        await connection.execute("update conversations set state = 'resolved'")
        assert (await read_case(connection, "con_1", ())).corrected_intent is None


async def test_the_last_word_on_a_message_is_learned_and_an_emptied_message_is_not(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_conversation(database, "con_1")
    first, second = await said(database, "con_1", "cancel it"), await said(database, "con_1", "and refund me")
    for message, intent in ((first, "cancel_order"), (first, "cancel_subscription"), (second, "refund_request")):
        answer = await http.post("/v1/conversations/con_1/intent", json={"intent": intent, "message_id": message})
        assert answer.status_code == 201
    found = {one.text: one.corrected for one in await read_corrections(database)}
    assert found == {"cancel it": "cancel_subscription", "and refund me": "refund_request"}
    await rows(database, "update messages set text = '' where id = %s", first)
    assert [one.text for one in await read_corrections(database)] == ["and refund me"]


async def test_a_correction_that_can_not_be_meant_is_refused_and_changes_nothing(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_conversation(database, "con_1")
    await add_conversation(database, "con_2")
    elsewhere = await said(database, "con_2", "hello")
    ours = await said(database, "con_1", "hello", direction="outbound")
    for body, where in (
        ({"intent": "no_such"}, "/intent"),
        ({"intent": "refund_request", "message_id": elsewhere}, "/message_id"),
        ({"intent": "refund_request", "message_id": ours}, "/message_id"),
        ({"intent": "refund_request", "why": ""}, "/why"),
    ):
        answer = await http.post("/v1/conversations/con_1/intent", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, where)
    assert (await http.post("/v1/conversations/con_0/intent", json={"intent": "outage"})).status_code == 404
    await rows(database, "update conversations set state = 'closed' where id = 'con_1'")
    answer = await http.post("/v1/conversations/con_1/intent", json={"intent": "outage"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conversation_ended")
    assert await rows(database, "select 1 from intent_corrections") == []
    assert await rows(database, "select 1 from signals") == []


async def test_an_intent_of_the_house_s_own_may_be_named(http: httpx.AsyncClient, database: Database) -> None:
    own = {"warranty_claim": {"skills": {"returns": 3}, "product": "toaster", "complexity": 4, "usual_seconds": 900}}
    assert (await http.patch("/v1/settings", json={"intents": own})).json()["intents"] == own
    await add_conversation(database, "con_1")
    assert (await http.post("/v1/conversations/con_1/intent", json={"intent": "warranty_claim"})).status_code == 201


async def test_an_assistant_is_added_like_an_agent_and_serves_several_pools(
    http: httpx.AsyncClient, database: Database
) -> None:
    await add_pool(database, "billing")
    assistant = {
        "display_name": "Iris",
        "kind": "ai",
        "also_pools": ["billing"],
        "cost_per_case": 0.4,
        "expected_success": 0.55,
        "capacity": 1700,
        "skills": {"orders": 3},
    }
    answer = await http.post("/v1/agents", json=assistant)
    assert answer.status_code == 201
    assert assistant.items() <= answer.json().items()
    address = f"/v1/agents/{answer.json()['id']}"
    changed = await http.patch(address, json={"cost_per_case": 0.1, "also_pools": []})
    assert (changed.json()["cost_per_case"], changed.json()["also_pools"]) == (0.1, [])
    for wrong, where in (
        ({"also_pools": ["billing", "none"]}, "/also_pools/1"),
        ({"cost_per_case": -1}, "/cost_per_case"),
        ({"expected_success": 1.2}, "/expected_success"),
        ({"kind": "human"}, "/kind"),
    ):
        refused = await http.patch(address, json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, where)
    assert (await http.post("/v1/agents", json={**assistant, "kind": "robot"})).status_code == 422


async def test_what_weighs_in_the_routing_is_set_and_read_back(http: httpx.AsyncClient) -> None:
    wanted = {
        "exploration": 0.05,
        "longest_wait_seconds": 1800,
        "urgency_weights": {"sentiment": 1.5},
        "customer_value": {"contracts": {"enterprise": 1.4}, "average_lifetime_value": 900},
        "outages": [{"name": "payments are down", "intents": ["payment_failed"], "effect": "batch"}],
    }
    answer = (await http.patch("/v1/settings", json=wanted)).json()
    assert answer["urgency_weights"] == {
        "priority": 1.0,
        "wait": 0.25,
        "breach": 2.0,
        "sentiment": 1.5,
        "business": 1.0,
    }
    assert answer["customer_value"]["contracts"] == {"enterprise": 1.4}
    assert answer["customer_value"]["segments"]["gold"] == 1.35
    assert answer["outages"][0]["active"] is True
    again = (await http.patch("/v1/settings", json={"urgency_weights": {"wait": 1}})).json()["urgency_weights"]
    assert (again["wait"], again["sentiment"]) == (1.0, 1.5)
    for wrong, where in (
        ({"urgency_weights": {"mood": 1}}, "/urgency_weights"),
        ({"customer_value": {"renewal_days": -1}}, "/customer_value/renewal_days"),
        ({"outages": [{"name": "x", "weight": 1000}]}, "/outages/0/weight"),
        ({"intents": {"x": {"skills": {"billing": 9}}}}, "/intents"),
    ):
        refused = await http.patch("/v1/settings", json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, where)
