"""What the customer does: writes, writes again, comes back, leaves."""

from dataclasses import replace
from datetime import datetime

from domain.conversation import suggesting
from domain.conversation.commands import PassOn, PassOnLeaving, RecordResolution
from domain.conversation.draft import Draft
from domain.conversation.events import CustomerLeft, CustomerWrote, SuggestionAnswered, TermsChanged
from domain.conversation.state import EndReason, Phase, Tallies
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.calendar import open_time_between
from domain.sla.policy import Metric
from domain.suggestions.answers import AnswerWord


def customer_wrote(draft: Draft, event: CustomerWrote) -> None:
    """Auto-replies, bounces and closing thanks are counted and change nothing else."""
    if draft.state.phase.is_final:
        if draft.state.case is None:
            draft.state = replace(draft.state, case=event.case)
        draft.order(PassOn(event.message_id, event.signal_id))
        return
    draft.state = replace(draft.state, heard=max(draft.state.heard, event.signal_id))
    if event.thread_id not in draft.state.threads:
        draft.state = replace(draft.state, threads=(*draft.state.threads, event.thread_id))
    draft.state = replace(draft.state, channels=_with(draft.state.channels, event.case.channel))
    answer = suggesting.answer_in(draft, event)
    if answer is not None:
        _answered(draft, event, answer)
        return
    if event.kind.wants_an_answer or draft.state.case is None:
        understand(draft, event.case)
    if not event.kind.wants_an_answer:
        _count_inbound(draft, event.case.channel)
        return
    if draft.state.phase in {Phase.WRAP_UP, Phase.RESOLVED}:
        begin_episode(draft, event.at, by="customer")
    _count_inbound(draft, event.case.channel)
    _wait_for_somebody(draft, event.at)


def _answered(draft: Draft, event: CustomerWrote, answer: AnswerWord) -> None:
    """The message says nothing but yes or no to the open suggestion: it restarts no clock and is not understood."""
    _count_inbound(draft, event.case.channel)
    if answer is AnswerWord.NO:
        suggesting.declined(draft, "word")
    elif suggesting.accepted(draft, "word"):
        _wait_for_somebody(draft, event.at)


def suggestion_answered(draft: Draft, event: SuggestionAnswered) -> None:
    """By the link. What is answered already, or over, stays as it is."""
    offered = draft.state.journey.offered
    if offered is None or offered.suggestion_id != event.suggestion_id:
        return
    if not event.accepts:
        suggesting.declined(draft, "link")
    elif suggesting.accepted(draft, "link", event.callback_at):
        _wait_for_somebody(draft, event.at)


def callback_due(draft: Draft) -> None:
    """The promised call becomes a thread: of whoever has the conversation, or of the queue, the owner first."""
    promised_at = suggesting.callback_comes(draft)
    if promised_at is not None:
        _wait_for_somebody(draft, promised_at)


def _wait_for_somebody(draft: Draft, since: datetime) -> None:
    oldest = min(since, draft.state.unanswered_since or since)
    draft.state = replace(draft.state, unanswered_since=oldest)
    _take_up(draft, since)


def understand(draft: Draft, case: Assessment) -> None:
    """See the case anew; a place in the queue asks for the new skills unless a transfer had named them."""
    waiting, old = draft.state.waiting, draft.state.case
    case = replace(case, skills=joined_skills(case.skills, draft.state.joined_skills))
    if waiting is not None and old is not None and waiting.skills == old.skills:
        draft.state = replace(draft.state, waiting=replace(waiting, skills=case.skills))
    draft.state = replace(draft.state, case=case)
    if old is not None:
        draft.change_promise(old.promise, case.promise)


def joined_skills(ours: SkillNeeds, theirs: SkillNeeds) -> SkillNeeds:
    """All skills of both, each at the higher level; ours stay the more important ones."""
    levels = dict(ours)
    for skill, level in theirs:
        levels[skill] = max(level, levels.get(skill, 0))
    return tuple(levels.items())


