"""Customers who are one person: links, what is recorded of them, and races with other links and with messages."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from psycopg.rows import TupleRow

from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress
from domain.identity.linking import LinkCause
from storage.database import Database
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.ledger.linking import Linked, LinkRefusal, LinkRefused, LinkRequest, link
from storage.ledger.splitting import undo_merge
from storage.ledger.unlinking import UnlinkRefusal, UnlinkRefused, unlink
from storage.violations import violations

PHONE = NormalAddress(AddressKind.PHONE, "+4930123456")
EMAIL = NormalAddress(AddressKind.EMAIL, "mia@mail.example")
SITE_USER = NormalAddress(AddressKind.SITE_USER, "user:mia")
VISITOR = NormalAddress(AddressKind.VISITOR, "v-1")


def message(sender: NormalAddress, text: str = "Where is my parcel?", **changes: object) -> Intake:
    channel = {
        AddressKind.PHONE: Channel.SMS,
        AddressKind.EMAIL: Channel.EMAIL,
        AddressKind.SITE_USER: Channel.WEB_CHAT,
        AddressKind.VISITOR: Channel.WEB_CHAT,
    }[sender.kind]
    given = Intake(
        channel=channel,
        account="shop",
        provider_message_id=f"<{uuid4().hex}@mail.example>",
        sender=sender,
        verified=sender.kind is not AddressKind.VISITOR,
        sent_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        text=text,
    )
    return replace(given, **changes)


async def taken(database: Database, given: Intake) -> TakenIn:
    async with database.ledger.connection() as connection:
        return await take_in(connection, given)


async def rows(database: Database, query: str, *values: object) -> list[TupleRow]:
    async with database.ledger.connection() as connection:
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall() if cursor.description else []


async def linked(database: Database, one: str, other: str, *, force: bool = False, dry_run: bool = False) -> Linked:
    request = LinkRequest(one, other, LinkCause.BY_HAND, "key_admin", force=force)
    return await link(database, request, dry_run=dry_run)


async def nothing_is_broken(database: Database) -> None:
    async with database.ledger.connection() as connection:
        # Conversations that a test closes by hand have no resolution record (S6).
        assert [found for found in await violations(connection) if found.invariant != "S6"] == []
    astray = await rows(
        database,
        """
        select 'thread', t.id from threads t join identities i on i.id = t.identity_id
        where i.customer_id <> t.customer_id
        union all
        select 'message', m.id from messages m join conversations c on c.id = m.conversation_id
        where c.customer_id <> m.customer_id
        """,
    )
    assert astray == []


async def test_the_open_conversation_of_either_side_keeps_its_customer_and_the_rest_moves(database: Database) -> None:
    mailed = await taken(database, message(EMAIL))
    await rows(database, "update conversations set state = 'closed' returning id")
    texted = await taken(database, message(PHONE))
    done = await linked(database, mailed.customer_id, texted.customer_id)
    assert (done.survivor_id, done.absorbed_id, done.merged) == (texted.customer_id, mailed.customer_id, None)
    assert await rows(database, "select distinct customer_id from messages") == [(texted.customer_id,)]
    assert (await taken(database, message(EMAIL))).conversation_id == texted.conversation_id
    await nothing_is_broken(database)


async def test_two_open_conversations_become_one_and_the_timeline_says_why(database: Database) -> None:
    mailed, texted = await taken(database, message(EMAIL)), await taken(database, message(PHONE))
    done = await linked(database, texted.customer_id, mailed.customer_id)
    assert done.merged is not None
    assert (done.merged.survivor_id, done.merged.loser_id) == (mailed.conversation_id, texted.conversation_id)
    told = await rows(database, "select data ->> 'link_id', data ->> 'by' from events where kind = 'identity_linked'")
    assert told == [(done.link_id, "key_admin")]
    assert (await taken(database, message(PHONE))).conversation_id == mailed.conversation_id
    await nothing_is_broken(database)


async def test_a_dry_run_tells_the_same_and_changes_nothing(database: Database) -> None:
    mailed, texted = await taken(database, message(EMAIL)), await taken(database, message(PHONE))
    before = await rows(database, "select id, customer_id, state from conversations order by id")
    would = await linked(database, texted.customer_id, mailed.customer_id, dry_run=True)
    assert await rows(database, "select id, customer_id, state from conversations order by id") == before
    assert await rows(database, "select count(*) from customer_links") == [(0,)]
    done = await linked(database, texted.customer_id, mailed.customer_id)
    assert (would.survivor_id, would.moved, would.profile) == (done.survivor_id, done.moved, done.profile)
    assert would.merged is not None
    assert done.merged is not None
    assert would.merged.survivor_id == done.merged.survivor_id


async def test_two_proven_addresses_of_one_kind_need_somebody_who_insists(database: Database) -> None:
    mia = await taken(database, message(EMAIL))
    work = await taken(database, message(NormalAddress(AddressKind.EMAIL, "mia@work.example")))
    with pytest.raises(LinkRefused) as refused:
        await linked(database, mia.customer_id, work.customer_id)
    assert refused.value.code is LinkRefusal.CONFLICT
    assert [conflict.addresses for conflict in refused.value.conflicts] == [("mia@mail.example", "mia@work.example")]
    assert await rows(database, "select count(*) from customers where merged_into is not null") == [(0,)]
    done = await linked(database, mia.customer_id, work.customer_id, force=True)
    assert [conflict.kind for conflict in done.conflicts] == ["email"]
    assert await rows(database, "select forced from customer_links") == [(True,)]


async def test_a_link_by_hand_of_what_is_one_or_nobody_is_refused(database: Database) -> None:
    mia = await taken(database, message(EMAIL))
    other = await taken(database, message(PHONE))
    await linked(database, mia.customer_id, other.customer_id)
    for one, two, code in (
        (mia.customer_id, other.customer_id, LinkRefusal.SAME),
        (mia.customer_id, mia.customer_id, LinkRefusal.SAME),
        (mia.customer_id, "cus_none", LinkRefusal.UNKNOWN),
    ):
        with pytest.raises(LinkRefused) as refused:
            await linked(database, one, two)
        assert refused.value.code is code


async def test_the_profile_is_the_better_of_both_and_goes_back_with_an_unlink(database: Database) -> None:
    mailed = await taken(database, message(EMAIL))
    await rows(database, "update conversations set state = 'closed'")
    texted = await taken(database, message(PHONE))
    await rows(
        database,
        "update customers set segment = 'gold', lifetime_value = 900, time_zone = 'Europe/Rome',"
        " languages = '[\"it\"]',"
        ' attributes = \'{"plan": "pro"}\' where id = %s',
        mailed.customer_id,
    )
    await rows(
        database, "update customers set lifetime_value = 20, languages = '[\"en\"]' where id = %s", texted.customer_id
    )
    profile = "select segment, lifetime_value::int, time_zone, languages, attributes from customers where id = %s"
    before = await rows(database, profile, texted.customer_id)
    done = await linked(database, mailed.customer_id, texted.customer_id)
    assert await rows(database, profile, texted.customer_id) == [
        ("gold", 900, "Europe/Rome", ["en", "it"], {"plan": "pro"})
    ]
    await rows(database, "update customers set segment = 'platinum' where id = %s", texted.customer_id)
    await unlink(database, done.link_id, "key_admin")
    [(segment, *rest)] = await rows(database, profile, texted.customer_id)
    assert segment == "platinum", "what somebody changed since stays"
    assert rest == list(before[0][1:])


async def test_an_unlink_restores_what_was_recorded_and_words_go_with_their_address(database: Database) -> None:
    mailed = await taken(database, message(EMAIL))
    await rows(database, "update conversations set state = 'closed'")
    texted = await taken(database, message(PHONE))
    done = await linked(database, mailed.customer_id, texted.customer_id)
    joined = await taken(database, message(EMAIL, "and by mail"))
    assert joined.conversation_id == texted.conversation_id
    undone = await unlink(database, done.link_id, "key_admin")
    assert (undone.survivor_id, undone.restored_id) == (texted.customer_id, mailed.customer_id)
    assert await rows(database, "select customer_id from identities order by kind") == [
        (mailed.customer_id,),
        (texted.customer_id,),
    ]
    assert await rows(database, "select customer_id from conversations where id = %s", mailed.conversation_id) == [
        (mailed.customer_id,)
    ]
    assert await rows(database, "select customer_id from messages where id = %s", joined.message_id) == [
        (mailed.customer_id,)
    ]
    again = await taken(database, message(EMAIL))
    assert again.customer_id == mailed.customer_id
    assert again.conversation_id != texted.conversation_id
    with pytest.raises(UnlinkRefused) as refused:
        await unlink(database, done.link_id, "key_admin")
    assert refused.value.code is UnlinkRefusal.UNDONE


async def test_an_unlink_parts_the_conversations_that_the_link_had_merged(database: Database) -> None:
    mailed, texted = await taken(database, message(EMAIL)), await taken(database, message(PHONE))
    done = await linked(database, mailed.customer_id, texted.customer_id)
    undone = await unlink(database, done.link_id, "key_admin")
    assert undone.conversation_id is not None
    assert await rows(
        database, "select customer_id, state from conversations where id = %s", undone.conversation_id
    ) == [(texted.customer_id, "new")]
    assert (await taken(database, message(PHONE))).conversation_id == undone.conversation_id
    assert (await taken(database, message(EMAIL))).conversation_id == mailed.conversation_id
    await nothing_is_broken(database)


async def test_customers_stay_one_when_their_conversations_are_parted_and_part_with_them_later(
    database: Database,
) -> None:
    mailed, texted = await taken(database, message(EMAIL)), await taken(database, message(PHONE))
    done = await linked(database, mailed.customer_id, texted.customer_id)
    parted = await undo_merge(database, texted.conversation_id, by="agt_1", owner=None, at=datetime.now(UTC))
    assert (await taken(database, message(PHONE))).conversation_id == parted.into_id
    await nothing_is_broken(database)
    await rows(database, "update conversations set state = 'closed' where id = %s", parted.into_id)
    joined = await taken(database, message(PHONE))
    assert (joined.customer_id, joined.conversation_id) == (mailed.customer_id, mailed.conversation_id)
    await unlink(database, done.link_id, "key_admin")
    assert await rows(database, "select customer_id from conversations where id = %s", parted.into_id) == [
        (texted.customer_id,)
    ]
    assert (await taken(database, message(PHONE))).customer_id == texted.customer_id


async def test_a_link_on_top_of_a_link_is_taken_back_first(database: Database) -> None:
    people = [await taken(database, message(sender)) for sender in (EMAIL, PHONE, SITE_USER)]
    first = await linked(database, people[0].customer_id, people[1].customer_id)
    second = await linked(database, people[1].customer_id, people[2].customer_id)
    if second.absorbed_id == first.survivor_id:
        with pytest.raises(UnlinkRefused) as refused:
            await unlink(database, first.link_id, "key_admin")
        assert refused.value.code is UnlinkRefusal.LINKED_ON
    await unlink(database, second.link_id, "key_admin")
    await unlink(database, first.link_id, "key_admin")
    assert await rows(database, "select count(*) from customers where merged_into is not null") == [(0,)]
    await nothing_is_broken(database)


async def test_a_sender_who_proves_two_known_addresses_makes_them_one_customer(database: Database) -> None:
    mailed, texted = await taken(database, message(EMAIL)), await taken(database, message(PHONE))
    assert mailed.customer_id != texted.customer_id
    chatted = await taken(database, message(SITE_USER, proven_too=(EMAIL, PHONE)))
    now = await rows(database, "select distinct customer_id, conversation_id from messages")
    assert now == [(chatted.customer_id, chatted.conversation_id)]
    assert await rows(database, "select cause, by from customer_links") == [("proven", "system")]
    await nothing_is_broken(database)


async def test_a_proven_address_that_conflicts_is_suggested_and_links_nobody(database: Database) -> None:
    other = NormalAddress(AddressKind.EMAIL, "mia@work.example")
    chatted = await taken(database, message(SITE_USER, proven_too=(EMAIL,)))
    worked = await taken(database, message(other))
    again = await taken(database, message(SITE_USER, proven_too=(EMAIL, other)))
    assert again.customer_id == chatted.customer_id != worked.customer_id
    assert await rows(database, "select state, customer_id, other_id from identity_suggestions") == [
        ("open", *sorted((chatted.customer_id, worked.customer_id)))
    ]


async def test_hints_only_ever_suggest(database: Database) -> None:
    mailed = await taken(database, message(EMAIL))
    typed = await taken(database, message(VISITOR, "I wrote before from mia@mail.example", claimed=(EMAIL,)))
    unproven = await taken(database, message(EMAIL, "me again", verified=False))
    assert len({mailed.customer_id, typed.customer_id, unproven.customer_id}) == 3
    found = await rows(database, "select customer_id, other_id, state, score, evidence from identity_suggestions")
    assert {frozenset(row[:2]) for row in found} == {
        frozenset((mailed.customer_id, typed.customer_id)),
        frozenset((mailed.customer_id, unproven.customer_id)),
    }
    assert all(state == "open" and 0.5 < score < 1 for _, _, state, score, _ in found)
    assert await rows(database, "select count(*) from customers where merged_into is not null") == [(0,)]


async def test_a_hint_from_before_the_proof_is_remembered(database: Database) -> None:
    typed = await taken(database, message(VISITOR, claimed=(EMAIL,)))
    assert await rows(database, "select count(*) from identity_suggestions") == [(0,)]
    mailed = await taken(database, message(EMAIL))
    [(pair, evidence)] = await rows(database, "select array[customer_id, other_id], evidence from identity_suggestions")
    assert pair == sorted((typed.customer_id, mailed.customer_id))
    assert evidence == [{"kind": "typed_address", "subject": "email:mia@mail.example"}]


async def test_an_address_proven_later_meets_the_hint_of_before(database: Database) -> None:
    chatted = await taken(database, message(SITE_USER))
    typed = await taken(database, message(VISITOR, claimed=(EMAIL,)))
    assert await rows(database, "select count(*) from identity_suggestions") == [(0,)]
    assert (await taken(database, message(SITE_USER, proven_too=(EMAIL,)))).customer_id == chatted.customer_id
    assert await rows(database, "select array[customer_id, other_id] from identity_suggestions") == [
        (sorted((typed.customer_id, chatted.customer_id)),)
    ]


@pytest.mark.parametrize("round_number", range(3))
async def test_first_messages_on_three_channels_at_once_are_one_customer_and_one_conversation(
    database: Database, round_number: int
) -> None:
    for number in range(12):
        email = NormalAddress(AddressKind.EMAIL, f"p{round_number}-{number}@mail.example")
        phone = NormalAddress(AddressKind.PHONE, f"+4930{round_number}{number:06}")
        user = NormalAddress(AddressKind.SITE_USER, f"user:{round_number}-{number}")
        results = await asyncio.gather(
            taken(database, message(email)),
            taken(database, message(phone)),
            taken(database, message(user, proven_too=(email, phone))),
        )
        # What the site has proved is acted on with its message, and the next message of it makes up for a lost race.
        await taken(database, message(user, proven_too=(email, phone)))
        ids = [result.message_id for result in results]
        where = await rows(
            database, "select distinct customer_id, conversation_id from messages where id = any(%s)", ids
        )
        assert len(where) == 1
    assert await rows(database, "select count(*) from messages") == [(48,)]
    await nothing_is_broken(database)


async def test_links_that_cross_leave_one_customer(database: Database) -> None:
    for number in range(10):
        senders = [
            NormalAddress(AddressKind.EMAIL, f"c{number}@mail.example"),
            NormalAddress(AddressKind.PHONE, f"+49301111{number:03}"),
            NormalAddress(AddressKind.SITE_USER, f"user:c{number}"),
        ]
        a, b, c = [(await taken(database, message(sender))).customer_id for sender in senders]
        outcomes = await asyncio.gather(
            linked(database, a, b),
            linked(database, b, a),
            linked(database, b, c),
            linked(database, c, a),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Linked) for outcome in outcomes) == 2
        assert all(
            isinstance(outcome, Linked) or (isinstance(outcome, LinkRefused) and outcome.code is LinkRefusal.SAME)
            for outcome in outcomes
        ), outcomes
        places = [await taken(database, message(sender)) for sender in senders]
        assert len({(place.customer_id, place.conversation_id) for place in places}) == 1
    await nothing_is_broken(database)


@pytest.mark.parametrize("open_before", [True, False])
async def test_a_link_while_messages_come_in_strands_none_of_them(database: Database, *, open_before: bool) -> None:
    for number in range(8):
        email = NormalAddress(AddressKind.EMAIL, f"m{number}@mail.example")
        phone = NormalAddress(AddressKind.PHONE, f"+49302222{number:03}")
        one, other = await taken(database, message(email)), await taken(database, message(phone))
        if not open_before:
            await rows(database, "update conversations set state = 'closed' where state <> 'merged'")
        _, *arrived = await asyncio.gather(
            linked(database, one.customer_id, other.customer_id),
            *(taken(database, message(sender)) for _ in range(4) for sender in (email, phone)),
        )
        ids = [place.message_id for place in arrived]
        where = await rows(
            database,
            "select distinct m.customer_id, m.conversation_id from messages m where m.id = any(%s)",
            ids,
        )
        assert len(where) == 1, where
        await nothing_is_broken(database)
    assert await rows(database, "select count(*) from messages") == [(8 * 10,)]


async def test_a_split_conversation_goes_to_the_survivor_and_takes_its_terms_anew(database: Database) -> None:
    mailed = await taken(database, message(EMAIL))
    await rows(
        database,
        "update conversations set merge_scope = 'split', state = 'queued' where id = %s",
        mailed.conversation_id,
    )
    texted = await taken(database, message(PHONE))
    done = await linked(database, mailed.customer_id, texted.customer_id)
    assert done.survivor_id == texted.customer_id
    assert await rows(database, "select customer_id from conversations where id = %s", mailed.conversation_id) == [
        (texted.customer_id,)
    ]
    owed = await rows(
        database,
        "select conversation_id from signals where kind = 'policy_changed' order by id",
    )
    assert owed == [(mailed.conversation_id,)]


async def test_a_blocked_sender_is_kept_marked_and_reaches_nobody(database: Database) -> None:
    open_one = await taken(database, message(PHONE))
    await rows(
        database,
        "insert into blocked_addresses (id, kind, address, reason, blocked_by, blocked_at)"
        " values ('blk_1', 'phone', %s, '', 'key', now()), ('blk_2', 'email', 'spam@mail.example', '', 'key', now())",
        PHONE.value,
    )
    signals = await rows(database, "select count(*) from signals")
    blocked = await taken(database, message(PHONE, "buy now mia@mail.example"))
    stranger = await taken(database, message(NormalAddress(AddressKind.EMAIL, "spam@mail.example")))
    assert (await taken(database, message(NormalAddress(AddressKind.EMAIL, "spam@mail.example")))).conversation_id == (
        stranger.conversation_id
    )
    assert await rows(database, "select count(*) from signals") == signals
    kept = await rows(database, "select kind, thread_id from messages where id = %s", blocked.message_id)
    assert kept == [("blocked", None)]
    assert blocked.conversation_id == open_one.conversation_id
    assert await rows(
        database, "select state, end_reason from conversations where id = %s", stranger.conversation_id
    ) == [("closed", "no_answer_wanted")]
    assert await rows(database, "select count(*) from identity_hints") == [(0,)]
    await rows(database, "delete from blocked_addresses")
    assert await rows(database, "select count(*) from threads") == [(1,)], "nobody answers a blocked address"
    assert (await taken(database, message(PHONE))).conversation_id == open_one.conversation_id
    assert await rows(database, "select count(*) from signals where kind = 'message_received'") == [(2,)]
