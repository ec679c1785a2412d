"""A conversation leads its customer: when it suggests, what counts as an answer, what an accept does."""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from domain.channels import Channel, MessageKind
from domain.conversation.commands import EndAssignment, Handover, Happened, StartAssignment
from domain.conversation.deadlines import Due, deadlines
from domain.conversation.events import (
    ChannelSuggested,
    Claimed,
    CustomerLeft,
    CustomerWrote,
    SuggestionAnswered,
    TermsChanged,
)
from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.conversation.journey_commands import AskSurvey, EndSuggestion, JudgeSuggestion, OfferSwitch, OpenThread
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import Phase
from domain.conversation.terms import Assessment
from domain.sla.calendar import Calendar
from domain.sla.policy import Metric
from domain.suggestions.advice import Reachable
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import Cause, SuggestionRule
from tests.unit.conversation_builders import CASE, HOUR, MINUTE, SECOND, START, Conversation, reply, resolve

OFFICE = Calendar("UTC", (((time(9), time(17)),),) * 7)
WAYS = (
    Reachable(Channel.VIDEO, 100, 20 * SECOND, auto_accept=False),
    Reachable(Channel.VOICE, 100, 20 * SECOND, auto_accept=False, hours=(OFFICE,)),
    Reachable(Channel.EMAIL, 15, 5 * MINUTE, auto_accept=True),
)
SCREEN = SuggestionRule(Cause.SCREEN_SHARING, (Channel.VIDEO,), intents=("billing",))
WAIT = SuggestionRule(Cause.LONG_WAIT, (Channel.VOICE, Channel.EMAIL), after=2 * MINUTE)
RISK = SuggestionRule(Cause.SLA_AT_RISK, (Channel.EMAIL,))
MOOD = SuggestionRule(Cause.SENTIMENT_FALLS, (Channel.VOICE,), drop=0.6)
SURVEY = SurveyTerms(10 * MINUTE, timedelta(days=30), timedelta(days=7))


def led(*rules: SuggestionRule, most: int = 2, survey: SurveyTerms | None = None) -> Assessment:
    terms = SuggestionTerms(rules, WAYS, 0.2, HOUR, most, 15 * MINUTE)
    return replace(CASE, journey=JourneyTerms(terms, survey))


def says(conversation: Conversation, word: AnswerWord, kind: MessageKind = MessageKind.MESSAGE) -> CustomerWrote:
    """A message that consists of one word, as the assessment has read it."""
    wrote = conversation.wrote(kind)
    assert wrote.case.journey is not None
    return replace(
        wrote, case=replace(wrote.case, journey=replace(wrote.case.journey, words=((wrote.message_id, word),)))
    )


def facts(conversation: Conversation, kind: str) -> dict[str, object]:
    return next(dict(line.facts) for line in conversation.ordered(Happened) if line.kind == kind)


def test_screen_sharing_is_suggested_once_somebody_is_there_and_never_twice() -> None:
    talk = Conversation(replace(led(SCREEN), promise=None)).offered()
    assert talk.ordered(OfferSwitch) == []
    talk.happens(talk.accept("ann"))
    (offered,) = talk.ordered(OfferSwitch)
    assert (offered.channel, offered.cause) == (Channel.VIDEO, Cause.SCREEN_SHARING)
    talk.passes(HOUR)
    assert "suggestion_ignored" in talk.timeline()
    talk.happens(talk.wrote())
    talk.happens(reply("rep_1", "ann"))
    assert talk.state.journey.offered is None
    assert talk.refuses(ChannelSuggested("ann", Channel.VIDEO, "", by_supervisor=False)) is RefusalCode.CANNOT_SUGGEST


@pytest.mark.parametrize("word", [AnswerWord.VIDEO, AnswerWord.YES])
def test_one_word_opens_the_video_thread_for_the_same_agent(word: AnswerWord) -> None:
    talk = Conversation(led(SCREEN)).assigned()
    talk.now += MINUTE
    talk.happens(says(talk, word))
    (opened,) = talk.ordered(OpenThread)
    assert (opened.channel, talk.state.agent_id, talk.state.phase) == (Channel.VIDEO, "ann", Phase.ASSIGNED)
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "channel_changed")]
    assert talk.ordered(StartAssignment) == [StartAssignment("asg_1_2", "ann", None, Handover.SWITCH)]
    assert talk.state.assignment is not None
    assert (talk.state.assignment.offer_id, talk.state.tallies.transfers) == ("off_1", 0)
    assert talk.state.channels == ("web_chat", "video")
    assert opened.thread_id in talk.state.threads
    talk.happens(resolve("ann"))
    assert talk.ordered(JudgeSuggestion) == [JudgeSuggestion(opened.suggestion_id, resolved_there=True)]