def _take_up(draft: Draft, at: datetime) -> None:
    draft.resume_clocks(min(at, draft.now))
    state = draft.state
    if state.phase is Phase.NEW:
        draft.state = replace(
            state,
            episode_opened_at=at,
            queued_at=at,
            waits_since=at,
            owner=draft.case.known_owner,
            owner_since=at if draft.case.known_owner else None,
        )
        draft.start_clock(Metric.FIRST_RESPONSE, at)
        draft.start_clock(Metric.RESOLUTION, at)
        draft.enqueue()
    elif state.assignment is None and not state.phase.is_waiting:
        # It had gone idle and given its units back: for a short while it is kept for the owner.
        draft.state = replace(state, waits_since=at)
        grace = draft.case.rules.owner_grace
        draft.enqueue(owner_until=draft.now + grace if grace and state.owner is not None else None)
    elif state.assignment is not None:
        draft.go_to(Phase.ASSIGNED)
        draft.start_clock(Metric.OWNER_SILENCE, draft.now)
    if draft.state.first_response_at is not None or draft.state.episode > 1:
        draft.start_clock(Metric.NEXT_RESPONSE, draft.state.unanswered_since or at)


def begin_episode(draft: Draft, at: datetime, *, by: str) -> None:
    """A resolved conversation comes back in the same workflow; in wrap-up the same agent simply goes on."""
    still_there = draft.state.phase is Phase.WRAP_UP
    draft.state = replace(
        draft.state,
        episode=draft.state.episode + 1,
        episode_opened_at=at,
        episode_channels=(),
        queued_at=at,
        waits_since=at,
        accepted_at=draft.now if still_there else None,
        wrap_up=None,
        resolved_at=None,
        end_reason=None,
        tallies=Tallies(),
        escalation=0,
        phase=Phase.ASSIGNED if still_there else draft.state.phase,
    )
    draft.happened("reopened", agent=draft.state.owner, by=by, episode=draft.state.episode)
    draft.start_clock(Metric.RESOLUTION, at)


def customer_left(draft: Draft, event: CustomerLeft) -> None:
    """Who leaves before anybody accepted has abandoned; a conversation in work is its agent's to resolve.

    One that had gone idle is nobody's: when its customer leaves for good, the chat was ended by them, unless they were
    promised a call.
    """
    state = draft.state
    if state.phase is Phase.MERGED and state.case is not None and event.signal_id:
        draft.order(PassOnLeaving(event.thread_id, event.signal_id))
    if state.phase.is_final:
        return
    draft.happened("customer_left", agent=state.agent_id, thread_id=event.thread_id)
    is_idle = state.phase is Phase.PENDING_CUSTOMER and state.assignment is None and state.journey.callback is None
    if not (state.phase.is_waiting or is_idle) or set(state.threads) - {event.thread_id}:
        return
    draft.leave_queue()
    draft.release("customer_left")
    end_episode(draft, EndReason.CUSTOMER_ENDED if is_idle else EndReason.ABANDONED, None)
    draft.go_to(Phase.RESOLVED)


def end_episode(draft: Draft, reason: EndReason, wrap_up_code: str | None) -> None:
    """Stop the episode's clocks and write its resolution record."""
    resolved = reason is EndReason.RESOLVED
    suggesting.journey_ended(draft, reason)
    if reason.is_of_no_customer:
        draft.cancel_clock(Metric.NEXT_RESPONSE)
    draft.meet_clock(Metric.NEXT_RESPONSE)
    draft.cancel_clock(Metric.FIRST_RESPONSE)
    draft.cancel_clock(Metric.OWNER_SILENCE)
    if resolved:
        draft.meet_clock(Metric.RESOLUTION)
    else:
        draft.cancel_clock(Metric.RESOLUTION)
    draft.state = replace(draft.state, unanswered_since=None, resolved_at=draft.now, end_reason=reason)
    calendar = draft.case.promise.calendar if draft.case.promise else None
    open_time = open_time_between(calendar, min(draft.state.opened_at, draft.now), draft.now)
    draft.order(RecordResolution(wrap_up_code, reason.value, open_time))
    draft.happened("resolved", agent=draft.state.agent_id, reason=reason.value, wrap_up_code=wrap_up_code)


def terms_changed(draft: Draft, event: TermsChanged) -> None:
    """Put the running clocks under the new promise and let the queue see the new case."""
    if draft.state.phase.is_final:
        return
    understand(draft, event.case)
    promise = event.case.promise
    draft.happened("terms_changed", cause=event.cause, policy=promise.policy_id if promise else None)


def _count_inbound(draft: Draft, channel: str) -> None:
    tallies = draft.state.tallies
    draft.state = replace(
        draft.state,
        tallies=replace(tallies, inbound=tallies.inbound + 1),
        episode_channels=_with(draft.state.episode_channels, channel),
    )


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)
