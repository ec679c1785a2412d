"""What the commit of a merge decides, whatever is asked of it and by how many at once."""

import asyncio

import pytest

from storage.database import Database
from storage.ledger.merging import MergeRefusal, MergeRefused, merge_conversations
from storage.violations import violations
from tests.integration.merge_ledger import MergeLedger, now


@pytest.fixture
def ledger(database: Database) -> MergeLedger:
    return MergeLedger(database)


async def no_violations(ledger: MergeLedger) -> None:
    async with ledger.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_the_older_survives_and_has_every_thread_and_message(ledger: MergeLedger) -> None:
    ada = await ledger.says("ada", "first")
    bea = await ledger.says("bea", "second")
    await ledger.says("ada", "third")
    merged = await ledger.merge(bea.conversation_id, ada.conversation_id)
    assert (merged.survivor_id, merged.loser_id) == (ada.conversation_id, bea.conversation_id)
    said = await ledger.sql(
        "select text, customer_id from messages where conversation_id = %s order by at", ada.conversation_id
    )
    assert said == [("first", ada.customer_id), ("second", ada.customer_id), ("third", ada.customer_id)]
    loser = await ledger.sql("select state, merged_into from conversations where id = %s", bea.conversation_id)
    assert loser == [("merged", ada.conversation_id)]
    assert await ledger.signals(ada.conversation_id) == ["message_received", "message_received", "absorb"]
    assert await ledger.signals(bea.conversation_id) == ["message_received", "merged_away"]
    await no_violations(ledger)


