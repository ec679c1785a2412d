"""A number that answers a survey is filed and kept; any other number is a message."""

from datetime import UTC, datetime

import pytest

from channels.addresses import normal_address
from domain.channels import Channel
from storage.database import Database
from storage.ids import new_id
from storage.ledger.intake import Intake, TakenIn, take_in


async def says(database: Database, text: str, *, account: str = "line", message_id: str | None = None) -> TakenIn:
    async with database.ledger.connection() as connection:
        return await take_in(
            connection,
            Intake(
                channel=Channel.SMS,
                account=account,
                provider_message_id=message_id or new_id("p"),
                sender=normal_address(Channel.SMS, "+4930901820"),
                verified=True,
                sent_at=datetime.now(UTC),
                text=text,
            ),
        )


async def sql(database: Database, query: str, *values: object) -> list[tuple[object, ...]]:
    async with database.ledger.connection() as connection:
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall() if cursor.description else []


@pytest.fixture
async def asked(database: Database) -> TakenIn:
    """A conversation that has been closed, and whose customer was asked."""
    taken = await says(database, "Where is my parcel?")
    await sql(database, "update conversations set state = 'closed'")
    await sql(database, "delete from signals")
    await sql(
        database,
        "insert into surveys (id, conversation_id, episode, customer_id, channel, account, message_id, asked_at,"
        " answer_until) values ('srv_1', %s, 1, %s, 'sms', 'line', 'msg_x', now(), now() + interval '7 days')",
        taken.conversation_id,
        taken.customer_id,
    )
    return taken


async def test_an_answer_after_the_close_opens_routes_and_signals_nothing(database: Database, asked: TakenIn) -> None:
    answer = await says(database, "6/7", message_id="p_1")
    again = await says(database, "6/7", message_id="p_1")
    assert (answer.conversation_id, again.duplicate) == (asked.conversation_id, True)
    assert await sql(database, "select score, via from surveys") == [(6, "reply")]
    assert await sql(database, "select count(*) from conversations") == [(1,)]
    assert await sql(database, "select count(*) from signals") == [(0,)]
    assert await sql(database, "select kind from messages where id = %s", answer.message_id) == [("survey_answer",)]
    assert await sql(database, "select count(*) from events where kind = 'survey_answered'") == [(1,)]


async def test_the_first_answer_is_kept(database: Database, asked: TakenIn) -> None:
    for text in ("3", "7"):
        assert (await says(database, text)).conversation_id == asked.conversation_id
    assert await sql(database, "select score from surveys") == [(3,)]


@pytest.mark.parametrize(("text", "account"), [("7, thank you all", "line"), ("8", "line"), ("7", "another line")])
async def test_what_is_no_bare_score_where_it_was_asked_is_a_message(
    database: Database, asked: TakenIn, text: str, account: str
) -> None:
    taken = await says(database, text, account=account)
    assert taken.conversation_id != asked.conversation_id
    assert await sql(database, "select score from surveys") == [(None,)]


async def test_a_number_in_a_conversation_that_is_being_worked_on_answers_the_agent(
    database: Database, asked: TakenIn
) -> None:
    await says(database, "I have another question")
    taken = await says(database, "7")
    assert taken.conversation_id != asked.conversation_id
    assert await sql(database, "select score from surveys") == [(None,)]
