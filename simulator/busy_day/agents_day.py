"""The agents of a busy day, each at their own desk: they accept, decline, are late, go away, answer and resolve."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Final, Generic, TypeVar

import httpx
import msgspec

from domain.channels import Channel
from simulator.busy_day.door import Door, Json, Refused
from simulator.busy_day.floor_setup import Desk, Floor
from simulator.busy_day.lines import AGENT_ANSWERS
from simulator.busy_day.news import News
from simulator.busy_day.pace import Pace
from simulator.busy_day.plan import Mishap
from simulator.busy_day.strays import Strays

LOOK_AGAIN: Final = timedelta(seconds=2)
BREATH: Final = timedelta(milliseconds=200)
CUSTOMER_QUIET: Final = timedelta(seconds=100)
"""Nothing more from the customer for so long: the agent thinks it is settled."""
SHORTEST_QUIET: Final = timedelta(seconds=2)
LONGEST_LATE: Final = timedelta(seconds=20)
SHARE_DECLINED: Final = 0.04
SHARE_LATE: Final = 0.04
_MINE: Final = "state=assigned&state=pending_customer&state=on_hold&state=wrap_up&limit=50"


What = TypeVar("What")


class _Customer(msgspec.Struct):
    id: str


class _Offer(msgspec.Struct):
    id: str
    conversation_id: str
    expires_at: datetime
    created_at: datetime
    customer: _Customer


class _Conversation(msgspec.Struct):
    id: str
    state: str
    customer_id: str
    agent_id: str | None


class _Agent(msgspec.Struct):
    presence: str


class _Me(msgspec.Struct):
    agent: _Agent


class _Offers(msgspec.Struct):
    data: list[_Offer]


class _Conversations(msgspec.Struct):
    data: list[_Conversation]


class _WrapUpCode(msgspec.Struct):
    code: str


class _WrapUpCodes(msgspec.Struct):
    data: list[_WrapUpCode]


class _Once(Generic[What]):
    """What is still to happen on purpose, by customer: once each, on the whole floor."""

    def __init__(self, planned: Mapping[str, What]) -> None:
        self._left = dict(planned)

    def take(self, customer_id: str) -> What | None:
        return self._left.pop(customer_id, None)

    def give_back(self, customer_id: str, what: What) -> None:
        """It came to nothing: the conversation, or its offer, was somebody else's by then."""
        self._left[customer_id] = what