def test_a_plain_yes_counts_only_as_the_next_thing_said() -> None:
    talk = Conversation(led(SCREEN)).assigned()
    talk.happens(reply("rep_1", "ann"))
    talk.now += MINUTE
    talk.happens(says(talk, AnswerWord.YES))
    assert talk.ordered(EndSuggestion) == []
    assert talk.state.journey.offered is not None
    assert talk.state.unanswered_since == talk.now


def test_the_word_of_another_channel_answers_nothing() -> None:
    talk = Conversation(led(SCREEN)).assigned()
    talk.now += MINUTE
    talk.happens(says(talk, AnswerWord.EMAIL))
    assert talk.state.journey.offered is not None


def test_a_no_restarts_no_clock_and_nothing_else_is_suggested_with_it() -> None:
    talk = Conversation(led(SCREEN, MOOD)).pending()
    assert talk.state.journey.offered is not None
    fresh = Conversation(led(SCREEN, MOOD)).assigned()
    fresh.now += MINUTE
    before = fresh.state.clocks
    fresh.happens(says(fresh, AnswerWord.NO, MessageKind.CLOSING_THANKS))
    assert fresh.timeline() == ["suggestion_declined"]
    assert fresh.state.clocks == before
    assert fresh.state.journey.offered is None


def test_a_long_wait_offers_a_call_and_the_accept_ends_the_wait_until_its_time() -> None:
    talk = Conversation(led(WAIT)).queued()
    assert next(one for one in deadlines(talk.state) if one.due is Due.LONG_WAIT).at == START + 2 * MINUTE
    talk.passes(2 * MINUTE)
    assert facts(talk, "suggestion_offered")["channel"] == "voice"
    talk.now += MINUTE
    talk.happens(says(talk, AnswerWord.VOICE))
    assert (talk.state.phase, talk.state.waiting) == (Phase.PENDING_CUSTOMER, None)
    callback = talk.state.journey.callback
    assert callback is not None
    assert callback.at == talk.now + 15 * MINUTE
    assert talk.happens(CustomerLeft("thr_1")) != ()
    assert talk.state.end_reason is None
    talk.passes(15 * MINUTE)
    ticket = talk.ticket()
    assert ticket.waiting.queued_at == callback.at
    assert talk.state.case is not None
    assert (talk.state.case.channel, talk.state.case.rules.units) == ("voice", 100)
    assert talk.has_clock(Metric.FIRST_RESPONSE)


def test_a_call_in_the_evening_is_made_when_both_calendars_open() -> None:
    talk = Conversation(led(WAIT), now=datetime(2026, 3, 2, 16, 50, tzinfo=START.tzinfo)).queued()
    talk.passes(2 * MINUTE)
    talk.now += MINUTE
    talk.happens(says(talk, AnswerWord.VOICE))
    assert talk.state.journey.callback is not None
    assert talk.state.journey.callback.at == datetime(2026, 3, 3, 9, tzinfo=START.tzinfo)


def test_at_night_the_mail_is_suggested_instead_of_the_call() -> None:
    talk = Conversation(led(WAIT), now=datetime(2026, 3, 2, 22, tzinfo=START.tzinfo)).queued()
    talk.passes(2 * MINUTE)
    assert facts(talk, "suggestion_offered")["channel"] == "email"
    talk.now += MINUTE
    talk.happens(says(talk, AnswerWord.YES))
    assert (talk.state.phase, talk.ordered(OpenThread)[0].channel) == (Phase.QUEUED, Channel.EMAIL)
    assert talk.ticket().waiting.queued_at == START.replace(hour=22)
    talk.happens(CustomerLeft("thr_1"))
    assert talk.state.phase is Phase.QUEUED


def test_a_long_wait_is_looked_at_once_in_an_episode() -> None:
    talk = Conversation(led(replace(WAIT, channels=()))).queued()
    talk.passes(2 * MINUTE)
    assert talk.ordered(OfferSwitch) == []
    assert all(one.due is not Due.LONG_WAIT for one in deadlines(talk.state))


def test_a_clock_at_risk_suggests_the_faster_channel() -> None:
    talk = Conversation(led(RISK)).queued()
    talk.passes(5 * MINUTE)
    assert talk.timeline() == ["sla_warning"]
    talk.passes(3 * MINUTE)
    assert talk.timeline() == ["urgency_raised"]
    talk.passes(1 * MINUTE)
    assert talk.timeline() == ["suggestion_due", "suggestion_offered"]
    assert facts(talk, "suggestion_offered")["reason"] == "sla_at_risk"


def test_a_falling_mood_suggests_a_call() -> None:
    happy, angry = replace(led(MOOD), sentiment=0.4), replace(led(MOOD), sentiment=-0.7)
    talk = Conversation(happy).assigned()
    talk.happens(talk.wrote(case=replace(led(MOOD), sentiment=0.1)))
    assert talk.ordered(OfferSwitch) == []
    talk.happens(talk.wrote(case=angry))
    assert facts(talk, "suggestion_offered") == {
        "suggestion_id": "sug_1_1",
        "channel": "voice",
        "reason": "sentiment_falls",
        "message_id": "msg_s_1_1",
    }


