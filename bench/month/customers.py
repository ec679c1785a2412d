"""The customers: they write, write again elsewhere, come back, and leave."""

from datetime import datetime

from bench.month.agenda import Talk
from bench.month.floor import OnFloor
from bench.month.terms import DAY, HOUR, INTENTS, MINUTE, SECOND
from domain.conversation.state import ConversationState


class Customers(OnFloor):
    async def open(self, customer_id: str, now: datetime, before: Talk | None = None) -> None:
        random = self._random
        number = len(self._floor.talks)
        channel = random.choice(("web_chat", "web_chat", "email", "sms"))
        new = Talk(
            ConversationState(f"con_{number}", customer_id, now),
            customer_id,
            {},
            channel,
            before.intent if before else random.choice(INTENTS),
            random.choice(("standard", "gold")),
        )
        if before is None:
            await self._new_customer(new, now)
        self._floor.talks[new.id] = new
        await self._books.insert(
            "conversations", id=new.id, customer_id=customer_id, merge_scope=f"m{number}", state="new", step=0,
            episode=1, priority=3, pool="default", channels=[channel], opened_at=now, updated_at=now,
        )  # fmt: skip
        await self._books.event(new, now, "conversation_opened", {"channel": channel})
        await self.write(new, now, channel)
        if random.random() < 0.25:
            self._agenda.plan(now + random.uniform(1, 30) * MINUTE, "writes", new, random.choice(("sms", "email")))
        if random.random() < 0.1:
            self._agenda.plan(now + random.choice((SECOND, MINUTE, HOUR, DAY)) * random.uniform(0.1, 2), "merged", new)
        if random.random() < 0.2:
            self._agenda.plan(now + random.uniform(5, 300) * MINUTE, "split", new)
        if random.random() < 0.05:
            self._agenda.plan(now + random.uniform(1, 300) * MINUTE, "leaves", new)
        if random.random() < 0.05:
            self._agenda.plan(now + random.uniform(1, 90) * MINUTE, "supervisor", new)

    async def _new_customer(self, new: Talk, now: datetime) -> None:
        await self._books.insert(
            "customers", id=new.customer_id, display_name=new.customer_id, segment=new.segment, languages=[],
            preferred_channels=[], attributes={}, created_at=now, updated_at=now,
        )  # fmt: skip
        for kind in ("email", "phone"):
            await self._books.insert(
                "identities", id=f"idn_{new.customer_id}_{kind}", customer_id=new.customer_id, kind=kind,
                address=f"{new.customer_id}-{kind}", verified=True, created_at=now,
            )  # fmt: skip

    async def write(self, talk: Talk, now: datetime, channel: str, word: str = "") -> None:
        """The customer writes on a thread of theirs, wherever that is by now; after the end a conversation opens."""
        thread_id, (where, customer_id, state) = await self._thread(talk, channel, now)
        if state == "closed":
            if not word:
                await self.open(customer_id, now, talk)
            return
        talk.messages += 1
        message_id = f"msg_{talk.id}_{talk.messages}"
        self._floor.words[message_id] = word
        await self._books.insert(
            "messages", id=message_id, conversation_id=where, thread_id=thread_id, customer_id=customer_id,
            direction="inbound", kind="message", author_kind="customer", channel=channel, account="main",
            text=word or "words", attachments=[], at=now, delivery="received",
        )  # fmt: skip
        facts = {"message_id": message_id, "thread_id": thread_id, "channel": channel, "kind": "message"}
        await self._books.event(self._floor.talks[where], now, "message_received", facts)
        await self._floor.owe(where, "message_received", facts | {"at": now.isoformat()}, now)

    async def _thread(self, talk: Talk, channel: str, now: datetime) -> tuple[str, tuple[str, str, str]]:
        """A thread of the customer, where it is, whose, and in which state that is; a new channel joins the oldest."""
        oldest = next(iter(talk.threads.values()), None)
        place = (talk.id, talk.customer_id, "new") if oldest is None else await self._floor.place(oldest)
        thread_id = talk.threads.get(channel)
        if thread_id is not None:
            return thread_id, await self._floor.place(thread_id)
        thread_id = f"thr_{talk.id}_{channel}"
        if place[2] != "closed":
            talk.threads[channel] = thread_id
            await self._books.insert(
                "threads", id=thread_id, conversation_id=place[0], customer_id=place[1],
                identity_id=f"idn_{talk.customer_id}_email", channel=channel, account="main", address=talk.customer_id,
                thread_key=thread_id, references=[], opened_at=now, last_inbound_at=now,
            )  # fmt: skip
        return thread_id, place

    async def leave(self, talk: Talk, now: datetime) -> None:
        thread_id = talk.threads[talk.channel]
        where, _, state = await self._floor.place(thread_id)
        if state != "closed":
            await self._floor.owe(where, "customer_left", {"thread_id": thread_id, "at": now.isoformat()}, now)
