"""The customer's journey in the ledger: suggestions with their messages and threads, and the effort survey."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from domain.channels import Channel
from domain.conversation.commands import Command
from domain.conversation.journey_commands import (
    AskSurvey,
    EndSuggestion,
    JudgeSuggestion,
    OfferSwitch,
    OpenThread,
    SuggestionEnd,
)
from domain.conversation.state import ConversationState
from domain.suggestions.links import LinkMaker
from domain.suggestions.wording import callback_text, email_text, meeting_text, offer_text, survey_text
from storage.database import LedgerConnection

_NO_LINKS: Final = LinkMaker(b"", "")

# A call or a meeting has no line that words could be sent on.
_PRESENT_THREAD: Final = """
select t.id, t.channel, t.account, t.address, t.identity_id, u.time_zone
from threads t join customers u on u.id = t.customer_id
where t.conversation_id = %s and t.channel not in ('voice', 'video')
order by t.last_inbound_at desc nulls last, t.opened_at desc, t.id desc limit 1
"""
_OFFER: Final = """
insert into suggestions
    (id, conversation_id, customer_id, episode, channel, from_channel, cause, reason, intent, came_back, by_agent,
     message_id, state, offered_at, expires_at)
values
    (%(id)s, %(conversation)s, %(customer)s::text, %(episode)s, %(channel)s, %(from_channel)s, %(cause)s, %(reason)s,
     %(intent)s::text,
     exists (select from resolutions r where r.customer_id = %(customer)s::text and r.intent = %(intent)s::text
             and r.resolved_at < %(at)s::timestamptz),
     %(by_agent)s, %(message)s, 'offered', %(at)s::timestamptz, %(expires_at)s)
"""
_END: Final = """
update suggestions set state = %(state)s, via = %(via)s, ended_at = %(at)s, callback_at = %(callback_at)s
where id = %(id)s and state = 'offered'
"""
_JUDGE: Final = "update suggestions set resolved_there = %s where id = %s and state = 'accepted'"
_SAY: Final = """
insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, channel, account,
                      subject, text, attachments, at, sent_at, delivery)
values (%(id)s, %(conversation)s, %(thread)s, %(customer)s, 'outbound', %(kind)s, 'system', %(channel)s, %(account)s,
        %(subject)s, %(text)s, '[]', %(at)s, %(sent_at)s, %(delivery)s)
on conflict (id) do nothing
"""
# A meeting takes place where the customer is met by a link; mail and calls need an address that was proven.
_NEW_THREAD: Final = """
with present as (
    select t.identity_id, t.address, t.account, t.subject
    from threads t where t.conversation_id = %(conversation)s::text and t.channel not in ('voice', 'video')
    order by t.last_inbound_at desc nulls last, t.opened_at desc, t.id desc limit 1
), known as (
    select i.id as identity_id, i.address from identities i
    where i.customer_id = %(customer)s::text and i.kind = %(kind)s and i.verified order by i.created_at, i.id limit 1
), account as (
    select name from channel_accounts where channel = %(channel)s::text and active order by created_at, id limit 1
)
insert into threads
    (id, conversation_id, customer_id, identity_id, channel, account, address, thread_key, subject, "references",
     opened_at, last_inbound_at)
select %(id)s::text, %(conversation)s::text, %(customer)s::text, coalesce(known.identity_id, present.identity_id),
       %(channel)s::text, coalesce(account.name, 'suggested'), coalesce(known.address, present.address), %(key)s::text,
       present.subject, '[]', %(at)s::timestamptz, case when %(answers_there)s::boolean then %(at)s::timestamptz end
from present left join known on true left join account on true
on conflict do nothing
"""
_THREAD_JOINED: Final = """
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
select %(at)s::timestamptz, 'thread_joined', c.id, %(customer)s::text, %(agent)s::text, c.pool, %(episode)s::int,
       %(facts)s::jsonb, 'thread_joined:' || %(thread)s::text
