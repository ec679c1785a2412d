"""Ladder, alerts, escalation, endings and waking over HTTP on a running floor."""

import asyncio

import httpx
from psycopg.types.json import Jsonb
from temporalio.client import WorkflowExecutionStatus

from storage.ledger.intake import TakenIn
from storage.violations import violations
from tests.conftest import ADMIN_KEY, SUPERVISOR_KEY
from tests.workflow.conftest import Floor, key_of
from tests.workflow.test_api_desk_floor import ASK

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
SUPERVISOR = {"Authorization": f"Bearer {SUPERVISOR_KEY}"}


async def policy(desk: httpx.AsyncClient, targets: dict[str, float], ladder: list[dict[str, object]] | None) -> str:
    answer = await desk.post(
        "/v1/sla-policies",
        json={"name": "Promise", "targets": targets, "pause_on": ["pending_customer", "on_hold"], "ladder": ladder},
        headers=ADMIN,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def post(
    desk: httpx.AsyncClient, path: str, key: dict[str, str], body: object = None, status: int = 200
) -> dict[str, object]:
    answer = await desk.post(path, json={} if body is None else body, headers=key)
    assert answer.status_code == status, answer.text
    document: dict[str, object] = answer.json()
    return document


async def taken_by(floor: Floor, desk: httpx.AsyncClient, agent: str) -> tuple[TakenIn, dict[str, str], str]:
    """A conversation that this agent has accepted, the agent's key, and the conversation's path."""
    key = await key_of(floor.database, agent)
    taken = await floor.says("bea", ASK)
    offer = await floor.pending_offer(taken.conversation_id)
    await post(desk, f"/v1/offers/{offer.offer_id}/accept", key)
    return taken, key, f"/v1/conversations/{taken.conversation_id}"


async def alerts(desk: httpx.AsyncClient, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await desk.get(f"/v1/alerts{query}", headers=SUPERVISOR)).json()["data"]
    return found


async def one_alert(floor: Floor, desk: httpx.AsyncClient) -> dict[str, object]:
    async def raised() -> dict[str, object] | None:
        found = await alerts(desk)
        return found[0] if found else None

    return await floor.until(raised, "an alert")


async def test_a_supervisor_is_called_acknowledges_and_an_answer_settles_the_rest(
    floor: Floor, desk: httpx.AsyncClient
) -> None:
    ladder: list[dict[str, object]] = [{"at": 0.2, "do": "supervisor"}, {"at": 1, "do": "supervisor"}]
    await policy(desk, {"first_response_seconds": 1}, ladder)
    taken, key, path = await taken_by(floor, desk, await floor.agent("Ann"))
    first = await one_alert(floor, desk)
    assert (first["kind"], first["metric"], first["reason"]) == ("sla", "first_response", "sla_at_risk")
    queue = (await desk.get("/v1/queues", headers=SUPERVISOR)).json()["data"][0]
    assert queue["alerts"] >= 1

    acknowledged = await post(desk, f"/v1/alerts/{first['id']}/acknowledge", SUPERVISOR)
    again = await post(desk, f"/v1/alerts/{first['id']}/acknowledge", ADMIN)
    assert again["acknowledged_by"] == acknowledged["acknowledged_by"]
    assert (await floor.told(taken.conversation_id)).count("alert_acknowledged") == 1

    second = await one_alert(floor, desk)
    assert second["reason"] == "sla_breached"
    await post(desk, f"{path}/messages", key, {"text": "Here I am"}, 201)
    assert await alerts(desk) == []
    assert [one["settled_at"] is not None for one in await alerts(desk, "?everything=true")] == [True, True]
    missing = await desk.post("/v1/alerts/alr_none/acknowledge", headers=SUPERVISOR)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_a_changed_policy_reaches_every_open_conversation(floor: Floor, desk: httpx.AsyncClient) -> None:
    policy_id = await policy(desk, {"first_response_seconds": 3600}, [])
    open_ones = [(await floor.says(f"customer{number}", ASK)).conversation_id for number in range(5)]
    for conversation in open_ones:
        await floor.in_state(conversation, "queued")
    change = {"targets": {"first_response_seconds": 7200}, "ladder": [{"at": 0.5, "do": "raise"}]}
    answer = await desk.patch(f"/v1/sla-policies/{policy_id}", json=change, headers=ADMIN)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)

    async def reached() -> bool | None:
        rows = await floor.sql("select count(*) from clocks where target_seconds = 7200")
        return True if rows == [(5,)] else None

    await floor.until(reached, "the new target in all of them")
    assert await floor.sql("select bool_and(due_at = started_at + interval '2 hours') from clocks") == [(True,)]


