"""Understanding on a running floor: a newly trained model, an agent's correction and a change of mood take effect."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from intelligence.model_store import ModelStore
from intelligence.train import ensure_models
from intelligence.triage import MessageTriage
from storage.ids import new_id
from storage.records.intent_corrections import correct_intent
from storage.violations import violations
from tests.workflow.conftest import Floor
from workers.command_line import app
from workflows.messages import ConversationView, QueryName

NONSENSE = "zorgle my frumpet with gribbles"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("own-models"))
    ensure_models(ModelStore(folder), datetime.now(UTC))
    return folder


@pytest.fixture(scope="module")
def triage(models: Path) -> MessageTriage:
    """The floor's worker reads messages with a store of this module's own."""
    return MessageTriage(ModelStore(models))


async def specialist(floor: Floor, name: str, **skills: int) -> str:
    agent_id = await floor.agent(name)
    await floor.sql("update agents set skills = %s where id = %s", Jsonb(skills), agent_id)
    return agent_id


async def intent_of(floor: Floor, conversation_id: str) -> tuple[str | None, float | None]:
    async def understood() -> tuple[str | None, float | None] | None:
        [(step, intent, confidence)] = await floor.sql(
            "select step, intent, intent_confidence from conversations where id = %s", conversation_id
        )
        return (intent, confidence) if step else None  # type: ignore[return-value] # the columns are these

    return await floor.until(understood, "the first assessment")


async def steps_of(floor: Floor, conversation_id: str) -> int:
    view: ConversationView = await floor.handle(conversation_id).query(QueryName.STATE, result_type=ConversationView)
    return view.step


async def needs(floor: Floor, conversation_id: str, *skills: str) -> None:
    async def asks() -> bool | None:
        rows = await floor.sql("select required_skills from queue_tickets where conversation_id = %s", conversation_id)
        return True if rows and [skill for skill, _ in rows[0][0]] == list(skills) else None  # type: ignore[attr-defined]

    await floor.until(asks, f"a ticket that asks for {skills}")


async def test_below_the_threshold_it_goes_to_triage_and_an_agent_s_word_sends_it_on(floor: Floor) -> None:
    expert = await specialist(floor, "Fay", fraud=4)
    taken = await floor.says("mia", NONSENSE)
    await needs(floor, taken.conversation_id, "triage")
    before = await floor.sql("select queued_at from queue_tickets")
    async with floor.database.session() as session:
        assert await correct_intent(session, taken.conversation_id, "fraud_report", None, "agt_triage") is not None
    offer = await floor.pending_offer(taken.conversation_id)
    assert offer.agent_id == expert
    [(intent, confidence, queued_at)] = await floor.sql(
        "select intent, intent_confidence, queued_at from conversations"
    )
    assert (intent, confidence) == ("fraud_report", 1.0)
    assert [(queued_at,)] == before
    # What the customer says next changes nothing about what a person has decided.
    step = await steps_of(floor, taken.conversation_id)
    await floor.says("mia", "where is my parcel, it should have been delivered yesterday")

    async def heard() -> bool | None:
        return True if await steps_of(floor, taken.conversation_id) > step else None

    await floor.until(heard, "the second message")
    assert (await intent_of(floor, taken.conversation_id))[0] == "fraud_report"
    assert "intent_corrected" in await floor.told(taken.conversation_id)
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_a_newly_trained_model_is_used_for_the_next_message_without_a_restart(
    floor: Floor, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL_DIRECTORY", str(models))
    old = ModelStore(models).current_version("intent")  # type: ignore[arg-type] # a kind is its name
    taken = await floor.says("ann", NONSENSE)
    await needs(floor, taken.conversation_id, "triage")
    csv = tmp_path / "own.csv"
    lines = [f"{NONSENSE} {word}" for word in ("now", "please", "again", "today", "at once", "")]
    csv.write_text("text,label\n" + "".join(f"{line},integration_api\n" for line in lines), encoding="utf-8")
    trained = await asyncio.to_thread(CliRunner().invoke, app, ["train", "--csv", str(csv)])
    assert trained.exit_code == 0, trained.output
    later = await floor.says("bob", NONSENSE)
    await needs(floor, later.conversation_id, "technical", "integrations")
    assert old is not None
    assert (await asyncio.to_thread(CliRunner().invoke, app, ["models", "promote", old])).exit_code == 0
    last = await floor.says("cat", NONSENSE)
    await needs(floor, last.conversation_id, "triage")


async def test_a_message_that_grows_angry_raises_the_priority_of_a_case_that_waits(floor: Floor) -> None:
    taken = await floor.says("mia", "could you tell me where my order is please")

    async def standing() -> tuple[int, float] | None:
        rows = await floor.sql("select priority, sentiment from queue_tickets")
        return rows[0] if rows and rows[0][1] is not None else None  # type: ignore[return-value] # these columns

    calm = await floor.until(standing, "a ticket")
    await floor.says("mia", "this is outrageous, i am furious, the worst service i have ever had, you useless liars")

    async def angry() -> tuple[int, float] | None:
        now = await standing()
        return now if now is not None and now != calm else None

    upset = await floor.until(angry, "a change of mood")
    assert upset[0] < calm[0]
    assert upset[1] < calm[1]
    assert taken.conversation_id


async def next_pass(floor: Floor) -> None:
    """A pass that runs may have read the settings already; one that begins now has not."""
    [(now,)] = await floor.sql("select clock_timestamp()")

    async def begun() -> bool | None:
        return True if await floor.sql("select 1 from dispatcher_leases where passed_at > %s", now) else None

    await floor.until(begun, "the dispatcher's next pass")


async def test_a_house_s_own_intents_and_a_switched_outage_reach_what_already_waits(floor: Floor) -> None:
    await floor.set(
        "intents",
        {"delivery_status": {"skills": {"couriers": 2}, "product": "parcels", "complexity": 1, "usual_seconds": 60}},
    )
    taken = await floor.says("mia", "where is my parcel, it should have been delivered yesterday")
    await needs(floor, taken.conversation_id, "couriers")
    assert await floor.sql("select product from queue_tickets") == [("parcels",)]
    await floor.set("outages", [{"name": new_id("outage"), "products": ["parcels"], "weight": 3}])
    await next_pass(floor)
    courier = await specialist(floor, "Cora", couriers=2)
    offer = await floor.pending_offer(taken.conversation_id)
    assert offer.agent_id == courier
    [(record,)] = await floor.sql("select record from routing_decisions")
    assert {"name": "business", "value": 3.0} in record["urgency_parts"]  # type: ignore[index,call-overload]
