"""Taking a message in: one transaction that decides whose it is, where it belongs, and that it is kept.

What the unique indexes decide, code does not check: two writers that race for the same customer, conversation or
message run into the index, and the one that lost looks again.

A message that wants no answer (auto-reply, bounce, closing thanks) goes to the customer's open conversation. Without
one it is filed, unrouted and without a signal, in their latest conversation; a stranger's is filed in a conversation
that begins closed. A bounce is filed with the message of ours that it says did not arrive. What a blocked address sends
is marked and filed beside the latest conversation, in none of its threads.

Other addresses that a message proves are its customer's, and two customers that it proves to be one become one; those
that it only names are hints: see `storage.ledger.recognising`.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from domain.channels import Channel, MessageKind
from domain.identity.addresses import NormalAddress
from domain.suggestions.effort import read_score
from storage.database import LedgerConnection
from storage.ids import new_id
from storage.ledger.intake_message import Intake, IntakeFile, TakenIn
from storage.ledger.opening import (
    CustomerLinked,
    NewThread,
    Place,
    add_thread,
    file_conversation,
    hold_customer,
    open_conversation,
    previous_conversation,
)
from storage.ledger.recognising import recognise
from storage.ledger.short_ways import LOOK, TELL, alone, begun, continued, looked_for
from storage.ledger.suggesting import look_for_others
from storage.ledger.surveys import awaited_survey, keep_score

__all__ = ["Intake", "IntakeFile", "TakenIn", "take_in"]

VERIFIED_IDENTITY: Final = "verified_identity"
"""The channel proved the sender, and the address is the customer's."""
SAME_SENDER: Final = "same_sender"
"""Nobody proved anything, but it is the same unproven address that is written from."""

_MOST_RACES: Final = 50
_MOST_REFERENCES: Final = 40
_LONGEST_NAME: Final = 200


_FIND: Final = f"""
with twin as (
    select id, conversation_id, customer_id, thread_id, direction from messages
    where channel = %(channel)s and account = %(account)s and provider_message_id = %(provider_message_id)s
), {LOOK}
select twin.id as twin_id, twin.conversation_id as twin_conversation_id, twin.customer_id as twin_customer_id,
       twin.thread_id as twin_thread_id, twin.direction as twin_direction,
       sender.id as identity_id, sender.customer_id,
       conversation.id as conversation_id, conversation.pool, conversation.episode,
       thread.id as thread_id, thread."references" as known_references,
       exists (select from blocked_addresses where kind = %(sender_kind)s and address = %(address)s) as is_blocked
from (select) as one
left join twin on true
left join sender on true
left join conversation on true
left join thread on true
"""  # noqa: S608 -- put together of constants
_NEW_CUSTOMER: Final = """
insert into customers
    (id, display_name, segment, languages, preferred_channels, attributes, created_at, updated_at)
values (%s, %s, 'standard', '[]', '[]', %s, clock_timestamp(), clock_timestamp())
"""
_PROVEN: Final = """
select i.customer_id
from unnest(%s::text[], %s::text[]) with ordinality as proven(kind, address, place)
join identities i on i.kind = proven.kind and i.address = proven.address and i.verified
order by proven.place limit 1
"""
_NEW_IDENTITY: Final = """
insert into identities (id, customer_id, kind, address, verified, display_name, created_at)
values (%s, %s, %s, %s, %s, %s, clock_timestamp())
"""
_STILL_THEIRS: Final = "select from identities where id = %s and customer_id = %s for share"
_THREAD_IN: Final = """
select id from threads
where channel = %s and account = %s and thread_key = %s and conversation_id = %s
"""
_BOUNCED: Final = """
select m.id, m.conversation_id, m.customer_id, m.thread_id, c.pool, c.episode
from messages m join conversations c on c.id = m.conversation_id
where m.channel = %s and m.account = %s and m.provider_message_id = %s and m.direction = 'outbound'
"""
_MARK_BOUNCED: Final = """
with message as (
    update messages set delivery = 'refused', delivery_error = 'bounced' where id = %(id)s and delivery = 'sent'
    returning id, conversation_id, customer_id, thread_id
)
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select clock_timestamp(), 'delivery_refused', conversation_id, customer_id, %(pool)s, %(episode)s,
       jsonb_build_object('message_id', id, 'thread_id', thread_id, 'code', 'bounced'), 'delivery_refused:' || id
from message on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_FILE: Final = """
insert into attachments (id, message_id, position, name, content_type, size, content)
values (%s, %s, %s, %s, %s, %s, %s)
"""
_STORE: Final = f"""
with place as (
    select %(pool)s::text as pool, %(episode)s::int as episode
), message as (
    insert into messages
        (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id, channel, account,
         provider_message_id, subject, text, full_text, html, attachments, sent_at, delivery, at)
    values
        (%(id)s, %(conversation)s, %(thread)s, %(customer)s, 'inbound', %(kind)s, %(author_kind)s, %(author)s,
         %(channel)s, %(account)s, %(provider_message_id)s, %(subject)s, %(text)s, %(full_text)s, %(html)s,
         %(attachments)s, %(sent_at)s, 'received', clock_timestamp())
    returning id, conversation_id, thread_id, customer_id, channel, kind, at
), thread as (
    update threads set last_inbound_at = message.at, address = %(address)s, identity_id = %(identity)s,
        "references" = %(references)s
    from message where threads.id = message.thread_id and %(identity)s::text is not null
), {TELL}
"""  # noqa: S608 -- put together of constants


class _MovedMeanwhile(Exception):  # noqa: N818 -- says what happened; caught within this module
    """The sender's address belongs to another customer now."""


