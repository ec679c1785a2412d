"""Leading a customer to a better channel: suggestions made, answered, ignored, and judged at the episode's end."""

from dataclasses import replace
from datetime import datetime

from domain.channels import Channel
from domain.conversation.draft import Draft
from domain.conversation.events import ChannelSuggested, CustomerWrote
from domain.conversation.journey import Callback, JourneyState, Suggestion, SuggestionTerms, Switch
from domain.conversation.journey_commands import EndSuggestion, JudgeSuggestion, OfferSwitch, OpenThread, SuggestionEnd
from domain.conversation.offering import follow_channel
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState, EndReason, Phase
from domain.sla.calendar import NeverOpenError, next_opening
from domain.sla.policy import Metric
from domain.suggestions.advice import Reachable, Situation, advise, may_suggest
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import WRITTEN_CHANNELS, Cause

_MOST_OPENINGS = 60
"""Steps from one opening to the next until all calendars of a call are open together."""


def consider(draft: Draft, before: ConversationState) -> None:
    """At the end of a step, make the suggestion that the rules give now; at most one is open at a time.

    Nothing is suggested in the step that answers a suggestion, nor by a step that changed nothing here: an offer of
    before that is told again is only ended again.
    """
    if draft.state == before:
        return
    if _terms(draft) is None or before.journey.offered is not None:
        return
    journey = _of_episode(draft)
    mood = draft.case.sentiment
    if mood is not None and (journey.best_sentiment is None or mood > journey.best_sentiment):
        journey = replace(journey, best_sentiment=mood)
    draft.state = replace(draft.state, journey=journey)
    causes = frozenset(Cause) - {Cause.LONG_WAIT, Cause.SLA_AT_RISK}
    _suggest(draft, causes)


def suggest_for(draft: Draft, cause: Cause) -> bool:
    """Suggest a channel for one cause, if a rule of it has one to give; whether it did."""
    return _suggest(draft, frozenset({cause}))


def channel_suggested(draft: Draft, event: ChannelSuggested) -> None:
    """An agent's suggestion: no rule needs to agree, but preference, hours and "not twice" hold."""
    draft.demand_open()
    state = draft.state
    responsible = event.by_supervisor or state.agent_id == event.agent_id
    if not responsible and not (state.assignment is None and state.phase.is_in_work and state.owner == event.agent_id):
        raise Refusal(RefusalCode.NOT_YOURS, "you are not responsible for this conversation")
    if not (state.phase.is_waiting or state.phase.is_in_work):
        raise Refusal(RefusalCode.WRONG_STATE, f"the conversation is {state.phase.value}")
    terms = _terms(draft)
    one = terms.on(event.channel) if terms else None
    if one is None or draft.case.channel not in WRITTEN_CHANNELS:
        raise Refusal(
            RefusalCode.CANNOT_SUGGEST,
            f"this customer cannot be led to {event.channel}: it is not set up, not known, or not what they prefer",
        )
    if state.journey.offered is not None or state.journey.accepted is not None:
        raise Refusal(RefusalCode.CANNOT_SUGGEST, "another suggestion is under way")
    if not may_suggest(one, _situation(draft)):
        raise Refusal(
            RefusalCode.CANNOT_SUGGEST, f"{event.channel} is closed now, in use, or has been suggested before"
        )
    _offer(draft, one, Cause.AGENT, by_agent=event.agent_id, reason=event.reason or None)


def long_wait_at(state: ConversationState) -> datetime | None:
    """Return when a wait in the queue becomes long, if that is still to be looked at."""
    terms = state.case.journey.suggestions if state.case and state.case.journey else None
    if terms is None or state.waiting is None or not state.phase.is_waiting or not terms.reachable:
        return None
    looked_at = state.journey.wait_looked_at and state.journey.episode == state.episode
    rule = next((rule for rule in terms.rules if rule.cause is Cause.LONG_WAIT), None)
    return None if rule is None or looked_at else state.waiting.queued_at + rule.after


def long_wait(draft: Draft) -> None:
    """Once in an episode."""
    draft.state = replace(draft.state, journey=replace(_of_episode(draft), wait_looked_at=True))
    suggest_for(draft, Cause.LONG_WAIT)


def suggestion_expired(draft: Draft) -> None:
    _end_open(draft, SuggestionEnd.IGNORED, None)


