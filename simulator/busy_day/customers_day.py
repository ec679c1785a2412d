"""The customers of a busy day: each writes what the plan says, when its cause has come, and counts what was taken."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from domain.channels import Channel
from simulator.busy_day.door import Door, Json
from simulator.busy_day.floor_setup import HOTLINE, SUPPORT_ADDRESS, Floor
from simulator.busy_day.lines import VIDEO_ACCEPTED, VIDEO_DECLINED
from simulator.busy_day.mail import Letter, MailProgram
from simulator.busy_day.news import News
from simulator.busy_day.pace import Pace
from simulator.busy_day.plan import MAIL_DOMAIN, DayPlan, Line, PlannedCustomer, Reaction
from simulator.busy_day.strays import Stray, Strays

LISTEN: Final = timedelta(seconds=5)
MAIL_LOOKS: Final = 20
READS_FOR: Final = timedelta(seconds=8)
SURVEY_LOOKS: Final = 6
SURVEY_LISTEN: Final = timedelta(seconds=1)
MAIL_LOOK_PAUSE: Final = timedelta(milliseconds=500)


class Acknowledged(msgspec.Struct):
    message_id: str
    conversation_id: str
    customer_id: str
    duplicate: bool


class CustomersDay:
    def __init__(
        self, adapter: Door, mail: MailProgram, floor: Floor, news: News, pace: Pace, day: str, strays: Strays
    ) -> None:
        """`day` tells the messages of this day from those of another one in the same ledger."""
        self._adapter = adapter
        self._mail = mail
        self._floor = floor
        self._news = news
        self._pace = pace
        self._day = day
        self._strays = strays
        self._acknowledged: set[str] = set()
        self._also_known_as: dict[str, str] = {}
        self.sent = 0
        self.sent_again = 0

    @property
    def acknowledged(self) -> frozenset[str]:
        """The provider's ids of what Baton, or the mail server, has said it took."""
        return frozenset(self._acknowledged)

    async def write(self, plan: DayPlan) -> None:
        """Return when everybody has said all they had to say, and each conversation was resolved."""
        async with asyncio.TaskGroup() as tasks:
            for customer in plan.customers:
                tasks.create_task(self._one(customer))

    async def _one(self, customer: PlannedCustomer) -> None:
        customer_id = self._floor.customer_ids[customer.number]
        await self._say(customer, customer.opening, "opening")
        if customer.stray is not None:
            await self._write_from_another_phone(customer, customer.stray)
        async with asyncio.TaskGroup() as tasks:
            if customer.elsewhere is not None:
                tasks.create_task(self._say(customer, customer.elsewhere, "elsewhere"))
            if customer.call is not None:
                tasks.create_task(self._say(customer, customer.call, "call"))
            if customer.led_to_video is not None:
                tasks.create_task(self._answer_suggestion(customer, customer_id))
            for turn, line in enumerate(customer.follow_ups):
                if not await self._is_answered(customer_id, turn + 1):
                    break
                await self._say(customer, line, f"answer-{turn}")
        await self._until_resolved(customer_id)
        if customer.thanks is not None:
            await self._say(customer, customer.thanks, "thanks")
        if customer.comes_back is not None:
            await self._pace.pause(customer.comes_back.after)
            await self._until_resolved(customer_id)
            reopened = self._news.heard(customer_id, "reopened")
            await self._say(customer, customer.comes_back, "back", at_once=True)
            await self._until(customer_id, "reopened", reopened + 1)
            await self._until_resolved(customer_id)

        if customer.score is not None:
            await self._score(customer, customer_id, str(customer.score))

    async def _answer_suggestion(self, customer: PlannedCustomer, customer_id: str) -> None:
        """Answer by one word once the suggestion is there; none comes when the matter was settled first."""
        while not self._news.heard(customer_id, "suggestion_offered"):
            if self._is_resolved(customer_id):
                return
            await self._news.after(customer_id, self._news.heard(customer_id), LISTEN)
        if customer.led_to_video is not Reaction.IGNORES:
            text = VIDEO_ACCEPTED if customer.led_to_video is Reaction.ACCEPTS else VIDEO_DECLINED
            await self._say(customer, Line(customer.opening.channel, text, READS_FOR), "switch")

    async def _score(self, customer: PlannedCustomer, customer_id: str, score: str) -> None:
        """Say how easy it was, if anybody asks in time."""
        for _ in range(SURVEY_LOOKS):
            if self._news.heard(customer_id, "survey_asked"):
                await self._say(customer, Line(customer.opening.channel, score, READS_FOR), "score")
                return
            await self._news.after(customer_id, self._news.heard(customer_id), SURVEY_LISTEN)

    async def _is_answered(self, customer_id: str, times: int) -> bool:
        """False when it was resolved first: one answer may serve what was written on two channels."""
        while self._heard(customer_id, "replied") < times:
            if self._is_resolved(customer_id):
                return False
            await self._news.after(customer_id, self._news.heard(customer_id), LISTEN)
        return True

    def _is_resolved(self, customer_id: str) -> bool:
        return self._heard(customer_id, "resolved") > self._heard(customer_id, "reopened")

    def _heard(self, customer_id: str, kind: str) -> int:
        """Under both names: which of two merged conversations lives on is not the customer's to know."""
        names = {customer_id, self._also_known_as.get(customer_id, customer_id)}
        return sum(self._news.heard(name, kind) for name in names)

    async def _until(self, customer_id: str, kind: str, times: int) -> None:
        while self._news.heard(customer_id, kind) < times:
            await self._news.after(customer_id, self._news.heard(customer_id), LISTEN)

    async def _until_resolved(self, customer_id: str) -> None:
        while not self._is_resolved(customer_id):
            await self._news.after(customer_id, self._news.heard(customer_id), LISTEN)

    async def _say(self, customer: PlannedCustomer, line: Line, part: str, *, at_once: bool = False) -> None:
        if not at_once:
            await self._pace.pause(line.after)
        name = f"{self._day}-{customer.number}-{part}"
        self.sent += 1
        if line.channel is Channel.EMAIL:
            await self._post(customer, line, name)
        else:
            await self._hand_over(customer, line, name)

    async def _write_from_another_phone(self, customer: PlannedCustomer, line: Line) -> None:
        """Nothing but the customer's own word says who this is: only an agent may merge it."""
        self.sent += 1
        taken = await self._hand_over(customer, line, f"{self._day}-{customer.number}-stray", customer.other_phone)
        stray = Stray(taken.conversation_id, taken.customer_id)
        self._also_known_as[self._floor.customer_ids[customer.number]] = taken.customer_id
        self._strays.tell(self._floor.customer_ids[customer.number], stray)

    async def _hand_over(
        self, customer: PlannedCustomer, line: Line, name: str, address: str | None = None
    ) -> Acknowledged:
        body: dict[str, Json] = {
            "channel": line.channel.value,
            "account": HOTLINE,
            "provider_message_id": name,
            "from": {
                "address": address or customer.address(line.channel),
                "display_name": customer.name,
                "verified": True,
            },
            "text": line.text,
            "sent_at": datetime.now(UTC).isoformat(),
        }
        taken = await self._adapter.send("POST", "/v1/messages", body, Acknowledged)
        self._acknowledged.add(name)
        if line.sent_twice:
            self.sent_again += 1
            await self._adapter.send("POST", "/v1/messages", body, Acknowledged)
        return taken

    async def _post(self, customer: PlannedCustomer, line: Line, name: str) -> None:
        message_id = f"<{name}@{MAIL_DOMAIN}>"
        answers = await self._latest_mail(customer) if "-answer-" in name else None
        letter = Letter(message_id, customer.email, SUPPORT_ADDRESS, f"A question ({name})", line.text, answers)
        await self._mail.send(letter)
        self._acknowledged.add(message_id)
        if line.sent_twice:
            self.sent_again += 1
            await self._mail.send(letter)

    async def _latest_mail(self, customer: PlannedCustomer) -> str | None:
        """What the customer presses "reply" on; the agent's words may still be on their way."""
        for _ in range(MAIL_LOOKS):
            received = await self._mail.inbox(customer.email)
            if received:
                return received[-1].message_id
            await asyncio.sleep(MAIL_LOOK_PAUSE.total_seconds())
        return None