@dataclass(frozen=True, slots=True)
class _Found:
    twin_id: str | None
    twin_conversation_id: str | None
    twin_customer_id: str | None
    twin_thread_id: str | None
    twin_direction: str | None
    identity_id: str | None
    customer_id: str | None
    conversation_id: str | None
    pool: str | None
    episode: int | None
    thread_id: str | None
    known_references: list[str] | None
    is_blocked: bool

    @property
    def duplicate(self) -> TakenIn | None:
        if self.twin_id is None or self.twin_conversation_id is None or self.twin_customer_id is None:
            return None
        return TakenIn(self.twin_id, self.twin_conversation_id, self.twin_customer_id, self.twin_thread_id, True)


@dataclass(frozen=True, slots=True)
class _Bounced:
    id: str
    conversation_id: str
    customer_id: str
    thread_id: str | None
    pool: str
    episode: int


@dataclass(frozen=True, slots=True)
class _Destination:
    """Everything that is known about where a message goes; no identity when it is filed with another's message."""

    customer_id: str
    identity_id: str | None
    place: Place
    thread_id: str | None
    references: tuple[str, ...]
    signal: bool


async def take_in(connection: LedgerConnection, message: Intake) -> TakenIn:
    """Store the message once and owe its conversation a signal; after this returns it may be acknowledged.

    The connection is not in a transaction: this is one of its own. Nobody is notified of it here, see `Intakes`.
    """
    message = await _told_from_scores(connection, _storable(message))
    taken = await _stored(connection, message)
    # Also for a repeat: the first time may have ended before this.
    return await recognise(connection, message, taken)


async def _stored(connection: LedgerConnection, message: Intake) -> TakenIn:
    try:
        taken = await continued(connection, message) or await begun(connection, message)
    except (UniqueViolation, DeadlockDetected):
        taken = None
    if taken is not None:
        return taken
    for _ in range(_MOST_RACES):
        try:
            async with connection.transaction():
                return await _take_in_once(connection, message)
        except (UniqueViolation, DeadlockDetected, CustomerLinked, _MovedMeanwhile):
            continue  # somebody else was first; now it can be seen what they wrote
    raise RuntimeError(f"lost {_MOST_RACES} races for one message")


async def _told_from_scores(connection: LedgerConnection, message: Intake) -> Intake:
    """A bare number from somebody who was asked for one is their answer to the survey, and nothing else."""
    if message.kind is not MessageKind.MESSAGE or message.files or read_score(message.text) is None:
        return message
    async with alone(connection):
        is_awaited = await awaited_survey(connection, message) is not None
    return replace(message, kind=MessageKind.SURVEY_ANSWER) if is_awaited else message


async def _take_in_once(connection: LedgerConnection, message: Intake) -> TakenIn:
    found = await _find(connection, message)
    if message.channel is Channel.EMAIL and _is_anothers(found):
        message = replace(message, provider_message_id=_told_apart(message))
        found = await _find(connection, message)
    if found.duplicate:
        return found.duplicate
    if found.is_blocked:
        message = replace(message, kind=MessageKind.BLOCKED)
    is_new = found.identity_id is None
    if is_new and message.verified and await _joined_to_known(connection, message):
        found = await _find(connection, message)
    destination = await _destination(connection, message, found)
    message_id = await _store(connection, message, destination)
    if is_new and destination.identity_id is not None:
        await look_for_others(connection, destination.customer_id)
    score = read_score(message.text) if message.kind is MessageKind.SURVEY_ANSWER else None
    survey_id = await awaited_survey(connection, message) if score is not None else None
    if score is not None and survey_id is not None:
        await keep_score(connection, survey_id, score, "reply", datetime.now(UTC))
    return TakenIn(message_id, destination.place.conversation_id, destination.customer_id, destination.thread_id, False)