def answer_in(draft: Draft, event: CustomerWrote) -> AnswerWord | None:
    """Return YES or NO when a message is nothing but the answer to the open suggestion.

    A channel's word accepts as long as the suggestion is open. A plain yes or no must be the next thing said after it:
    otherwise it may answer what an agent has asked meanwhile.
    """
    offered, terms = draft.state.journey.offered, event.case.journey
    word = terms.word_of(event.message_id) if terms else None
    if offered is None or word is None or not offered.offered_at < event.at <= offered.expires_at:
        return None
    if word.channel is not None:
        return AnswerWord.YES if word.channel is offered.channel else None
    tallies = draft.state.tallies
    is_next = (tallies.inbound, tallies.outbound) == (offered.inbound, offered.outbound)
    return word if is_next else None


def declined(draft: Draft, via: str) -> None:
    _end_open(draft, SuggestionEnd.DECLINED, via)


def accepted(draft: Draft, via: str, wished_at: datetime | None = None) -> bool:
    """Carry the accept out; whether the customer now waits for somebody on the new channel.

    A meeting needs its agent at once. Mail goes on without haste. A call is promised for its time: until then nobody
    waits in a queue, and the clock of the next response ends, for the customer has chosen when.
    """
    offered = draft.state.journey.offered
    if offered is None:
        return False
    journey = replace(
        draft.state.journey, offered=None, accepted=Switch(offered.suggestion_id, offered.channel), callback=None
    )
    draft.state = replace(draft.state, journey=journey)
    message_id = f"{_message_id(offered.suggestion_id)}a"
    callback_at = None
    if offered.channel is Channel.VOICE:
        callback_at = _callback_at(draft, wished_at)
        callback = Callback(offered.suggestion_id, callback_at)
        draft.state = replace(draft.state, journey=replace(journey, callback=callback))
    else:
        _open_thread(draft, offered.suggestion_id, offered.channel)
    draft.order(
        EndSuggestion(offered.suggestion_id, SuggestionEnd.ACCEPTED, offered.channel, via, message_id, callback_at)
    )
    draft.happened(
        "suggestion_accepted",
        agent=draft.state.agent_id,
        suggestion_id=offered.suggestion_id,
        channel=offered.channel.value,
        via=via,
        message_id=message_id,
        callback_at=callback_at.isoformat() if callback_at else None,
    )
    if callback_at is not None and draft.state.phase.is_waiting:
        draft.leave_queue()
        draft.cancel_clock(Metric.NEXT_RESPONSE)
        draft.state = replace(draft.state, unanswered_since=None)
        draft.go_to(Phase.PENDING_CUSTOMER)
    return offered.channel is Channel.VIDEO


def callback_comes(draft: Draft) -> datetime | None:
    """Make the promised call a thread; returns the instant it was promised for."""
    callback = draft.state.journey.callback
    if callback is None:
        return None
    draft.state = replace(draft.state, journey=replace(draft.state.journey, callback=None))
    thread_id = _open_thread(draft, callback.suggestion_id, Channel.VOICE)
    draft.happened(
        "callback_due", agent=draft.state.agent_id, suggestion_id=callback.suggestion_id, thread_id=thread_id
    )
    return callback.at


def journey_ended(draft: Draft, reason: EndReason) -> None:
    """Close what is open at the end of an episode, and say whether the accepted channel was where it was resolved.

    It was, when the episode was resolved and no other channel came after the accepted one.
    """
    _end_open(draft, SuggestionEnd.IGNORED, None)
    switch = draft.state.journey.accepted
    if switch is None:
        return
    if draft.state.journey.callback is not None:
        draft.happened("callback_cancelled", suggestion_id=switch.suggestion_id)
    last = draft.state.episode_channels[-1:] == (switch.channel.value,)
    resolved_there = reason is EndReason.RESOLVED and last
    draft.order(JudgeSuggestion(switch.suggestion_id, resolved_there))
    draft.happened(
        "suggestion_judged",
        suggestion_id=switch.suggestion_id,
        channel=switch.channel.value,
        outcome="resolved_there" if resolved_there else "not_resolved_there",
    )
    draft.state = replace(draft.state, journey=replace(draft.state.journey, accepted=None, callback=None))


def _suggest(draft: Draft, causes: frozenset[Cause]) -> bool:
    terms, state = _terms(draft), draft.state
    if terms is None or not terms.reachable or not (state.phase.is_waiting or state.phase.is_in_work):
        return False
    journey = _of_episode(draft)
    if journey.offered or journey.accepted or journey.by_rule >= terms.most_per_episode:
        return False
    if draft.case.channel not in WRITTEN_CHANNELS:
        return False
    found = advise(terms.rules, terms.reachable, _situation(draft, causes), terms.least_success, causes)
    one = terms.on(found.channel) if found else None
    if found is None or one is None:
        return False
    draft.state = replace(draft.state, journey=replace(journey, by_rule=journey.by_rule + 1))
    _offer(draft, one, found.cause)
    return True