from conversations c where c.id = %(conversation)s
on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_KEEP_THREAD: Final = "update suggestions set thread_id = %s where id = %s"
_THREAD: Final = """
select t.id, t.channel, t.account, t.address, t.identity_id, u.time_zone
from suggestions s join threads t on t.id = s.thread_id join customers u on u.id = t.customer_id where s.id = %s
"""
# The customer's row is the turnstile: two conversations of one customer ask one after the other.
_LOCK_CUSTOMER: Final = "select from customers where id = %s for no key update"
_ASKED_LATELY: Final = "select from surveys where customer_id = %s and asked_at > %s limit 1"
_ASK: Final = """
with survey as (
    insert into surveys
        (id, conversation_id, episode, customer_id, channel, account, message_id, asked_at, answer_until)
    values (%(id)s, %(conversation)s, %(episode)s, %(customer)s, %(channel)s, %(account)s, %(message)s,
            %(at)s::timestamptz, %(until)s)
    returning *
)
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select survey.asked_at, 'survey_asked', survey.conversation_id, survey.customer_id, c.pool, survey.episode,
       jsonb_build_object('survey_id', survey.id, 'message_id', survey.message_id, 'channel', survey.channel),
       'survey_asked:' || survey.id
from survey join conversations c on c.id = survey.conversation_id
"""


@dataclass(frozen=True, slots=True)
class JourneyHouse:
    """What the house says with: links for customers, and the template of a meeting's address."""

    links: LinkMaker = _NO_LINKS
    meeting_link: str = ""


@dataclass(frozen=True, slots=True)
class _Thread:
    id: str
    channel: str
    account: str
    address: str
    identity_id: str
    time_zone: str | None