async def test_an_accepted_assignment_counts_more_than_age(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    await ledger.agent("agt_1")
    await ledger.assigned(bea.conversation_id, "agt_1")
    merged = await ledger.merge(ada.conversation_id, bea.conversation_id)
    assert merged.survivor_id == bea.conversation_id
    assert await ledger.sql("select load from agents") == [(25,)]


async def test_the_loser_gives_its_capacity_back_and_takes_its_offer_back(ledger: MergeLedger) -> None:
    ada, bea, cyd = [await ledger.says(name) for name in ("ada", "bea", "cyd")]
    await ledger.agent("agt_1")
    await ledger.agent("agt_2")
    await ledger.assigned(ada.conversation_id, "agt_1")
    await ledger.assigned(bea.conversation_id, "agt_1")
    await ledger.offered(cyd.conversation_id, "agt_2")
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    await ledger.merge(ada.conversation_id, cyd.conversation_id)
    assert await ledger.sql("select id, load from agents order by id") == [("agt_1", 25), ("agt_2", 0)]
    assert await ledger.sql("select state from offers") == [("rescinded",)]
    causes = await ledger.sql("select end_cause from assignments where ended_at is not null")
    assert causes == [("merged",)]
    states = await ledger.sql("select state from conversations order by opened_at")
    assert states == [("assigned",), ("merged",), ("merged",)]
    told = await ledger.sql(
        "select (data #>> '{record,assignments,0,ended_at}')::timestamptz = at, data -> 'record' is null"
        " from events where kind = 'merged' order by id"
    )
    assert told == [(True, False), (None, True)], "the log tells when the loser's assignment ended"


async def test_what_a_supervisor_was_called_for_goes_on_with_the_survivor(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    for alert_id, metric in (("alr_1", None), ("alr_2", "first_response"), ("alr_3", "owner_silence")):
        await ledger.sql(
            "insert into alerts (id, conversation_id, episode, pool, kind, metric, reason, raised_at)"
            " values (%s, %s, 1, 'default', 'sla', %s, 'late', now())",
            alert_id,
            bea.conversation_id,
            metric,
        )
    merged = await ledger.merge(ada.conversation_id, bea.conversation_id)
    assert merged.loser_id == bea.conversation_id
    alerts = await ledger.sql("select id, conversation_id, settled_at is not null from alerts order by id")
    assert alerts == [
        ("alr_1", ada.conversation_id, False),
        ("alr_2", ada.conversation_id, False),
        ("alr_3", bea.conversation_id, True),
    ]


async def test_a_late_message_of_the_losers_address_reaches_the_survivor(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    late = await ledger.says("bea", "one more thing")
    assert (late.conversation_id, late.customer_id) == (ada.conversation_id, ada.customer_id)
    await no_violations(ledger)


async def test_two_threads_of_one_key_both_live_on(ledger: MergeLedger) -> None:
    proven = await ledger.says("ada", "signed in", key="session-1")
    hint = await ledger.says("ada", "not yet signed in", key="session-1", verified=False)
    assert proven.conversation_id != hint.conversation_id
    await ledger.merge(hint.conversation_id, proven.conversation_id)
    again = await ledger.says("ada", "signed in again", key="session-1")
    assert (again.conversation_id, again.thread_id) == (proven.conversation_id, proven.thread_id)
    assert await ledger.sql("select count(*) from threads where conversation_id = %s", proven.conversation_id) == [(2,)]
    await no_violations(ledger)


async def test_what_cannot_be_merged_is_refused_and_nothing_is_written(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    for one, other, code in (
        (ada.conversation_id, ada.conversation_id, MergeRefusal.SAME),
        (ada.conversation_id, "con_unknown", MergeRefusal.UNKNOWN),
    ):
        with pytest.raises(MergeRefused) as refused:
            await ledger.merge(one, other)
        assert refused.value.code is code
    await ledger.sql("update conversations set state = 'closed' where id = %s", bea.conversation_id)
    with pytest.raises(MergeRefused) as refused:
        await ledger.merge(ada.conversation_id, bea.conversation_id)
    assert (refused.value.code, refused.value.conversation_id) == (MergeRefusal.ENDED, bea.conversation_id)
    assert await ledger.sql("select count(*) from merges") == [(0,)]


async def test_a_repeat_changes_nothing(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    first = await ledger.merge(ada.conversation_id, bea.conversation_id)
    again = await ledger.merge(bea.conversation_id, ada.conversation_id)
    assert (again.survivor_id, again.merge_id) == (first.survivor_id, None)
    assert await ledger.sql("select count(*) from merges") == [(1,)]


async def test_a_chain_ends_at_one_survivor_one_hop_away(ledger: MergeLedger) -> None:
    ada, bea, cyd = [await ledger.says(name, name) for name in ("ada", "bea", "cyd")]
    await ledger.merge(cyd.conversation_id, bea.conversation_id)
    await ledger.merge(cyd.conversation_id, ada.conversation_id)
    into = await ledger.sql("select merged_into from conversations where state = 'merged'")
    assert into == [(ada.conversation_id,), (ada.conversation_id,)]
    said = await ledger.sql("select text from messages where conversation_id = %s order by at", ada.conversation_id)
    assert said == [("ada",), ("bea",), ("cyd",)]
    owed = await ledger.sql(
        "select payload ->> 'loser_id' from signals where kind = 'absorb' and conversation_id = %s order by id",
        ada.conversation_id,
    )
    assert owed == [(cyd.conversation_id,), (bea.conversation_id,)]
    await no_violations(ledger)


async def test_crossing_merges_and_cycles_end_with_one_survivor(ledger: MergeLedger) -> None:
    taken = [await ledger.says(f"person-{number}", str(number)) for number in range(6)]
    ids = [one.conversation_id for one in taken]
    pairs = [(ids[number], ids[(number + 1) % 6]) for number in range(6)]
    pairs += [(right, left) for left, right in pairs]
    await asyncio.gather(*(ledger.merge(one, other) for one, other in pairs))
    survivors = await ledger.sql("select id from conversations where state <> 'merged'")
    assert survivors == [(ids[0],)]
    said = await ledger.sql("select text from messages where conversation_id = %s order by at", ids[0])
    assert [text for (text,) in said] == [str(number) for number in range(6)]
    assert await ledger.sql("select count(*) from merges") == [(5,)]
    await no_violations(ledger)


async def test_messages_that_come_in_the_middle_of_a_merge_are_with_the_survivor(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    writers = [ledger.says(person, f"{person} {number}") for number in range(10) for person in ("ada", "bea")]
    await asyncio.gather(*writers, ledger.merge(bea.conversation_id, ada.conversation_id))
    assert await ledger.sql("select count(*) from messages where conversation_id = %s", ada.conversation_id) == [(22,)]
    assert await ledger.sql("select count(*) from conversations where state <> 'merged'") == [(1,)]
    await no_violations(ledger)


async def test_a_merge_is_undone_with_the_transaction_it_belongs_to(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    async with ledger.database.ledger.connection() as connection:
        merged = await merge_conversations(
            connection,
            ada.conversation_id,
            bea.conversation_id,
            cause="identity_verified",
            by=None,
            at=now(),
            one_person=True,
        )
        assert merged.merge_id is not None
        await connection.rollback()
    assert await ledger.sql("select count(*) from conversations where state <> 'merged'") == [(2,)]


@pytest.mark.parametrize(
    ("damage", "checker"),
    [
        ("update messages set conversation_id = %(loser)s where text = 'second'", "message_left_with_merged"),
        ("update threads set conversation_id = %(loser)s where id = %(thread)s", "message_left_with_merged"),
        ("update conversations set merged_into = id where id = %(loser)s", "merged_without_survivor"),
        ("update conversations set state = 'queued' where id = %(loser)s", "merged_without_survivor"),
        ("update assignments set ended_at = null where conversation_id = %(loser)s", "load_is_not_what_is_held"),
    ],
)
async def test_a_merge_done_by_halves_is_a_violation(ledger: MergeLedger, damage: str, checker: str) -> None:
    ada, bea = await ledger.says("ada", "first"), await ledger.says("bea", "second")
    await ledger.agent("agt_1")
    for taken in (ada, bea):
        await ledger.assigned(taken.conversation_id, "agt_1")
    merged = await ledger.merge(ada.conversation_id, bea.conversation_id)
    await no_violations(ledger)
    async with ledger.database.ledger.connection() as connection:
        await connection.execute(damage.encode(), {"loser": merged.loser_id, "thread": bea.thread_id})
    async with ledger.database.ledger.connection() as connection:
        assert checker in {found.checker for found in await violations(connection)}


async def test_what_the_loser_had_asked_its_customer_is_open_no_more(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    await ledger.sql(
        "insert into suggestions (id, conversation_id, customer_id, episode, channel, from_channel, cause, came_back,"
        " state, offered_at, expires_at) values ('sug_1', %s, %s, 1, 'voice', 'sms', 'long_wait', false, 'offered',"
        " now(), now() + interval '1 hour')",
        bea.conversation_id,
        bea.customer_id,
    )
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    assert await ledger.sql("select state, ended_at is null from suggestions") == [("ignored", False)]
    told = await ledger.sql("select conversation_id, data ->> 'cause' from events where kind = 'suggestion_ignored'")
    assert told == [(bea.conversation_id, "merged")]