def _offer(
    draft: Draft, one: Reachable, cause: Cause, *, by_agent: str | None = None, reason: str | None = None
) -> None:
    state, terms = draft.state, _terms(draft)
    if terms is None:
        return
    number = len(state.journey.asked) + 1
    suggestion_id = f"sug_{state.conversation_id.removeprefix('con_')}_{number}"
    message_id = _message_id(suggestion_id)
    expires_at = draft.now + terms.lasts
    suggestion = Suggestion(
        suggestion_id, one.channel, cause, draft.now, expires_at, state.tallies.inbound, state.tallies.outbound
    )
    asked = (*state.journey.asked, one.channel.value)
    draft.state = replace(state, journey=replace(state.journey, offered=suggestion, asked=asked))
    draft.order(OfferSwitch(suggestion_id, message_id, one.channel, cause, expires_at, by_agent, reason))
    draft.happened(
        "suggestion_offered",
        agent=by_agent,
        suggestion_id=suggestion_id,
        channel=one.channel.value,
        reason=cause.value,
        message_id=message_id,
    )


def _end_open(draft: Draft, end: SuggestionEnd, via: str | None) -> None:
    offered = draft.state.journey.offered
    if offered is None:
        return
    draft.state = replace(draft.state, journey=replace(draft.state.journey, offered=None))
    draft.order(EndSuggestion(offered.suggestion_id, end, offered.channel, via))
    draft.happened(
        f"suggestion_{end.value}", suggestion_id=offered.suggestion_id, channel=offered.channel.value, via=via
    )


def _open_thread(draft: Draft, suggestion_id: str, channel: Channel) -> str:
    """The channel joins: the queue asks for it from now on, and whoever has the conversation holds what it costs."""
    state, case, terms = draft.state, draft.case, _terms(draft)
    thread_id = suggestion_id.replace("sug_", "thr_", 1)
    one = terms.on(channel) if terms else None
    rules = case.rules
    if one is not None:
        rules = replace(rules, units=one.units, offer_timeout=one.offer_timeout, auto_accept=one.auto_accept)
    draft.state = replace(
        state,
        case=replace(case, channel=channel.value, rules=rules),
        threads=(*state.threads, thread_id),
        channels=_with(state.channels, channel.value),
        episode_channels=_with(state.episode_channels, channel.value),
    )
    draft.order(OpenThread(suggestion_id, thread_id, channel))
    if rules.units > case.rules.units:
        follow_channel(draft)
    return thread_id


def _callback_at(draft: Draft, wished_at: datetime | None) -> datetime:
    """The first instant, from the wished one on, at which everybody's calendars are open."""
    terms = _terms(draft)
    if terms is None:
        return max(wished_at or draft.now, draft.now)
    one = terms.on(Channel.VOICE)
    at = max(wished_at or draft.now + terms.callback_after, draft.now)
    calendars = one.hours if one else ()
    try:
        for _ in range(_MOST_OPENINGS):
            opens = max((next_opening(calendar, at) for calendar in calendars), default=at)
            if opens <= at:
                break
            at = opens
    except NeverOpenError:
        return at
    return at


def _situation(draft: Draft, causes: frozenset[Cause] = frozenset()) -> Situation:
    state = draft.state
    journey = _of_episode(draft)
    mood, best, terms = draft.case.sentiment, journey.best_sentiment, _terms(draft)
    waits_since = state.waiting.queued_at if state.waiting and state.phase.is_waiting else None
    return Situation(
        at=draft.now,
        intent=draft.case.intent,
        is_held=state.assignment is not None,
        turns=min(state.tallies.inbound, state.tallies.outbound),
        waited=None if waits_since is None else draft.now - waits_since,
        fallen=best - mood if best is not None and mood is not None else 0.0,
        sla_at_risk=Cause.SLA_AT_RISK in causes,
        stay_success=terms.stay_success if terms else None,
        used=state.episode_channels,
        asked=state.journey.asked,
    )


def _of_episode(draft: Draft) -> JourneyState:
    """What is remembered, with the counts of another episode forgotten."""
    journey = draft.state.journey
    if journey.episode == draft.state.episode:
        return journey
    return replace(journey, episode=draft.state.episode, by_rule=0, wait_looked_at=False, best_sentiment=None)


def _terms(draft: Draft) -> SuggestionTerms | None:
    case = draft.state.case
    return case.journey.suggestions if case and case.journey else None


def _message_id(suggestion_id: str) -> str:
    return suggestion_id.replace("sug_", "msg_s_", 1)


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)
