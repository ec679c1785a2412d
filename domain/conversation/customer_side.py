"""What the customer does: writes, writes again, comes back, leaves."""

from dataclasses import replace
from datetime import datetime

from domain.conversation.commands import PassOn, RecordResolution
from domain.conversation.draft import Draft
from domain.conversation.events import CustomerLeft, CustomerWrote, TermsChanged
from domain.conversation.state import EndReason, Phase, Tallies
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.calendar import open_time_between
from domain.sla.policy import Metric


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
    if event.kind.wants_an_answer or draft.state.case is None:
        understand(draft, event.case)
    if not event.kind.wants_an_answer:
        _count_inbound(draft, event.case.channel)
        return
    if draft.state.phase in {Phase.WRAP_UP, Phase.RESOLVED}:
        begin_episode(draft, event.at, by="customer")
    _count_inbound(draft, event.case.channel)
    oldest = min(event.at, draft.state.unanswered_since or event.at)
    draft.state = replace(draft.state, unanswered_since=oldest)
    _take_up(draft, event)


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


def _take_up(draft: Draft, event: CustomerWrote) -> None:
    draft.resume_clocks(min(event.at, draft.now))
    state = draft.state
    if state.phase is Phase.NEW:
        draft.state = replace(
            state,
            episode_opened_at=event.at,
            queued_at=event.at,
            waits_since=event.at,
            owner=draft.case.known_owner,
            owner_since=event.at if draft.case.known_owner else None,
        )
        draft.start_clock(Metric.FIRST_RESPONSE, event.at)
        draft.start_clock(Metric.RESOLUTION, event.at)
        draft.enqueue()
    elif state.assignment is None and not state.phase.is_waiting:
        # It had gone idle and given its units back: to the queue, where the owner has the first call.
        draft.state = replace(state, waits_since=event.at)
        draft.enqueue()
    elif state.assignment is not None:
        draft.go_to(Phase.ASSIGNED)
        draft.start_clock(Metric.OWNER_SILENCE, draft.now)
    if draft.state.first_response_at is not None or draft.state.episode > 1:
        draft.start_clock(Metric.NEXT_RESPONSE, draft.state.unanswered_since or event.at)


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
        phase=Phase.ASSIGNED if still_there else draft.state.phase,
    )
    draft.happened("reopened", agent=draft.state.owner, by=by, episode=draft.state.episode)
    draft.start_clock(Metric.RESOLUTION, at)


def customer_left(draft: Draft, event: CustomerLeft) -> None:
    """Who leaves before anybody accepted has abandoned; a conversation in work is its agent's to resolve."""
    state = draft.state
    if state.phase.is_final:
        return
    draft.happened("customer_left", agent=state.agent_id, thread_id=event.thread_id)
    if not state.phase.is_waiting or set(state.threads) - {event.thread_id}:
        return
    draft.leave_queue()
    draft.release("customer_left")
    end_episode(draft, EndReason.ABANDONED, None)
    draft.go_to(Phase.RESOLVED)


def end_episode(draft: Draft, reason: EndReason, wrap_up_code: str | None) -> None:
    """Stop the episode's clocks and write its resolution record."""
    resolved = reason is EndReason.RESOLVED
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