class _Journey:
    """One step's writes; `to_deliver` are the messages that somebody must carry to their channel."""

    def __init__(
        self,
        connection: LedgerConnection,
        state: ConversationState,
        at: datetime,
        pushed: frozenset[str],
        house: JourneyHouse,
    ) -> None:
        self._connection = connection
        self._state = state
        self._at = at
        self._pushed = pushed
        self._house = house
        self.to_deliver: list[str] = []

    @property
    def _language(self) -> str | None:
        case = self._state.case
        if case is None:
            return None
        return case.language or next(iter(case.languages), None)

    async def offer(self, command: OfferSwitch) -> None:
        thread = await self._thread(_PRESENT_THREAD, self._state.conversation_id)
        if thread is None:
            raise LookupError(f"{self._state.conversation_id} has no thread to say anything on")
        await self._connection.execute(
            _OFFER,
            {
                "id": command.suggestion_id,
                "conversation": self._state.conversation_id,
                "customer": self._state.customer_id,
                "episode": self._state.episode,
                "channel": command.channel.value,
                "from_channel": thread.channel,
                "cause": command.cause.value,
                "reason": command.reason,
                "intent": self._state.case.intent if self._state.case else None,
                "by_agent": command.by_agent,
                "message": command.message_id,
                "at": self._at,
                "expires_at": command.expires_at,
            },
        )
        link = self._house.links.link(command.suggestion_id, command.expires_at)
        text = offer_text(self._language, command.channel, command.cause, link)
        await self._say(command.message_id, thread, text, "suggestion")

    async def end(self, command: EndSuggestion) -> None:
        await self._connection.execute(
            _END,
            {
                "id": command.suggestion_id,
                "state": command.end.value,
                "via": command.via,
                "at": self._at,
                "callback_at": command.callback_at,
            },
        )
        if command.end is not SuggestionEnd.ACCEPTED or command.message_id is None:
            return
        if command.channel is Channel.EMAIL:
            thread, text = await self._thread(_THREAD, command.suggestion_id), email_text(self._language)
        else:
            thread = await self._thread(_PRESENT_THREAD, self._state.conversation_id)
            text = self._confirmation(command, thread.time_zone if thread else None)
        if thread is not None:
            await self._say(command.message_id, thread, text, "suggestion")

    async def open_thread(self, command: OpenThread) -> None:
        kind = {Channel.EMAIL: "email", Channel.VOICE: "phone"}.get(command.channel, "")
        await self._connection.execute(
            _NEW_THREAD,
            {
                "id": command.thread_id,
                "conversation": self._state.conversation_id,
                "customer": self._state.customer_id,
                "kind": kind,
                "channel": command.channel.value,
                "key": command.suggestion_id,
                "at": self._at,
                "answers_there": command.channel is Channel.EMAIL,
            },
        )
        await self._connection.execute(_KEEP_THREAD, (command.thread_id, command.suggestion_id))
        facts = {
            "thread_id": command.thread_id,
            "channel": command.channel.value,
            "suggestion_id": command.suggestion_id,
        }
        await self._connection.execute(
            _THREAD_JOINED,
            {
                "at": self._at,
                "conversation": self._state.conversation_id,
                "customer": self._state.customer_id,
                "agent": self._state.agent_id,
                "episode": self._state.episode,
                "thread": command.thread_id,
                "facts": Jsonb(facts),
            },
        )

    async def judge(self, command: JudgeSuggestion) -> None:
        await self._connection.execute(_JUDGE, (command.resolved_there, command.suggestion_id))

    async def ask(self, command: AskSurvey) -> None:
        """Ask, unless the customer was asked within the period; then nothing is said and nothing told."""
        await self._connection.execute(_LOCK_CUSTOMER, (self._state.customer_id,))
        lately = await self._connection.execute(_ASKED_LATELY, (self._state.customer_id, self._at - command.period))
        thread = await self._thread(_PRESENT_THREAD, self._state.conversation_id)
        if await lately.fetchone() is not None or thread is None:
            return
        until = self._at + command.answer_within
        await self._connection.execute(
            _ASK,
            {
                "id": command.survey_id,
                "conversation": self._state.conversation_id,
                "episode": self._state.episode,
                "customer": self._state.customer_id,
                "channel": thread.channel,
                "account": thread.account,
                "message": command.message_id,
                "at": self._at,
                "until": until,
            },
        )
        text = survey_text(self._language, self._house.links.link(command.survey_id, until))
        await self._say(command.message_id, thread, text, "survey")

    def _confirmation(self, command: EndSuggestion, time_zone: str | None) -> str:
        if command.callback_at is not None:
            return callback_text(self._language, command.callback_at.astimezone(ZoneInfo(time_zone or "UTC")))
        return meeting_text(self._language, self._house.meeting_link.replace("{id}", command.suggestion_id))

    async def _thread(self, query: str, key: str) -> _Thread | None:
        async with self._connection.cursor(row_factory=class_row(_Thread)) as cursor:
            return await (await cursor.execute(query.encode(), (key,))).fetchone()

    async def _say(self, message_id: str, thread: _Thread, text: str, kind: str) -> None:
        is_pushed = thread.channel in self._pushed
        await self._connection.execute(
            _SAY,
            {
                "id": message_id,
                "conversation": self._state.conversation_id,
                "thread": thread.id,
                "customer": self._state.customer_id,
                "kind": kind,
                "channel": thread.channel,
                "account": thread.account,
                "subject": self._state.case.subject if self._state.case else None,
                "text": text,
                "at": self._at,
                "sent_at": None if is_pushed else self._at,
                "delivery": "queued" if is_pushed else "sent",
            },
        )
        if is_pushed:
            self.to_deliver.append(message_id)


async def write_journey(
    connection: LedgerConnection,
    state: ConversationState,
    commands: Sequence[Command],
    at: datetime,
    pushed_channels: frozenset[str],
    house: JourneyHouse,
) -> list[str]:
    """Carry out what a step asks on the customer's journey, within the step's transaction.

    Returns the ids of the messages that must be carried to their channel.
    """
    journey = _Journey(connection, state, at, pushed_channels, house)
    for command in commands:
        match command:
            case OfferSwitch():
                await journey.offer(command)
            case EndSuggestion():
                await journey.end(command)
            case OpenThread():
                await journey.open_thread(command)
            case JudgeSuggestion():
                await journey.judge(command)
            case AskSurvey():
                await journey.ask(command)
            case _:
                continue
    return journey.to_deliver


def messages_of(commands: Sequence[Command]) -> list[str]:
    """The ids of the messages that a step's journey may have said something by."""
    return [
        command.message_id
        for command in commands
        if isinstance(command, OfferSwitch | AskSurvey | EndSuggestion) and command.message_id is not None
    ]