def test_rules_suggest_no_more_than_the_most_of_an_episode() -> None:
    talk = Conversation(led(SCREEN, RISK, most=1)).assigned()
    talk.passes(HOUR)
    assert talk.state.journey.asked == ("video",)


def test_an_agent_may_suggest_what_no_rule_does() -> None:
    talk = Conversation(led()).assigned()
    asked = ChannelSuggested("ann", Channel.VIDEO, "let us look together", by_supervisor=False)
    assert talk.refuses(replace(asked, agent_id="ben")) is RefusalCode.NOT_YOURS
    talk.happens(asked)
    (offered,) = talk.ordered(OfferSwitch)
    assert (offered.by_agent, offered.cause) == ("ann", Cause.AGENT)
    assert talk.refuses(replace(asked, channel=Channel.EMAIL)) is RefusalCode.CANNOT_SUGGEST


def test_the_link_answers_like_the_word_and_only_once() -> None:
    talk = Conversation(led(WAIT)).queued()
    talk.passes(2 * MINUTE)
    wished = talk.now + 3 * HOUR
    talk.happens(SuggestionAnswered("sug_1_1", accepts=True, at=talk.now, callback_at=wished))
    assert talk.state.journey.callback is not None
    assert talk.state.journey.callback.at == wished
    before = talk.state
    talk.happens(SuggestionAnswered("sug_1_1", accepts=False, at=talk.now))
    talk.happens(SuggestionAnswered("sug_9_9", accepts=True, at=talk.now))
    assert talk.state == before


def test_a_promised_call_that_is_no_longer_needed_is_cancelled() -> None:
    talk = Conversation(led(WAIT)).queued()
    talk.passes(2 * MINUTE)
    talk.happens(SuggestionAnswered("sug_1_1", accepts=True, at=talk.now))
    talk.happens(resolve("sue", by_supervisor=True))
    assert "callback_cancelled" in talk.timeline()
    assert talk.ordered(JudgeSuggestion) == [JudgeSuggestion("sug_1_1", resolved_there=False)]
    assert all(one.due is not Due.CALLBACK for one in deadlines(talk.state))


def test_the_survey_is_asked_once_after_the_end_and_not_of_who_came_back_first() -> None:
    talk = Conversation(led(survey=SURVEY)).in_wrap_up()
    assert all(one.due is not Due.SURVEY for one in deadlines(talk.state))
    talk.passes(5 * MINUTE)
    talk.passes(5 * MINUTE)
    (asked,) = talk.ordered(AskSurvey)
    assert (asked.survey_id, asked.period) == ("srv_1_1", timedelta(days=30))
    back = Conversation(led(survey=SURVEY)).resolved()
    back.happens(back.wrote())
    back.passes(6 * MINUTE)
    assert back.ordered(AskSurvey) == []


def test_a_survey_is_asked_before_a_short_window_closes_and_never_of_the_abandoned() -> None:
    quick = replace(led(survey=SURVEY), rules=replace(CASE.rules, reopen_window=MINUTE))
    talk = Conversation(quick).in_wrap_up()
    talk.passes(5 * MINUTE)
    assert (len(talk.ordered(AskSurvey)), talk.state.phase) == (1, Phase.CLOSED)
    left = Conversation(led(survey=SURVEY)).queued()
    left.happens(CustomerLeft("thr_1"))
    assert all(one.due is not Due.SURVEY for one in deadlines(left.state))


def test_without_terms_nothing_is_suggested() -> None:
    talk = Conversation(led(SCREEN)).offered()
    talk.happens(TermsChanged(CASE, "suggestions switched off"))
    talk.happens(talk.accept("ann"))
    assert talk.ordered(OfferSwitch) == []
    asked = ChannelSuggested("ann", Channel.VIDEO, "", by_supervisor=False)
    assert talk.refuses(asked) is RefusalCode.CANNOT_SUGGEST


def test_an_offer_of_before_that_is_told_again_suggests_nothing() -> None:
    talk = Conversation(led(SCREEN, RISK)).queued()
    told = talk.offer_to("ann")
    talk.happens(told)
    for _ in range(9):
        talk.passes(MINUTE)
    assert [one.cause for one in talk.ordered(OfferSwitch)] == [Cause.SLA_AT_RISK]
    talk.happens(Claimed("ben"))
    offered = talk.state.journey.offered
    assert offered is not None
    talk.happens(SuggestionAnswered(offered.suggestion_id, accepts=False, at=talk.now))
    talk.happens(told)
    assert talk.ordered(OfferSwitch) == []
    talk.happens(reply("msg_reply", "ben"))
    assert [one.cause for one in talk.ordered(OfferSwitch)] == [Cause.SCREEN_SHARING]