async def test_a_ladder_out_of_order_is_pointed_at(desk: httpx.AsyncClient) -> None:
    body = {"name": "Wrong", "targets": {}, "ladder": [{"at": 1, "do": "reroute"}, {"at": 0.5, "do": "raise"}]}
    answer = await desk.post("/v1/sla-policies", json=body, headers=ADMIN)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/ladder"]


async def test_an_escalation_goes_to_the_people_of_a_pool_and_before_the_supervisors(
    floor: Floor, desk: httpx.AsyncClient
) -> None:
    await post(desk, "/v1/pools", ADMIN, {"name": "second_line"}, 201)
    _, key, path = await taken_by(floor, desk, await floor.agent("Ann"))
    unknown = await desk.post(f"{path}/escalate", json={"reason": "x", "pool": "nowhere"}, headers=key)
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/pool")
    done = await post(desk, f"{path}/escalate", key, {"reason": "They ask for a manager", "pool": "second_line"})
    assert (done["state"], done["pool"], done["priority"], done["agent_id"]) == ("queued", "second_line", 2, None)
    assert await floor.sql("select pool, urgent, priority from queue_tickets") == [("second_line", True, 2)]
    (alert,) = await alerts(desk, "?pool=second_line")
    assert (alert["kind"], alert["reason"]) == ("escalation", "They ask for a manager")
    assert await floor.sql("select load from agents") == [(0,)]


async def test_spam_is_closed_at_once_and_the_next_message_opens_a_new_conversation(
    floor: Floor, desk: httpx.AsyncClient
) -> None:
    taken, key, path = await taken_by(floor, desk, await floor.agent("Ann"))
    done = await post(desk, f"{path}/close", key, {"reason": "spam", "note": "Advertising"})
    assert done["state"] == "closed"
    handle = floor.handle(taken.conversation_id)
    await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert await floor.sql("select end_reason, wrap_up_code from resolutions") == [("spam", None)]
    assert await floor.sql("select load from agents") == [(0,)]
    assert await floor.sql("select text, delivery from messages where direction = 'internal'") == [
        ("Advertising", "sent")
    ]
    late = await desk.post(f"{path}/close", json={"reason": "spam"}, headers=key)
    assert (late.status_code, late.json()["code"]) == (409, "conversation_ended")
    again = await floor.says("bea", ASK)
    assert again.conversation_id != taken.conversation_id


async def test_a_hold_with_a_limit_ends_by_itself(floor: Floor, desk: httpx.AsyncClient) -> None:
    taken, key, path = await taken_by(floor, desk, await floor.agent("Ann"))
    held = await post(desk, f"{path}/hold", key, {"limit_seconds": 0.3})
    assert held["state"] == "on_hold"
    await floor.in_state(taken.conversation_id, "assigned")
    forever = await desk.post(f"{path}/hold", headers=key)
    assert (forever.status_code, forever.json()["state"]) == (200, "on_hold")