def _is_anothers(found: _Found) -> bool:
    # A mail's author writes its Message-ID: who has seen one must not be able to make us drop another's mail as a
    # repeat, or their own as a repeat of ours.
    if found.twin_id is None:
        return False
    return found.twin_direction != "inbound" or found.twin_customer_id != found.customer_id


def _told_apart(message: Intake) -> str:
    who = f"{message.sender.kind}:{message.sender.value}:{message.verified}"
    return f"{message.provider_message_id};from={hashlib.sha256(who.encode()).hexdigest()[:16]}"


async def _find(connection: LedgerConnection, message: Intake) -> _Found:
    async with connection.cursor(row_factory=class_row(_Found)) as cursor:
        found = await (await cursor.execute(_FIND, looked_for(message))).fetchone()
    if found is None:
        raise RuntimeError("a query of one row gave none")
    return found


async def _destination(connection: LedgerConnection, message: Intake, found: _Found) -> _Destination:
    if message.kind is MessageKind.BOUNCE and message.failed_message_id is not None:
        bounced = await _bounced(connection, message, message.failed_message_id)
        if bounced:
            return bounced
    customer_id, identity_id = found.customer_id, found.identity_id
    if customer_id is None or identity_id is None:
        customer_id, identity_id = await _new_customer(connection, message)
    if message.kind is MessageKind.BLOCKED:
        return await _aside(connection, message, found, customer_id, identity_id)
    if found.conversation_id is not None and found.pool is not None and found.episode is not None:
        place, signal = Place(found.conversation_id, found.pool, found.episode), True
        joins: str | None = VERIFIED_IDENTITY if message.verified else SAME_SENDER
    else:
        previous = await previous_conversation(connection, customer_id) if found.customer_id else None
        joins, signal = None, message.kind.wants_an_answer
        if signal:
            owner = previous.owner_id if previous else None
            await _demand_still_theirs(connection, identity_id, customer_id)
            place = await open_conversation(connection, customer_id, message.channel, message.subject, owner)
        elif previous:
            await hold_customer(connection, customer_id)
            place = Place(previous.id, previous.pool, previous.episode)
        else:
            place = await file_conversation(connection, customer_id, message.channel, message.subject)
    references = _references(message, found.known_references or [])
    thread_id = found.thread_id
    if thread_id is None and found.customer_id is not None:
        thread_id = await _thread_in(connection, message, place)
    if thread_id is None:
        thread = NewThread(
            identity_id,
            message.channel,
            message.account,
            message.sender.value,
            message.key_of_thread,
            message.subject,
            references,
        )
        thread_id = await add_thread(connection, place, customer_id, thread, joins=joins)
    return _Destination(customer_id, identity_id, place, thread_id, references, signal)


async def _aside(
    connection: LedgerConnection, message: Intake, found: _Found, customer_id: str, identity_id: str
) -> _Destination:
    """Beside the latest conversation: in none of its threads, so that no answer goes to the blocked address."""
    await hold_customer(connection, customer_id)
    previous = await previous_conversation(connection, customer_id) if found.customer_id else None
    if previous is None:
        place = await file_conversation(connection, customer_id, message.channel, message.subject)
    else:
        place = Place(previous.id, previous.pool, previous.episode)
    return _Destination(customer_id, identity_id, place, None, (), signal=False)


async def _demand_still_theirs(connection: LedgerConnection, identity_id: str, customer_id: str) -> None:
    """A merge or a link may have given the sender's address to another customer since it was looked up."""
    still = await connection.execute(_STILL_THEIRS, (identity_id, customer_id))
    if await still.fetchone() is None:
        raise _MovedMeanwhile


async def _bounced(connection: LedgerConnection, message: Intake, failed_message_id: str) -> _Destination | None:
    async with connection.cursor(row_factory=class_row(_Bounced)) as cursor:
        await cursor.execute(_BOUNCED, (message.channel.value, message.account, failed_message_id))
        ours = await cursor.fetchone()
    if ours is None:
        return None
    await connection.execute(_MARK_BOUNCED, {"id": ours.id, "pool": ours.pool, "episode": ours.episode})
    place = Place(ours.conversation_id, ours.pool, ours.episode)
    return _Destination(ours.customer_id, None, place, ours.thread_id, (), signal=False)


