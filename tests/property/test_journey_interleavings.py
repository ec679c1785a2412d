"""Whatever happens in whatever order while a customer is led and asked: the promises of before hold, and the new ones.

The machine of all interleavings, with cases under which something may be suggested, and customers who answer.
"""

from dataclasses import replace
from datetime import datetime, time, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from domain.channels import Channel, MessageKind
from domain.conversation.events import (
    ChannelSuggested,
    CustomerWrote,
    DeadlineReached,
    Event,
    SuggestionAnswered,
    TermsChanged,
)
from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.conversation.state import ConversationState, Phase
from domain.conversation.terms import Assessment
from domain.sla.calendar import Calendar
from domain.suggestions.advice import Reachable
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import Cause, SuggestionRule
from tests.property.test_conversation_interleavings import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    ConversationMachine,
    cases,
    is_open,
    kinds,
    seldom,
    spans,
    threads,
    whos,
)

OFFICE = Calendar("Europe/Berlin", (((time(9), time(17)),),) * 5 + ((), ()))
WAYS = (
    Reachable(Channel.VIDEO, 34, 30 * SECOND, auto_accept=False),
    Reachable(Channel.VOICE, 34, 30 * SECOND, auto_accept=False, hours=(OFFICE,)),
    Reachable(Channel.EMAIL, 34, 30 * SECOND, auto_accept=False),
)
RULES = (
    SuggestionRule(Cause.SCREEN_SHARING, (Channel.VIDEO,), intents=("billing",)),
    SuggestionRule(Cause.LONG_WAIT, (Channel.VOICE, Channel.EMAIL), after=MINUTE),
    SuggestionRule(Cause.SLA_AT_RISK, (Channel.EMAIL, Channel.VOICE)),
)
TERMS = JourneyTerms(
    SuggestionTerms(RULES, WAYS, 0.2, 20 * MINUTE, 3, 10 * MINUTE),
    SurveyTerms(MINUTE, timedelta(days=30), timedelta(days=7)),
)
words = st.sampled_from((None, None, *AnswerWord))


class JourneyMachine(ConversationMachine):
    def happens(self, event: Event) -> bool:
        if isinstance(event, CustomerWrote | TermsChanged) and event.case.journey is None:
            event = replace(event, case=replace(event.case, journey=TERMS))
        return super().happens(event)

    def judge_age(self, before: ConversationState, event: Event, after: ConversationState) -> None:
        """A promised call begins a wait of its own, and so does whoever accepts a meeting while nobody has them."""
        if not isinstance(event, DeadlineReached | SuggestionAnswered):
            super().judge_age(before, event, after)
        elif after.episode == before.episode:
            assert after.queued_at == before.queued_at

    @rule(kind=kinds, late=spans, thread=threads, case=cases, word=words)
    def customer_writes(
        self, kind: MessageKind, late: timedelta, thread: str, case: Assessment, word: AnswerWord | None = None
    ) -> None:
        self.count += 1
        message_id = f"msg_{self.count}"
        before = self.state
        if not kind.wants_an_answer and before.case is not None:
            case = before.case
        said = () if word is None else ((message_id, word),)
        case = replace(case, journey=replace(TERMS, words=said))
        self.happens(CustomerWrote(message_id, thread, kind, max(self.now - late, START), case))
        assert (message_id in self.ledger.tables.passed_on) == before.phase.is_final
        if before.journey.offered is None or word is None:
            return
        if self.state.journey.accepted is not None:
            assert self.state.channels[-1] == self.state.journey.accepted.channel or self.state.journey.callback

    @precondition(lambda self: self.state.journey.offered is not None)
    @rule(accepts=st.booleans(), wishes=st.booleans())
    def customer_answers_by_the_link(self, accepts: bool, wishes: bool) -> None:
        offered = self.state.journey.offered
        assert offered is not None
        wished_at = self.now + 5 * HOUR if wishes else None
        assert self.happens(SuggestionAnswered(offered.suggestion_id, accepts, self.now, wished_at))
        assert self.state.journey.offered is None

    @precondition(is_open)
    @rule(channel=st.sampled_from((Channel.VIDEO, Channel.VOICE, Channel.EMAIL)), who=whos, by_supervisor=seldom)
    def agent_suggests(self, channel: Channel, who: str | None, by_supervisor: bool) -> None:
        before = self.state
        if self.happens(ChannelSuggested(self.person(who), channel, "", by_supervisor)):
            assert channel.value not in before.journey.asked
            assert self.state.journey.offered is not None

    @invariant()
    def the_journey_is_sound(self) -> None:
        journey, tables = self.state.journey, self.ledger.tables
        is_offered = [identity for identity, state in tables.suggestions.items() if state == "offered"]
        assert is_offered == ([journey.offered.suggestion_id] if journey.offered else [])
        unjudged = [
            identity
            for identity, state in tables.suggestions.items()
            if state == "accepted" and identity not in tables.judged
        ]
        assert unjudged == ([journey.accepted.suggestion_id] if journey.accepted else [])
        if self.state.phase in {Phase.WRAP_UP, Phase.RESOLVED, Phase.CLOSED}:
            assert (journey.offered, journey.accepted, journey.callback) == (None, None, None)
        if journey.callback is not None:
            assert journey.accepted is not None
            assert journey.accepted.channel is Channel.VOICE
            assert isinstance(journey.callback.at, datetime)


TestJourney = JourneyMachine.TestCase
TestJourney.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
