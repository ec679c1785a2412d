"""The desk over HTTP on a running floor: what the workflows answer is what the agent is told."""

import httpx

from tests.workflow.conftest import Floor, key_of

ASK = "I was charged twice for my invoice, please refund me"


async def test_an_agent_works_through_a_conversation_over_http(floor: Floor, desk: httpx.AsyncClient) -> None:
    ann = await floor.agent("Ann")
    ann_key = await key_of(floor.database, ann)
    bob_key = await key_of(floor.database, await floor.agent("Bob", presence="offline"))
    taken = await floor.says("ann", ASK)
    offer = await floor.pending_offer(taken.conversation_id)
    path = f"/v1/conversations/{taken.conversation_id}"

    for _ in range(2):
        accepted = await desk.post(f"/v1/offers/{offer.offer_id}/accept", headers=ann_key)
        assert (accepted.status_code, accepted.json()["agent_id"]) == (200, ann)
    late = await desk.post(f"/v1/offers/{offer.offer_id}/decline", json={"reason": "x"}, headers=ann_key)
    assert (late.status_code, late.json()["code"]) == (409, "offer_gone")
    foreign = await desk.post(f"{path}/messages", json={"text": "I butt in"}, headers=bob_key)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_yours")
    assert await floor.sql("select delivery from messages where text = 'I butt in'") == [("withdrawn",)]

    once = {**ann_key, "Idempotency-Key": "reply"}
    sent = [await desk.post(f"{path}/messages", json={"text": "Done."}, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()
    early = await desk.post(f"{path}/wrap-up/end", headers=ann_key)
    assert (early.status_code, early.json()["code"]) == (409, "wrong_state")
    resolved = await desk.post(
        f"{path}/resolve", json={"wrap_up_code": "resolved", "note": "Refunded."}, headers=ann_key
    )
    assert resolved.status_code == 200, resolved.text
    assert (resolved.status_code, resolved.json()["state"]) == (200, "wrap_up")
    ended = await desk.post(f"{path}/wrap-up/end", headers=ann_key)
    assert (ended.status_code, ended.json()["state"]) == (200, "resolved")
    reopened = await desk.post(f"{path}/reopen", headers=ann_key)
    assert (reopened.status_code, reopened.json()["episode"]) == (200, 2)

    timeline = (await desk.get(f"{path}/timeline", headers=ann_key)).json()["data"]
    said = [(one["kind"], one["text"]) for one in timeline if one["kind"] != "event"]
    assert said == [("message", ASK), ("message", "Done."), ("note", "Refunded.")]
    decisions = (await desk.get(f"{path}/routing", headers=ann_key)).json()["data"]
    assert decisions[0]["offer_state"] == "accepted"
