"""Merge, undo and split over HTTP on a running floor."""

import httpx

from domain.channels import Channel
from storage.migrate import key_digest
from storage.tables import ApiKey
from storage.violations import violations
from tests.workflow.conftest import Floor, key_of
from tests.workflow.test_conversation_floor import accepted
from workflows.search_attributes import MERGED_INTO


async def test_an_agent_merges_undoes_and_splits(floor: Floor, desk: httpx.AsyncClient) -> None:
    ann = await floor.agent("Ann")
    key = await key_of(floor.database, ann)
    stranger = await key_of(floor.database, await floor.agent("Bob", presence="offline"))
    mine, _ = await accepted(floor, customer="bea")
    other, _ = await accepted(floor, customer="cyd")
    path = f"/v1/conversations/{other.conversation_id}"

    foreign = await desk.post(f"{path}/merge", json={"into": mine.conversation_id}, headers=stranger)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_yours")
    itself = await desk.post(f"{path}/merge", json={"into": other.conversation_id}, headers=key)
    assert (itself.status_code, itself.json()["errors"][0]["pointer"]) == (422, "/into")
    unknown = await desk.post(f"{path}/merge", json={"into": "con_nowhere"}, headers=key)
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/into")
    await floor.sql("update identities set verified = false where customer_id = %s", other.customer_id)
    for _ in range(2):
        merged = await desk.post(f"{path}/merge", json={"into": mine.conversation_id}, headers=key)
        assert (merged.status_code, merged.json()["id"]) == (200, mine.conversation_id), merged.text
    await floor.handle(other.conversation_id).result()
    gone = await desk.post(f"{path}/messages", json={"text": "too late"}, headers=key)
    assert (gone.status_code, gone.json()["code"]) == (409, "conversation_ended")
    gone = await desk.post(f"{path}/hold", headers=key)
    assert (gone.status_code, gone.json()["code"]) == (409, "conversation_ended")

    undone = await desk.post(f"/v1/conversations/{mine.conversation_id}/unmerge", headers=key)
    assert undone.status_code == 201, undone.text
    new = undone.json()
    assert (new["customer_id"], [one["id"] for one in new["threads"]]) == (other.customer_id, [other.thread_id])
    again = await desk.post(f"/v1/conversations/{mine.conversation_id}/unmerge", headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "not_merged")
    offer = await floor.pending_offer(new["id"])
    assert offer.agent_id == ann

    joined = await floor.says("bea", "by the way", channel=Channel.SMS)
    assert joined.conversation_id == mine.conversation_id
    parted = await desk.post(f"/v1/conversations/{mine.conversation_id}/threads/{joined.thread_id}/split", headers=key)
    assert parted.status_code == 201, parted.text
    assert parted.json()["channels"] == ["sms"]
    last = await desk.post(f"/v1/conversations/{mine.conversation_id}/threads/{mine.thread_id}/split", headers=key)
    assert (last.status_code, last.json()["code"]) == (409, "last_thread")
    await floor.pending_offer(parted.json()["id"])

    timeline = (await desk.get(f"/v1/conversations/{mine.conversation_id}/timeline", headers=key)).json()["data"]
    told = {entry["event"]: entry["data"] for entry in timeline if entry["kind"] == "event"}
    assert not any("record" in data for data in told.values())
    assert (told["conversation_absorbed"]["by"], told["conversation_absorbed"]["cause"]) == (ann, "agent")
    assert told["thread_joined"]["channel"] == "sms"
    assert told["threads_split"]["into"] == parted.json()["id"]

    async def forgotten() -> bool | None:
        rows = await floor.sql("select channels from conversations where id = %s", mine.conversation_id)
        return True if rows == [(["web_chat"],)] else None

    await floor.until(forgotten, "the conversation to forget the threads")
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_a_supervisor_knows_two_proven_addresses_for_one_person(floor: Floor, desk: httpx.AsyncClient) -> None:
    async with floor.database.session() as session:
        session.add(ApiKey(id="key_sup", role="supervisor", digest=key_digest("bt_sup")))
    key = await key_of(floor.database, await floor.agent("Ann"))
    (one, _), (other, _) = await accepted(floor, customer="bea"), await accepted(floor, customer="bea.at.home")
    path = f"/v1/conversations/{other.conversation_id}/merge"
    opposed = await desk.post(path, json={"into": one.conversation_id}, headers=key)
    assert (opposed.status_code, opposed.json()["code"]) == (409, "identity_conflict")
    forced = await desk.post(path, json={"into": one.conversation_id, "force": True}, headers=key)
    assert (forced.status_code, forced.json()["code"]) == (403, "forbidden")

    boss = {"Authorization": "Bearer bt_sup"}
    answer = await desk.post(path, json={"into": one.conversation_id, "force": True}, headers=boss)
    assert (answer.status_code, answer.json()["id"]) == (200, one.conversation_id), answer.text
    await floor.handle(other.conversation_id).result()
    described = await floor.handle(other.conversation_id).describe()
    assert described.typed_search_attributes[MERGED_INTO] == one.conversation_id
    assert await floor.sql("select distinct customer_id from identities") == [(one.customer_id,)]
