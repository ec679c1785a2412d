"""A customer led to another channel, and asked how easy it was, on the real parts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg.types.json import Jsonb
from temporalio.client import Client
from temporalio.worker import Replayer

from api.app import create_app
from api.context import ApiContext
from channels.addresses import normal_address
from domain.channels import Channel
from storage.ids import new_id
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.migrate import key_digest
from storage.tables import ApiKey
from storage.violations import violations
from tests.workflow.conftest import SECRET, Floor
from workflows.conversation import Conversation
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import AcceptOffer, EndWrapUp, Reply, Resolve, UpdateName

ASK = "I need help setting up the app, can you walk me through the configuration step by step?"
MEETING = "https://meet.example/{id}"


async def agent(floor: Floor, name: str = "Ann") -> str:
    agent_id = await floor.agent(name)
    skills = dict.fromkeys(("technical", "screen_share", "billing", "refunds", "triage"), 5)
    await floor.sql("update agents set skills = %s where id = %s", Jsonb(skills), agent_id)
    return agent_id


async def accepted(floor: Floor, customer: str, text: str = ASK) -> tuple[TakenIn, AcceptOffer]:
    taken = await floor.says(customer, text)
    offer = await floor.pending_offer(taken.conversation_id)
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, offer)
    return taken, offer


async def resolved(floor: Floor, taken: TakenIn, agent_id: str) -> None:
    message = await floor.draft(taken, agent_id, "Done")
    await floor.ask(taken.conversation_id, UpdateName.REPLY, Reply(message, agent_id, None, None, internal=False))
    await floor.ask(taken.conversation_id, UpdateName.RESOLVE, Resolve(agent_id, "resolved"))
    await floor.ask(taken.conversation_id, UpdateName.END_WRAP_UP, EndWrapUp(agent_id))


async def suggestion(floor: Floor, conversation_id: str, state: str) -> tuple[object, ...]:
    async def there() -> tuple[object, ...] | None:
        rows = await floor.sql(
            "select id, channel, cause, thread_id, callback_at, resolved_there from suggestions"
            " where conversation_id = %s and state = %s",
            conversation_id,
            state,
        )
        return rows[0] if rows else None

    return await floor.until(there, f"a suggestion that is {state}")


async def said(floor: Floor, conversation_id: str, kind: str) -> list[str]:
    rows = await floor.sql(
        "select text from messages where conversation_id = %s and kind = %s order by at, id", conversation_id, kind
    )
    return [str(row[0]) for row in rows]


async def no_violations(floor: Floor) -> None:
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


@pytest.fixture
async def http(floor: Floor) -> AsyncIterator[httpx.AsyncClient]:
    async def reachable() -> Client:
        return floor.client

    async with floor.database.session() as session:
        session.add(ApiKey(id="key_boss", role="supervisor", digest=key_digest("bt_boss")))
    transport = httpx.ASGITransport(create_app(ApiContext(floor.database, reachable, SECRET)))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://baton", headers={"Authorization": "Bearer bt_boss"}
    ) as client:
        yield client


async def test_a_screen_sharing_case_on_chat_accepts_video_by_one_word_and_is_resolved_there(
    floor: Floor, http: httpx.AsyncClient
) -> None:
    await floor.set("suggestions", {"meeting_link": MEETING})
    ann = await agent(floor)
    taken, offer = await accepted(floor, "vera")
    conversation = taken.conversation_id
    offered = await suggestion(floor, conversation, "offered")
    assert offered[1:3] == ("video", "screen_sharing")
    assert "Reply VIDEO to accept" in (await said(floor, conversation, "suggestion"))[0]

    await floor.says("vera", "Video, please!")
    await suggestion(floor, conversation, "accepted")
    threads = await floor.sql(
        "select id, channel from threads where conversation_id = %s order by opened_at", conversation
    )
    assert [channel for _, channel in threads] == ["web_chat", "video"]
    assert f"https://meet.example/{offered[0]}" in (await said(floor, conversation, "suggestion"))[1]
    assert await floor.sql("select agent_id, channels, state from conversations where id = %s", conversation) == [
        (ann, ["web_chat", "video"], "assigned")
    ]
    assert await floor.sql("select count(*) from conversations") == [(1,)]
    held = await floor.sql("select agent_id, channel, units, how from assignments order by started_at")
    assert held == [(ann, "web_chat", 34, "offer"), (ann, "video", 100, "switch")]
    assert await floor.sql("select load from agents where id = %s", ann) == [(100,)]
    assert offer.agent_id == ann

    await resolved(floor, taken, ann)
    assert (await suggestion(floor, conversation, "accepted"))[5] is True
    told = (await http.get("/v1/kpis")).json()["kpis"]
    assert told["suggestion_acceptance"] == {"value": 1.0, "numerator": 1, "denominator": 1}
    assert told["suggestion_success"] == {"value": 1.0, "numerator": 1, "denominator": 1}
    shown = (await http.get(f"/v1/conversations/{conversation}/suggestions")).json()["data"]
    assert [(one["state"], one["via"], one["thread_id"]) for one in shown] == [("accepted", "word", threads[1][0])]
    await no_violations(floor)
    await Replayer(workflows=[Conversation], data_converter=DATA_CONVERTER).replay_workflow(
        await floor.handle(conversation).fetch_history()
    )


async def test_a_plain_yes_after_an_agents_question_is_the_answer_to_the_agent(floor: Floor) -> None:
    await floor.set("suggestions", {"meeting_link": MEETING})
    ann = await agent(floor)
    taken, _ = await accepted(floor, "willa")
    await suggestion(floor, taken.conversation_id, "offered")
    question = await floor.draft(taken, ann, "Is it the blue box?")
    await floor.ask(taken.conversation_id, UpdateName.REPLY, Reply(question, ann, None, None, internal=False))
    await floor.says("willa", "yes")
    await floor.in_state(taken.conversation_id, "assigned")
    assert (await suggestion(floor, taken.conversation_id, "offered"))[1] == "video"
    await floor.says("willa", "video")
    await suggestion(floor, taken.conversation_id, "accepted")


async def test_the_link_declines_and_nobody_is_asked_twice(floor: Floor, http: httpx.AsyncClient) -> None:
    await floor.set("suggestions", {"meeting_link": MEETING, "public_url": "https://support.example"})
    await agent(floor)
    taken, _ = await accepted(floor, "xena")
    await suggestion(floor, taken.conversation_id, "offered")
    text = (await said(floor, taken.conversation_id, "suggestion"))[0]
    path = text.rpartition("https://support.example")[2].strip()
    nobody = {"Authorization": ""}
    page = await http.get(path, headers={**nobody, "Accept": "text/html"})
    assert (page.status_code, "<form method=post>" in page.text) == (200, True)
    assert (await http.get(path[:-1] + "B", headers=nobody)).status_code == 404
    assert (await http.post(path, json={"answer": 3}, headers=nobody)).status_code == 422
    form = {**nobody, "Content-Type": "application/x-www-form-urlencoded"}
    taken_in = await http.post(path, content="answer=decline", headers=form)
    assert (taken_in.status_code, taken_in.json()["state"]) == (200, "taken")
    await suggestion(floor, taken.conversation_id, "declined")
    assert (await http.post(path, json={"answer": "decline"}, headers=nobody)).json()["state"] == "declined"
    late = await http.post(path, json={"answer": "accept"}, headers=nobody)
    assert (late.status_code, late.json()["code"]) == (409, "already_answered")
    again = await http.post(f"/v1/conversations/{taken.conversation_id}/suggestions", json={"channel": "video"})
    assert (again.status_code, again.json()["code"]) == (409, "cannot_suggest")
    assert await floor.sql("select count(*) from suggestions") == [(1,)]


async def test_a_long_wait_is_called_back_and_the_call_is_routed_at_its_time(floor: Floor) -> None:
    await floor.set(
        "suggestions", {"rules": [{"cause": "long_wait", "channels": ["voice"], "after_seconds": 0.2}],
                        "callback_after_seconds": 1}
    )  # fmt: skip
    await floor.sql(
        "insert into channel_accounts (id, channel, name, settings, active, created_at)"
        " values ('acc_v', 'voice', 'line', '{}', true, now())"
    )

    async def by_phone(text: str) -> TakenIn:
        async with floor.database.ledger.connection() as connection:
            return await take_in(
                connection,
                Intake(
                    channel=Channel.SMS,
                    account="line",
                    provider_message_id=new_id("p"),
                    sender=normal_address(Channel.SMS, "+4930901820"),
                    verified=True,
                    sent_at=datetime.now(UTC),
                    text=text,
                ),
            )

    taken = await by_phone(ASK)
    conversation = taken.conversation_id
    assert (await suggestion(floor, conversation, "offered"))[1:3] == ("voice", "long_wait")
    before = datetime.now(UTC)
    await by_phone("Ja bitte")
    callback_at = (await suggestion(floor, conversation, "accepted"))[4]
    assert isinstance(callback_at, datetime)
    assert callback_at >= before + timedelta(seconds=1)
    ann = await agent(floor)
    offer = await floor.pending_offer(conversation)
    assert await floor.sql("select channel, units from offers where id = %s", offer.offer_id) == [("voice", 100)]
    assert datetime.now(UTC) >= callback_at
    view = await floor.ask(conversation, UpdateName.ACCEPT_OFFER, offer)
    assert (view.agent_id, view.state) == (ann, "assigned")
    assert "callback_due" in await floor.told(conversation)
    await resolved(floor, taken, ann)
    assert (await suggestion(floor, conversation, "accepted"))[5] is True
    await no_violations(floor)


async def test_an_easy_score_is_kept_once_and_does_not_reopen(floor: Floor, http: httpx.AsyncClient) -> None:
    await floor.set("survey", {"enabled": True, "after_seconds": 0.1})
    ann = await agent(floor)
    taken, _ = await accepted(floor, "yara", "I was charged twice for my invoice, please refund me")
    await resolved(floor, taken, ann)

    async def asked() -> bool | None:
        return True if await floor.sql("select id from surveys") else None

    await floor.until(asked, "the survey")
    assert "Reply with one number" in (await said(floor, taken.conversation_id, "survey"))[0]
    answer = await floor.says("yara", " 6/7 ")
    second = await floor.says("yara", "2")
    assert answer.conversation_id == second.conversation_id == taken.conversation_id
    assert await floor.sql("select score, via from surveys") == [(6, "reply")]
    assert await floor.sql("select episode, state from conversations") == [(1, "resolved")]
    kpis = (await http.get("/v1/kpis")).json()["kpis"]
    assert kpis["customer_effort_score"]["value"] == 6
    assert kpis["effort_answer_rate"] == {"value": 1.0, "numerator": 1, "denominator": 1}
    more = await floor.says("yara", "7 parcels are missing now")
    await floor.in_state(more.conversation_id, "queued", "offered")
    ten = await floor.says("yara", "3")
    assert await floor.sql("select kind from messages where id = %s", ten.message_id) == [("message",)]
    await no_violations(floor)