class AgentsDay:
    """All desks of the floor."""

    def __init__(
        self, http: httpx.AsyncClient, floor: Floor, news: News, pace: Pace, seed: int, strays: Strays
    ) -> None:
        mishaps = _Once(floor.mishaps)
        leads = _Once(dict.fromkeys(floor.led_to_video, Channel.VIDEO))
        self._sitting = [
            _AtDesk(
                Door(http, desk.key),
                desk,
                news,
                pace,
                Random(f"{seed}/{desk.agent.name}"),
                mishaps,
                leads,
                strays,
            )
            for desk in floor.desks
        ]

    async def arrive(self) -> None:
        for sitting in self._sitting:
            await sitting.be("online")

    async def work(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for sitting in self._sitting:
                tasks.create_task(sitting.work())


class _AtDesk:
    def __init__(
        self,
        door: Door,
        desk: Desk,
        news: News,
        pace: Pace,
        random: Random,
        mishaps: _Once[Mishap],
        leads: _Once[Channel],
        strays: Strays,
    ) -> None:
        self._door = door
        self._desk = desk
        self._news = news
        self._pace = pace
        self._random = random
        self._mishaps = mishaps
        self._strays = strays
        self._leads = leads
        self._offers: set[str] = set()
        self._in_hand: set[str] = set()
        self._silent: set[str] = set()
        self._codes: list[str] = []
        self._looking_away = asyncio.Lock()

    async def be(self, presence: str) -> None:
        await self._door.send("PUT", "/v1/me/presence", {"presence": presence}, msgspec.Raw)

    async def work(self) -> None:
        self._codes = [one.code for one in (await self._door.get("/v1/wrap-up-codes", _WrapUpCodes)).data][:4]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_a_break())
            changes = 0
            while True:
                heard = self._news.heard(self._desk.agent_id)
                if changes != (changes := self._news.heard(self._desk.agent_id, "presence_changed")):
                    await self._be_seen()
                for offer in (await self._door.get("/v1/offers", _Offers)).data:
                    if offer.id not in self._offers:
                        self._offers.add(offer.id)
                        tasks.create_task(self._answer(offer))
                mine = await self._door.get(f"/v1/conversations?agent={self._desk.agent_id}&{_MINE}", _Conversations)
                for conversation in mine.data:
                    if conversation.id not in self._in_hand | self._silent:
                        self._in_hand.add(conversation.id)
                        tasks.create_task(self._look_after(conversation.id))
                await asyncio.sleep(BREATH.total_seconds())
                await self._news.after(self._desk.agent_id, heard, LOOK_AGAIN)

    async def _take_a_break(self) -> None:
        if self._desk.agent.break_at is None:
            return
        await self._pace.pause(self._desk.agent.break_at)
        async with self._looking_away:
            await self.be("away")
        await self._pace.pause(self._desk.agent.break_for)
        await self.be("online")

    async def _answer(self, offer: _Offer) -> None:
        mishap = self._mishaps.take(offer.customer.id) or Mishap.NONE
        chance = self._random.random()
        given = offer.expires_at - offer.created_at
        has_happened = False
        try:
            if mishap is Mishap.OFFER_DECLINED or (mishap is Mishap.NONE and chance < SHARE_DECLINED):
                reason = "I am no good at this one"
                await self._door.send("POST", f"/v1/offers/{offer.id}/decline", {"reason": reason}, msgspec.Raw)
                return
            if mishap is Mishap.OFFER_IGNORED:
                # Who went on a break meanwhile would give the offer back before it has timed out.
                async with self._looking_away:
                    has_happened = await self._let_pass(offer)
            elif mishap is Mishap.NONE and chance > 1 - SHARE_LATE:
                await asyncio.sleep((given * 0.6).total_seconds())
            else:
                await self._pace.pause(timedelta(seconds=self._random.uniform(2, 12)))
            if mishap is Mishap.OWNER_SILENT:
                self._silent.add(offer.conversation_id)
            else:
                self._silent.discard(offer.conversation_id)
            await self._door.send("POST", f"/v1/offers/{offer.id}/accept", {}, msgspec.Raw)
        except Refused:
            # Too late, or taken back: "no longer yours" is an answer an agent lives with.
            self._silent.discard(offer.conversation_id)
            if mishap is not Mishap.NONE and not has_happened:
                self._mishaps.give_back(offer.customer.id, mishap)

    async def _let_pass(self, offer: _Offer) -> bool:
        """Whether it timed out; it may be taken back before."""
        before = self._news.heard(offer.conversation_id, "offer_timed_out")
        while self._news.heard(offer.conversation_id, "offer_timed_out") == before:
            heard = self._news.heard(offer.conversation_id)
            if not await self._news.after(offer.conversation_id, heard, LONGEST_LATE):
                return False
        return True

    async def _be_seen(self) -> None:
        """Who let an offer pass counts as not responding until they say that they are there."""
        if (await self._door.get("/v1/me", _Me)).agent.presence == "not_responding":
            await self.be("online")

    async def _look_after(self, conversation_id: str) -> None:
        path = f"/v1/conversations/{conversation_id}"
        try:
            await self._door.get(f"{path}/context", msgspec.Raw)
            while True:
                heard = self._news.heard(conversation_id)
                conversation = await self._door.get(path, _Conversation)
                if conversation.agent_id != self._desk.agent_id:
                    return
                match conversation.state:
                    case "assigned":
                        await self._pace.pause(timedelta(seconds=self._random.uniform(15, 60)))
                        await self._merge_stray(conversation)
                        text = self._random.choice(AGENT_ANSWERS)
                        await self._door.send("POST", f"{path}/messages", {"text": text}, msgspec.Raw)
                        await self._lead_elsewhere(conversation)
                    case "pending_customer":
                        if not await self._customer_writes(conversation_id, heard):
                            code = self._random.choice(self._codes)
                            await self._door.send("POST", f"{path}/resolve", {"wrap_up_code": code}, msgspec.Raw)
                    case "on_hold":
                        await self._door.send("POST", f"{path}/resume", {}, msgspec.Raw)
                    case "wrap_up":
                        await self._pace.pause(timedelta(seconds=self._random.uniform(10, 40)))
                        await self._door.send("POST", f"{path}/wrap-up/end", {}, msgspec.Raw)
                    case _:
                        return
        except Refused:
            # It has moved on meanwhile; whatever is still mine is found again by the next look.
            return
        finally:
            self._in_hand.discard(conversation_id)

    async def _lead_elsewhere(self, conversation: _Conversation) -> None:
        channel = self._leads.take(conversation.customer_id)
        if channel is None:
            return
        suggested: dict[str, Json] = {"channel": channel.value, "reason": "We should look at it together."}
        try:
            await self._door.send("POST", f"/v1/conversations/{conversation.id}/suggestions", suggested, msgspec.Raw)
        except Refused:
            self._leads.give_back(conversation.customer_id, channel)
            raise

    async def _merge_stray(self, conversation: _Conversation) -> None:
        """The customer says what else is theirs: one conversation of it, before a word is written."""
        stray = await self._strays.of(conversation.customer_id)
        if stray is None:
            return
        path = f"/v1/conversations/{conversation.id}/merge"
        body: dict[str, Json] = {"into": stray.conversation_id}
        try:
            await self._door.send("POST", path, body, msgspec.Raw)
        except Refused as refused:
            if refused.code == "identity_conflict":
                await self._strays.supervisor.send("POST", path, {**body, "force": True}, msgspec.Raw)
            elif refused.code != "conversation_ended":
                raise
            # Whoever had the other one was done with it and it is closed: it stays by itself.
        self._strays.settle(conversation.customer_id)

    async def _customer_writes(self, conversation_id: str, heard: int) -> bool:
        """Whether anything happens before the customer has been quiet for long enough."""
        quiet = self._pace.of(CUSTOMER_QUIET, SHORTEST_QUIET)
        wrote = self._news.heard(conversation_id, "message_received")
        loop = asyncio.get_running_loop()
        until = loop.time() + quiet.total_seconds()
        while loop.time() < until:
            await self._news.after(conversation_id, heard, timedelta(seconds=max(0.0, until - loop.time())))
            heard = self._news.heard(conversation_id)
            if self._news.heard(conversation_id, "message_received") > wrote:
                return True
        return False
