"""`baton train`, `baton evaluate` and `baton models` on a store and a ledger of their own."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from storage.database import Database
from storage.records.intent_corrections import correct_intent
from tests.integration.dispatch_ledger import (
    add_agent,
    add_assignment,
    add_conversation,
    add_resolution,
    rows,
)
from workers.command_line import app

EXAMPLES = [
    ("where is my parcel", "delivery_status"),
    ("my parcel has not come", "delivery_status"),
    ("when does the delivery arrive", "delivery_status"),
    ("track my delivery please", "delivery_status"),
    ("has my order been sent", "delivery_status"),
    ("parcel tracking shows nothing", "delivery_status"),
    ("i want my money back", "refund_request"),
    ("please refund the charge", "refund_request"),
    ("give me a refund", "refund_request"),
    ("return my money", "refund_request"),
    ("refund this payment", "refund_request"),
    ("money back please", "refund_request"),
]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "own.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in EXAMPLES), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def places(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_MODEL_DIRECTORY", str(tmp_path / "models"))
    monkeypatch.setenv("BATON_POSTGRES_URL", database_url)


async def baton(*arguments: str | Path) -> Result:
    # The command has a loop of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, [str(one) for one in arguments])


async def printed(*arguments: str | Path) -> dict[str, object]:
    done = await baton(*arguments, "--json")
    assert done.exit_code == 0, done.output
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


async def test_a_model_is_trained_judged_listed_and_taken_back(csv: Path) -> None:
    first = await printed("train", "--csv", csv, "--no-shipped")
    assert (first["previous_version"], first["own_examples"]) == (None, 12)
    judged = await printed("evaluate", csv)
    assert (judged["version"], judged["count"], judged["accuracy"]) == (first["version"], 12, 1.0)
    with csv.open("a", encoding="utf-8") as file:
        file.write("zorgle my frumpet,refund_request\n")
    second = await printed("train", "--csv", csv, "--no-shipped")
    assert second["previous_version"] == first["version"]
    listed = json.loads((await baton("models", "list", "--json")).stdout)
    assert [(one["version"], one["in_use"]) for one in listed] == [
        (second["version"], True),
        (first["version"], False),
    ]
    assert (await baton("models", "rollback")).stdout.strip() == first["version"]
    assert (await printed("evaluate", csv))["version"] == first["version"]
    assert (await baton("models", "promote", str(second["version"]))).exit_code == 0
    assert (await printed("evaluate", csv))["version"] == second["version"]
    assert f"* {second['version']}" in (await baton("models", "list")).stdout


async def test_what_agents_put_right_is_learned_and_weighs_more_than_an_example(csv: Path, database: Database) -> None:
    await add_conversation(database, "con_1")
    await rows(
        database,
        "insert into messages (id, conversation_id, customer_id, direction, kind, author_kind, channel, account, text,"
        " attachments, at, delivery) values ('msg_1', 'con_1', 'cus_of_con_1', 'inbound', 'message', 'customer',"
        " 'web_chat', 'shop', 'where is my parcel', '[]', now(), 'received')",
    )
    async with database.session() as session:
        assert await correct_intent(session, "con_1", "refund_request", None, "agt_1") is not None
    trained = await printed("train", "--csv", csv, "--no-shipped", "--corrections")
    assert (trained["corrections"], trained["examples"]) == (1, 12)
    judged = await baton("evaluate", csv, "--json")
    assert json.loads(judged.stdout)["accuracy"] < 1.0  # the example it contradicts is no longer held to be right


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "absent.csv"),
        ("train", "--csv", "absent.csv"),
        ("train", "--no-shipped"),
        ("models", "promote", "intent-0123456789abcdef"),
        ("models", "promote", "nonsense"),
        ("models", "rollback"),
        ("evaluate", "--success"),
    ],
)
async def test_what_can_not_be_done_is_told_on_stderr_with_an_exit_code(arguments: tuple[str, ...]) -> None:
    done = await baton(*arguments)
    assert (done.exit_code, done.stdout) == (65, "")
    assert done.stderr.strip()


async def test_a_command_without_its_ledger_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATON_POSTGRES_URL")
    done = await baton("train", "--corrections")
    assert done.exit_code == 78
    assert "BATON_POSTGRES_URL" in done.stderr
    done = await baton("evaluate", "--success", "--data", tmp_path)
    assert done.exit_code == 78
    assert "baton up" in done.stderr
    assert (await baton("evaluate")).exit_code == 2


async def test_probabilities_of_success_are_judged_by_what_became_of_the_decisions(database: Database) -> None:
    await add_agent(database, "agt_1")
    await add_agent(database, "agt_2")
    outcomes = [(0.9, "resolved", 1), (0.9, "resolved", 1), (0.6, "passed_on", 1), (0.6, "resolved", 2)]
    for number, (probability, code, episode) in enumerate([*outcomes, (0.1, "spam", 1)]):
        conversation = f"con_{number}"
        await add_conversation(database, conversation)
        await add_assignment(database, conversation, "agt_1")
        await rows(
            database,
            "insert into offers (id, conversation_id, ticket, episode, agent_id, pool, channel, units, state, reason,"
            " score, created_at, expires_at) values (%s, %s, 1, 1, 'agt_1', 'default', 'web_chat', 34, 'accepted', '',"
            " 1, now(), now())",
            f"off_{number}",
            conversation,
        )
        await rows(
            database,
            "insert into routing_decisions (id, conversation_id, offer_id, pool, at, policy_version, model_version,"
            " record) values (%s, %s, %s, 'default', now(), 'p', 'm', %s)",
            f"dec_{number}",
            conversation,
            f"off_{number}",
            Jsonb({"success": {"value": probability}}),
        )
        await add_resolution(database, conversation, "agt_1", code, datetime.now(UTC))
        await rows(database, "update conversations set episode = %s where id = %s", episode, conversation)
    judged = await printed("evaluate", "--success", "--days", "1")
    assert (judged["cases"], judged["base_rate"]) == (4, 0.5)
    assert judged["brier"] == pytest.approx((0.01 + 0.01 + 0.36 + 0.36) / 4)
    assert judged["expected_error"] == pytest.approx((2 * 0.1 + 2 * 0.6) / 4)
    table = (await baton("evaluate", "--success")).stdout
    assert "Brier      0.1850" in table