async def _joined_to_known(connection: LedgerConnection, message: Intake) -> bool:
    """Whether the new address was given to the customer who is known by another that the channel proved as well."""
    if not message.proven_too:
        return False
    kinds = [address.kind.value for address in message.proven_too]
    values = [address.value for address in message.proven_too]
    row = await (await connection.execute(_PROVEN, (kinds, values))).fetchone()
    if row is None:
        return False
    await hold_customer(connection, str(row[0]))
    await _new_identity(connection, str(row[0]), message.sender, message)
    return True


async def _new_customer(connection: LedgerConnection, message: Intake) -> tuple[str, str]:
    customer_id = new_id("cus")
    name = message.display_name or message.sender.value
    claimed = [f"{address.kind}:{address.value}" for address in message.claimed]
    attributes = {"claimed_addresses": claimed} if claimed else {}
    await connection.execute(_NEW_CUSTOMER, (customer_id, name, Jsonb(attributes)))
    identity_id = await _new_identity(connection, customer_id, message.sender, message)
    if message.verified:
        for address in message.proven_too:
            await _new_identity(connection, customer_id, address, message)
    return customer_id, identity_id


async def _new_identity(connection: LedgerConnection, customer_id: str, address: NormalAddress, message: Intake) -> str:
    identity_id = new_id("idn")
    await connection.execute(
        _NEW_IDENTITY,
        (identity_id, customer_id, address.kind.value, address.value, message.verified, message.display_name),
    )
    return identity_id


async def _thread_in(connection: LedgerConnection, message: Intake, place: Place) -> str | None:
    cursor = await connection.execute(
        _THREAD_IN, (message.channel.value, message.account, message.key_of_thread, place.conversation_id)
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def _store(connection: LedgerConnection, message: Intake, destination: _Destination) -> str:
    message_id = new_id("msg")
    file_ids = [new_id("att") for _ in message.files]
    named = [
        {"id": file_id, "name": file.name, "content_type": file.content_type, "size": file.size}
        for file_id, file in zip(file_ids, message.files, strict=True)
    ]
    from_customer = destination.identity_id is not None
    await connection.execute(
        _STORE,
        {
            "id": message_id,
            "conversation": destination.place.conversation_id,
            "thread": destination.thread_id,
            "customer": destination.customer_id,
            "kind": message.kind.value,
            "author_kind": "customer" if from_customer else "system",
            "author": destination.customer_id if from_customer else None,
            "channel": message.channel.value,
            "account": message.account,
            "provider_message_id": message.provider_message_id,
            "subject": message.subject,
            "text": message.text,
            "full_text": message.quoted_text,
            "html": message.html,
            "attachments": Jsonb(named),
            "sent_at": message.sent_at,
            "address": message.sender.value,
            "identity": destination.identity_id,
            "references": Jsonb(list(destination.references)),
            "signal": destination.signal,
            "pool": destination.place.pool,
            "episode": destination.place.episode,
        },
    )
    for position, (file_id, file) in enumerate(zip(file_ids, message.files, strict=True)):
        await connection.execute(
            _FILE, (file_id, message_id, position, file.name, file.content_type, file.size, file.content)
        )
    return message_id


def _references(message: Intake, known: list[str]) -> tuple[str, ...]:
    """The provider ids that an answer will name: the first, which holds the thread together, and the latest."""
    if message.channel is not Channel.EMAIL:
        return ()
    every = tuple(dict.fromkeys((*known, *message.reply_to, message.provider_message_id)))
    return every if len(every) <= _MOST_REFERENCES else every[:1] + every[1 - _MOST_REFERENCES :]


def _storable(message: Intake) -> Intake:
    return replace(
        message,
        text=_text(message.text),
        full_text=None if message.full_text is None else _text(message.full_text),
        html=None if message.html is None else _text(message.html),
        subject=None if message.subject is None else _text(message.subject),
        display_name=None if message.display_name is None else _text(message.display_name)[:_LONGEST_NAME],
        provider_message_id=_text(message.provider_message_id),
        thread_key=None if message.thread_key is None else _text(message.thread_key),
        reply_to=tuple(map(_text, message.reply_to)),
        files=tuple(
            replace(file, name=_text(file.name), content_type=_text(file.content_type)) for file in message.files
        ),
    )


def _text(text: str) -> str:
    """The text as Postgres can keep it: NUL and halves of surrogate pairs become the replacement character."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