async def test_an_idle_conversation_wakes_to_its_owner_as_soon_as_there_is_room(
    floor: Floor, desk: httpx.AsyncClient
) -> None:
    await floor.set("idle_release_seconds", 0.2)
    await floor.set("reopen_window_seconds", 60)
    ann = await floor.agent("Ann", capacity=34)
    taken, key, path = await taken_by(floor, desk, ann)
    await post(desk, f"{path}/messages", key, {"text": "Is it solved?"}, 201)

    async def released() -> bool | None:
        return True if await floor.sql("select load from agents where id = %s", ann) == [(0,)] else None

    await floor.until(released, "the units to come back")
    other = await floor.says("carl", ASK)
    offer = await floor.pending_offer(other.conversation_id)
    await post(desk, f"/v1/offers/{offer.offer_id}/accept", key)
    bob = await floor.agent("Bob")
    await floor.says("bea", "No, it happened again")
    await floor.in_state(taken.conversation_id, "queued")
    assert await floor.sql("select owner_until is not null, affinity_agent = %s from queue_tickets", ann) == [
        (True, True)
    ]
    await post(desk, f"/v1/conversations/{other.conversation_id}/resolve", key, {"wrap_up_code": "resolved"})
    await post(desk, f"/v1/conversations/{other.conversation_id}/wrap-up/end", key)
    woken = await floor.pending_offer(taken.conversation_id)
    assert (woken.agent_id, woken.agent_id == bob) == (ann, False)
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_claims_at_once_take_no_more_than_there_is_room_for(floor: Floor, desk: httpx.AsyncClient) -> None:
    ann = await floor.agent("Ann", presence="away", capacity=70)
    key = await key_of(floor.database, ann)
    waiting = [await floor.says(f"customer{number}", ASK) for number in range(5)]
    for taken in waiting:
        await floor.in_state(taken.conversation_id, "queued")
    answers = await asyncio.gather(
        *(desk.post(f"/v1/conversations/{taken.conversation_id}/claim", headers=key) for taken in waiting)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409]
    assert await floor.sql("select load from agents") == [(68,)]


async def test_a_warm_transfer_by_skill_keeps_its_sender_until_the_accept(
    floor: Floor, desk: httpx.AsyncClient
) -> None:
    ann = await floor.agent("Ann")
    taken, key, path = await taken_by(floor, desk, ann)
    bob = await floor.agent("Bob")
    await floor.sql("update agents set skills = skills || '{\"contracts\": 4}' where id = %s", bob)
    asked = {"to": {"skills": {"contracts": 3}}, "kind": "warm", "note": "It is about the contract"}
    moving = await post(desk, f"{path}/transfer", key, asked)
    assert (moving["state"], moving["agent_id"]) == ("assigned", ann)
    offer = await floor.pending_offer(taken.conversation_id)
    assert offer.agent_id == bob
    bob_key = await key_of(floor.database, bob)
    moved = await post(desk, f"/v1/offers/{offer.offer_id}/accept", bob_key)
    assert moved["agent_id"] == bob
    assert await floor.sql("select display_name, load from agents order by 1") == [("Ann", 0), ("Bob", 34)]


async def test_a_cold_transfer_to_a_pool_waits_there_at_its_old_age(floor: Floor, desk: httpx.AsyncClient) -> None:
    await post(desk, "/v1/pools", ADMIN, {"name": "second_line"}, 201)
    _, key, path = await taken_by(floor, desk, await floor.agent("Ann"))
    moved = await post(desk, f"{path}/transfer", key, {"to": {"pool": "second_line"}, "kind": "cold"})
    assert (moved["state"], moved["pool"], moved["agent_id"]) == ("queued", "second_line", None)
    assert await floor.sql("select queued_at = (select min(at) from messages) from queue_tickets") == [(True,)]


async def test_a_claim_over_a_ceiling_is_refused(floor: Floor, desk: httpx.AsyncClient) -> None:
    ann = await floor.agent("Ann", presence="away", capacity=1000)
    await floor.sql("update agents set channel_ceilings = %s", Jsonb({"web_chat": 1}))
    key = await key_of(floor.database, ann)
    first, second = [await floor.says(name, ASK) for name in ("bea", "carl")]
    for taken in (first, second):
        await floor.in_state(taken.conversation_id, "queued")
    await post(desk, f"/v1/conversations/{first.conversation_id}/claim", key)
    full = await desk.post(f"/v1/conversations/{second.conversation_id}/claim", headers=key)
    assert (full.status_code, full.json()["code"]) == (409, "no_capacity")
