"""The durable shell of a conversation: one loop over inbox and next deadline.

Handlers only put something into the inbox; the loop takes the next thing, lets the domain decide, and has the ledger
write what was decided. A step is a proposal: when the ledger refuses it, the old state stands and the refusal is the
next thing that happened.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NoReturn, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    # `from package import module` would slip past the sandbox and load a second copy of the module.
    import domain.conversation.events as events  # noqa: PLR0402
    import workflows.messages as messages  # noqa: PLR0402
    import workflows.search_attributes as search_attributes  # noqa: PLR0402
    from domain.conversation.commands import Command, Happened
    from domain.conversation.deadlines import NextDeadline, deadlines
    from domain.conversation.description import details, waiting_for
    from domain.conversation.projection import project
    from domain.conversation.refusals import Refusal, RefusalCode
    from domain.conversation.state import ConversationState, Phase
    from domain.conversation.step import Step, step
    from domain.conversation.terms import Assessment
    from workflows.alarm import Alarm
    from workflows.carried import Signal, pack, signal_of, unpack
    from workflows.conversation_start import CONVERSATION_WORKFLOW, ConversationStart
    from workflows.encoding import tagged
    from workflows.messages import ConversationView, QueryName, SignalName, TimelineLine, UpdateName
    from workflows.ports import ActivityName, AssessCase, AssessMerge, MergedCase, StepOutcome, StepWrite

SEEN_SIGNALS: Final = 200
TAIL_LINES: Final = 30
MESSAGES_AT_ONCE: Final = 100
RECEIVED_IN_ONE_RUN: Final = 2000
"""The server takes 10,000 signals and 2,000 updates a run; we go on in a new one long before."""
_SHOWS_SURVIVOR: Final = "shows-survivor"
"""Histories from before it do not set the search attribute at a merge."""

Answer = TypeVar("Answer")

_NO_HASTE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5))
_AT_ONCE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(milliseconds=500))
_DELIVERY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))


@dataclass
class Request:
    """An update in the inbox: its handler waits until `done`."""

    event: events.Event
    done: bool = False
    refusal: Refusal | None = None


@workflow.defn(name=CONVERSATION_WORKFLOW)
class Conversation:
    @workflow.init
    def __init__(self, start: ConversationStart) -> None:
        self._inbox: deque[Signal | Request] = deque()
        self._deliveries: dict[str, asyncio.Task[None]] = {}
        self._alarm = Alarm()
        self._received = 0
        self._shown: tuple[str, str | None] | None = None
        self._deadlines: Sequence[NextDeadline] = ()
        self._held_back = False
        if start.carried is None:
            self._state = ConversationState(start.conversation_id, start.customer_id, start.opened_at)
            self._seen: deque[int] = deque(maxlen=SEEN_SIGNALS)
            self._tail: deque[TimelineLine] = deque(maxlen=TAIL_LINES)
            self._unsent: tuple[str, ...] = ()
        else:
            carried = unpack(start.carried)
            self._state = carried.state
            self._inbox.extend(signal_of(written) for written in carried.inbox)
            self._seen = deque(carried.seen, maxlen=SEEN_SIGNALS)
            self._tail = deque(carried.tail, maxlen=TAIL_LINES)
            self._unsent = carried.unsent

    @workflow.run
    async def run(self, start: ConversationStart) -> None:
        for message_id in self._unsent:
            self._deliver(message_id)
        self._look_ahead()
        while True:
            await workflow.wait_condition(
                lambda: bool(self._inbox) or self._has_to_act() or self._is_over() or self._may_go_on_anew()
            )
            if self._may_go_on_anew():
                self._go_on_anew(start)
            if self._has_to_act():
                # What the ledger holds back waits for the merge that it knows of and we don't yet.
                self._held_back = await self._advance(events.DeadlineReached()) is not None
            elif self._inbox:
                await self._take_next()
            elif self._is_over():
                return

    # --- signals: nothing but the inbox

    @workflow.signal(name=SignalName.MESSAGE_RECEIVED, description="A stored message of the customer")
    def message_received(self, signal_id: int, message: messages.MessageReceived) -> None:
        self._receive(signal_id, message)

    @workflow.signal(name=SignalName.MESSAGES_RECEIVED, description="Stored messages of the customer, in their order")
    def messages_received(self, _: int, many: messages.MessagesReceived) -> None:
        for signal_id, message in many.messages:
            self._receive(signal_id, message)

    @workflow.signal(name=SignalName.OFFER_MADE, description="The dispatcher offered the conversation to an agent")
    def offer_made(self, signal_id: int, offer: messages.OfferMade) -> None:
        self._receive(signal_id, offer)

    @workflow.signal(name=SignalName.OFFER_LOST, description="An offer was taken back: its agent went away")
    def offer_lost(self, signal_id: int, lost: messages.OfferLost) -> None:
        self._receive(signal_id, lost)

    @workflow.signal(name=SignalName.AGENT_LEFT, description="The responsible agent went away")
    def agent_left(self, signal_id: int, left: messages.AgentLeft) -> None:
        self._receive(signal_id, left)

    @workflow.signal(name=SignalName.POLICY_CHANGED, description="Policies, calendars or settings changed")
    def policy_changed(self, signal_id: int, changed: messages.PolicyChanged) -> None:
        self._receive(signal_id, changed)

    @workflow.signal(name=SignalName.CUSTOMER_LEFT, description="The customer ended the session")
    def customer_left(self, signal_id: int, left: messages.CustomerLeft) -> None:
        self._receive(signal_id, left)

    @workflow.signal(name=SignalName.ABSORB, description="Another conversation has become part of this one")
    def absorb(self, signal_id: int, absorb: messages.Absorb) -> None:
        self._receive(signal_id, absorb)

    @workflow.signal(name=SignalName.MERGED_AWAY, description="This conversation has become part of another one")
    def merged_away(self, signal_id: int, merged: messages.MergedAway) -> None:
        self._receive(signal_id, merged)

    @workflow.signal(name=SignalName.THREADS_SPLIT, description="Threads have become a conversation of their own")
    def threads_split(self, signal_id: int, split: messages.ThreadsSplit) -> None:
        self._receive(signal_id, split)

    @workflow.signal(name=SignalName.IDENTITY_LINKED, description="The customer was linked to another one")
    def identity_linked(self, signal_id: int, linked: messages.IdentityLinked) -> None:
        self._receive(signal_id, linked)

    @workflow.signal(name=SignalName.SUGGESTION_ANSWERED, description="The customer answered a suggestion by its link")
    def suggestion_answered(self, signal_id: int, answered: messages.SuggestionAnswered) -> None:
        self._receive(signal_id, answered)

    # --- updates: put the request in, wait for what became of it

    @workflow.update(name=UpdateName.ACCEPT_OFFER, description="An agent accepts an offer")
    async def accept_offer(self, asked: messages.AcceptOffer) -> ConversationView:
        return await self._ask(events.OfferAccepted(asked.offer_id, asked.ticket, asked.agent_id, asked.expires_at))

    @workflow.update(name=UpdateName.DECLINE_OFFER, description="An agent declines an offer")
    async def decline_offer(self, asked: messages.DeclineOffer) -> ConversationView:
        return await self._ask(
            events.OfferDeclined(asked.offer_id, asked.agent_id, asked.reason, asked.ticket, asked.expires_at)
        )

    @workflow.update(name=UpdateName.CLAIM, description="An agent takes the conversation from the queue")
    async def claim(self, asked: messages.Claim) -> ConversationView:
        return await self._ask(events.Claimed(asked.agent_id))

    @workflow.update(name=UpdateName.REPLY, description="A stored draft is released: a reply or a note")
    async def reply(self, asked: messages.Reply) -> ConversationView:
        return await self._ask(events.Replied(asked.message_id, asked.agent_id, asked.internal, asked.by_supervisor))

    @workflow.update(name=UpdateName.TRANSFER, description="The agent passes the conversation on")
    async def transfer(self, asked: messages.Transfer) -> ConversationView:
        return await self._ask(
            events.Transferred(
                asked.agent_id,
                asked.warm,
                asked.note,
                asked.to_agent,
                asked.to_pool,
                asked.to_skills,
                asked.by_supervisor,
            )
        )

    @workflow.update(name=UpdateName.HOLD, description="The agent puts the conversation on hold")
    async def hold(self, asked: messages.Hold) -> ConversationView:
        return await self._ask(events.Held(asked.agent_id, asked.by_supervisor, asked.limit))

    @workflow.update(name=UpdateName.RESUME, description="The agent resumes the conversation")
    async def resume(self, asked: messages.Resume) -> ConversationView:
        return await self._ask(events.Resumed(asked.agent_id, asked.by_supervisor))

    @workflow.update(name=UpdateName.RESOLVE, description="The agent resolves the conversation")
    async def resolve(self, asked: messages.Resolve) -> ConversationView:
        return await self._ask(events.Resolved(asked.agent_id, asked.wrap_up_code, asked.note, asked.by_supervisor))

    @workflow.update(name=UpdateName.END_WRAP_UP, description="The agent is done with the wrap-up")
    async def end_wrap_up(self, asked: messages.EndWrapUp) -> ConversationView:
        return await self._ask(events.WrapUpEnded(asked.agent_id, asked.by_supervisor))

    @workflow.update(name=UpdateName.EXTEND_WRAP_UP, description="The agent needs more wrap-up time")
    async def extend_wrap_up(self, asked: messages.ExtendWrapUp) -> ConversationView:
        return await self._ask(events.WrapUpExtended(asked.agent_id, asked.by_supervisor))

    @workflow.update(name=UpdateName.REOPEN, description="The conversation is taken up again")
    async def reopen(self, asked: messages.Reopen) -> ConversationView:
        return await self._ask(events.Reopened(asked.agent_id, asked.by_supervisor))

    @workflow.update(name=UpdateName.REASSIGN, description="A supervisor gives the conversation to somebody else")
    async def reassign(self, asked: messages.Reassign) -> ConversationView:
        return await self._ask(events.Reassigned(asked.supervisor, asked.to_agent, asked.reason))

    @workflow.update(name=UpdateName.ESCALATE, description="Authority or priority is raised")
    async def escalate(self, asked: messages.Escalate) -> ConversationView:
        return await self._ask(events.Escalated(asked.agent_id, asked.reason, asked.to_pool, asked.by_supervisor))

    @workflow.update(name=UpdateName.CLOSE, description="The episode ends for another reason than a resolution")
    async def close(self, asked: messages.Close) -> ConversationView:
        return await self._ask(events.EndedByHand(asked.agent_id, asked.reason, asked.by_supervisor, asked.note_id))

    @workflow.update(name=UpdateName.SUGGEST_CHANNEL, description="An agent suggests another channel to the customer")
    async def suggest_channel(self, asked: messages.SuggestChannel) -> ConversationView:
        return await self._ask(
            events.ChannelSuggested(asked.agent_id, asked.channel, asked.reason, asked.by_supervisor)
        )

    # --- queries

    @workflow.query(name=QueryName.STATE, description="Where the conversation stands")
    def state(self) -> ConversationView:
        turn = waiting_for(self._state)
        return ConversationView(
            conversation_id=self._state.conversation_id,
            state=self._state.phase.value,
            episode=self._state.episode,
            agent_id=self._state.agent_id,
            owner_id=self._state.owner,
            waiting_for=turn.what,
            waiting_until=turn.until,
            step=self._state.step,
        )

    @workflow.query(name=QueryName.WHY_WAITING, description="Whose turn it is, and until when")
    def why_waiting(self) -> str:
        turn = waiting_for(self._state)
        return turn.what + (f" until {turn.until.isoformat()}" if turn.until else "")

    @workflow.query(name=QueryName.TIMELINE_TAIL, description="The last things that happened")
    def timeline_tail(self) -> list[TimelineLine]:
        return list(self._tail)

    # --- the parts of the loop

    def _receive(self, signal_id: int, signal: Signal) -> None:
        """Take a signal once, however often the relay had to send it."""
        self._received += 1
        if signal_id in self._seen:
            return
        self._seen.append(signal_id)
        if isinstance(signal, messages.MessageReceived | messages.CustomerLeft):
            signal = replace(signal, signal_id=signal_id)
        self._inbox.append(signal)

    async def _ask(self, event: events.Event) -> ConversationView:
        self._received += 1
        request = Request(event)
        self._inbox.append(request)
        await workflow.wait_condition(lambda: request.done)
        if request.refusal is not None:
            raise ApplicationError(request.refusal.detail, type=request.refusal.code.value, non_retryable=True)
        return self.state()

    async def _take_next(self) -> None:  # noqa: C901 -- one case a kind
        item = self._inbox.popleft()
        self._held_back = False
        match item:
            case Request():
                await self._answer(item)
            case messages.MessageReceived():
                await self._take_messages(item)
            case messages.OfferMade():
                await self._take_offer(item)
            case messages.OfferLost():
                await self._advance(events.OfferLost(item.offer_id, item.cause))
            case messages.AgentLeft():
                await self._advance(events.AgentLeft(item.agent_id, item.cause))
            case messages.PolicyChanged():
                await self._advance(events.TermsChanged(await self._assess(()), item.cause))
            case messages.CustomerLeft():
                await self._take_leaving(item)
            case messages.Absorb():
                await self._absorb(item)
            case messages.MergedAway():
                self._end_as_merged(item.at, item.survivor_id)
            case messages.ThreadsSplit():
                case = await self._assess(())
                await self._advance(events.ThreadsSplit(item.thread_ids, item.channels, item.unanswered_since, case))
            case messages.IdentityLinked():
                await self._advance(events.IdentityLinked(item.customer_id, await self._assess(()), item.cause))
            case messages.SuggestionAnswered():
                await self._advance(
                    events.SuggestionAnswered(item.suggestion_id, item.accepts, item.at, item.callback_at)
                )

    async def _answer(self, request: Request) -> None:
        event = request.event
        try:
            request.refusal = await self._advance(event)
        except Refusal as refused:
            request.refusal = refused
        else:
            if request.refusal is not None and isinstance(event, events.OfferAccepted | events.OfferDeclined):
                # The ledger had taken the offer back and its signal is not here yet: the wait goes on at once.
                await self._advance(events.OfferLost(event.offer_id, "gone", event.ticket))
        request.done = True

    async def _take_offer(self, offer: messages.OfferMade) -> None:
        event = events.OfferMade(
            offer.offer_id, offer.ticket, offer.agent_id, offer.expires_at, offer.auto_accept, offer.reason
        )
        if await self._advance(event) is not None:
            await self._advance(events.OfferLost(offer.offer_id, "gone", offer.ticket))

    async def _take_leaving(self, left: messages.CustomerLeft) -> None:
        event = events.CustomerLeft(left.thread_id, left.signal_id)
        if await self._advance(event) is not None:
            await self._advance(event)  # the conversation was merged under it: its survivor is to hear of it

    async def _absorb(self, item: messages.Absorb) -> None:
        if self._state.phase.is_final:
            return
        offer, case = self._state.offer, self._state.case
        asked = AssessMerge(
            self._state.conversation_id,
            item.merge_id,
            offer.agent_id if offer else self._state.agent_id,
            case.skills if case else (),
        )
        merged = await _short(ActivityName.ASSESS_MERGE, asked, MergedCase, "assess merge")
        await self._advance(
            events.Absorbed(
                item.merge_id, item.at, merged.case, merged.handover, merged.their_promise, unfit=merged.unfit
            )
        )

    def _end_as_merged(self, at: datetime, survivor_id: str | None = None) -> None:
        """The ledger has written this already, with the merge."""
        self._state = step(self._state, events.MergedAway(at), workflow.now()).state
        if survivor_id is not None and workflow.patched(_SHOWS_SURVIVOR):
            workflow.upsert_search_attributes([search_attributes.MERGED_INTO.value_set(survivor_id)])
        self._look_ahead()

    async def _take_messages(self, first: messages.MessageReceived) -> None:
        """Take a burst of messages at once: one look at the case, a step each, one write."""
        burst = [first]
        while self._inbox and isinstance(self._inbox[0], messages.MessageReceived) and len(burst) < MESSAGES_AT_ONCE:
            following = self._inbox.popleft()
            if isinstance(following, messages.MessageReceived):
                burst.append(following)
        case = await self._assess(tuple(message.message_id for message in burst))
        refused = await self._advance(
            *(
                events.CustomerWrote(
                    message.message_id,
                    message.thread_id,
                    message.kind,
                    message.at,
                    replace(case, channel=message.channel),
                    message.signal_id,
                )
                for message in burst
            )
        )
        if refused is not None:
            # The conversation was merged under it: these are to be passed on.
            self._inbox.extendleft(reversed(burst))

    async def _advance(self, *happened: events.Event) -> Refusal | None:
        """Step through events that belong together and have the ledger write them; tells what the ledger refused."""
        now = workflow.now()
        taken = Step(self._state, ())
        commands: list[Command] = []
        for event in happened:
            taken = step(taken.state, event, now)
            commands.extend(taken.commands)
        if taken.state == self._state:
            return None
        if commands or project(taken.state) != project(self._state):
            outcome = await self._write(taken.state, commands, now)
            if outcome.refused is not None:
                if outcome.refused == RefusalCode.CONVERSATION_ENDED:
                    self._end_as_merged(now)
                return Refusal(RefusalCode(outcome.refused), outcome.detail)
            for message_id in outcome.to_deliver:
                self._deliver(message_id)
        self._state = taken.state
        self._tail.extend(
            TimelineLine(command.at, command.kind, ", ".join(f"{name}: {value}" for name, value in command.facts))
            for command in commands
            if isinstance(command, Happened)
        )
        self._look_ahead()
        return None

    async def _write(self, state: ConversationState, commands: Sequence[Command], now: datetime) -> StepOutcome:
        write = StepWrite(state, tuple(tagged(command) for command in commands), now)
        summary = next((command.kind for command in commands if isinstance(command, Happened)), "write")
        return await _short(ActivityName.WRITE_STEP, write, StepOutcome, summary)

    async def _assess(self, message_ids: tuple[str, ...]) -> Assessment:
        return await _short(
            ActivityName.ASSESS, AssessCase(self._state.conversation_id, message_ids), Assessment, "assess"
        )

    def _deliver(self, message_id: str) -> None:
        self._deliveries[message_id] = asyncio.create_task(self._delivered(message_id))

    async def _delivered(self, message_id: str) -> None:
        try:
            await workflow.execute_activity(
                ActivityName.DELIVER,
                message_id,
                start_to_close_timeout=timedelta(seconds=40),
                schedule_to_close_timeout=timedelta(hours=24),
                retry_policy=_DELIVERY,
                summary=message_id,
            )
        except ActivityError as error:
            workflow.logger.warning("a reply could not be delivered: %s", error.cause)
        del self._deliveries[message_id]

    def _look_ahead(self) -> None:
        """Arm the alarm and show ops where the conversation stands."""
        self._deadlines = deadlines(self._state)
        self._alarm.set(self._deadlines)
        if self._state.case is None:
            return
        workflow.set_current_details(details(self._state))
        shown = (_settled_phase(self._state.phase), self._state.agent_id)
        if self._shown is not None and shown != self._shown and not self._state.phase.is_final:
            workflow.upsert_search_attributes(
                [
                    search_attributes.STATE.value_set(shown[0]),
                    search_attributes.AGENT.value_set(shown[1]) if shown[1] else search_attributes.AGENT.value_unset(),
                    search_attributes.PRIORITY.value_set(self._state.case.priority),
                ]
            )
        self._shown = shown

    def _has_to_act(self) -> bool:
        return Alarm.is_due(self._deadlines) and not self._held_back

    def _is_over(self) -> bool:
        return (
            self._state.phase.is_final and not self._inbox and not self._deliveries and workflow.all_handlers_finished()
        )

    def _may_go_on_anew(self) -> bool:
        long_enough = self._received >= RECEIVED_IN_ONE_RUN or workflow.info().is_continue_as_new_suggested()
        return (
            long_enough
            and not self._state.phase.is_final
            and not any(isinstance(item, Request) for item in self._inbox)
            and workflow.all_handlers_finished()
        )

    def _go_on_anew(self, start: ConversationStart) -> NoReturn:
        """Carry everything over; a delivery under way is asked for again, and the ledger knows whether it was sent."""
        waiting = tuple(item for item in self._inbox if not isinstance(item, Request))
        carried = pack(self._state, waiting, tuple(self._seen), tuple(self._deliveries), tuple(self._tail))
        workflow.continue_as_new(replace(start, carried=carried))


def _settled_phase(phase: Phase) -> str:
    """What ops can search by: every change of it costs an event, so passing phases count as what they belong to."""
    if phase.is_waiting:
        return Phase.QUEUED.value
    return Phase.ASSIGNED.value if phase.is_in_work else Phase.RESOLVED.value


async def _short(name: ActivityName, argument: object, answer: type[Answer], summary: str) -> Answer:
    """Ask the ledger in a local activity; when it is away, in a regular one that waits for it without a held task."""
    try:
        written: Answer = await workflow.execute_local_activity(
            name,
            argument,
            result_type=answer,
            start_to_close_timeout=timedelta(seconds=2),
            schedule_to_close_timeout=timedelta(seconds=4),
            retry_policy=_AT_ONCE,
            summary=summary,
        )
    except ActivityError:
        written = await workflow.execute_activity(
            name,
            argument,
            result_type=answer,
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=_NO_HASTE,
            summary=summary,
        )
    return written
