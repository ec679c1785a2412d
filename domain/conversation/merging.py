"""Conversations that become one, threads that are split off again, customers that turn out to be one.

The ledger has decided each of these before the conversation hears of it: here the conversation only catches up.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from datetime import datetime

from domain.conversation.commands import Absorb
from domain.conversation.customer_side import begin_episode, joined_skills, understand
from domain.conversation.draft import Draft
from domain.conversation.events import Absorbed, IdentityLinked, MergedAway, ThreadsSplit
from domain.conversation.handover import Handover
from domain.conversation.journey import JourneyState
from domain.conversation.state import Phase, Tallies
from domain.conversation.terms import SkillNeeds
from domain.sla import clock as sla
from domain.sla.merge import merge_clocks
from domain.sla.policy import Metric, SlaTerms


def absorbed(draft: Draft, event: Absorbed) -> None:
    """Take over what the loser handed over: its unanswered messages, its clocks, the skills it needs, its age.

    A loser that had heard nothing hands nothing over: its messages come as messages.
    """
    if draft.state.phase.is_final:
        return  # who absorbed this conversation was told of the loser too
    draft.state = replace(draft.state, merges=draft.state.merges + 1)
    theirs = event.handover
    if theirs is None:
        draft.order(Absorb(event.merge_id))
        understand(draft, event.case)
        return
    draft.state = replace(draft.state, joined_skills=joined_skills(draft.state.joined_skills, theirs.skills))
    understand(draft, event.case)
    if draft.state.case is not None and draft.state.case.promise is None:
        # Whatever the loser's customer was promised stays promised.
        draft.state = replace(draft.state, case=replace(draft.state.case, promise=event.their_promise))
    _come_back(draft, event, theirs)
    goes_on = theirs.is_unresolved and _is_unresolved(draft)
    draft.order(Absorb(event.merge_id, counts_on=goes_on))
    _join(draft, theirs)
    _take_clocks(draft, theirs, event.their_promise)
    _take_up(draft, theirs)
    if goes_on:
        _take_urgency(draft, theirs)
    if event.unfit:
        _reroute(draft)


def merged_away(draft: Draft, event: MergedAway) -> None:
    """The conversation has become part of another one: the ledger has taken from it what it had."""
    if draft.state.phase.is_final:
        return
    draft.state = replace(
        draft.state,
        phase=Phase.MERGED,
        clocks=tuple(clock for clock in draft.state.clocks if clock.is_ended),
        waiting=None,
        offer=None,
        assignment=None,
        wrap_up=None,
        hold_until=None,
        idle_since=None,
        unanswered_since=None,
        resolved_at=draft.state.resolved_at or event.at,
    )


def threads_split(draft: Draft, event: ThreadsSplit) -> None:
    """Forget threads that have become a conversation of their own, and what was owed to the customer on them."""
    state = draft.state
    if state.phase.is_final:
        return
    waited = state.unanswered_since
    draft.state = replace(
        state,
        threads=tuple(thread for thread in state.threads if thread not in event.thread_ids),
        channels=event.channels,
        episode_channels=tuple(channel for channel in state.episode_channels if channel in event.channels),
        unanswered_since=event.unanswered_since if waited is not None else None,
    )
    understand(draft, event.case)
    if waited is None or draft.state.unanswered_since is not None:
        return
    for metric in (Metric.FIRST_RESPONSE, Metric.NEXT_RESPONSE, Metric.OWNER_SILENCE):
        draft.cancel_clock(metric)
    if draft.state.phase is Phase.ASSIGNED:
        draft.go_to(Phase.PENDING_CUSTOMER)


def identity_linked(draft: Draft, event: IdentityLinked) -> None:
    """The customer is known by another id now."""
    if draft.state.phase.is_final or draft.state.customer_id == event.customer_id:
        return
    draft.state = replace(draft.state, customer_id=event.customer_id)
    understand(draft, event.case)
    draft.happened("identity_linked", customer_id=event.customer_id, cause=event.cause)


def new_needs(ours: SkillNeeds, theirs: SkillNeeds) -> SkillNeeds:
    """What the loser needs beyond the survivor: with the rest the survivor's agent was chosen."""
    known = dict(ours)
    return tuple((skill, level) for skill, level in theirs if level > known.get(skill, 0))


def _come_back(draft: Draft, event: Absorbed, theirs: Handover) -> None:
    """Begin the first or the next episode where there is none to go on with."""
    state = draft.state
    if state.phase in {Phase.WRAP_UP, Phase.RESOLVED} and theirs.is_unresolved:
        begin_episode(draft, min(event.at, draft.now), by="merge")
    elif state.phase is Phase.NEW and theirs.episode_opened_at is not None:
        draft.state = replace(
            state,
            episode_opened_at=theirs.episode_opened_at,
            queued_at=theirs.episode_opened_at,
            waits_since=theirs.episode_opened_at,
        )


def _join(draft: Draft, theirs: Handover) -> None:
    """What is known of both becomes known of the one; a first response still owed here is not the loser's."""
    state = draft.state
    first = sla.clock_for(state.clocks, Metric.FIRST_RESPONSE, state.episode)
    owed = first is not None and not first.is_ended
    draft.state = replace(
        state,
        opened_at=min(state.opened_at, theirs.opened_at),
        first_response_at=state.first_response_at
        if owed
        else _earliest(state.first_response_at, theirs.first_response_at),
        channels=_union(state.channels, theirs.channels),
        threads=_union(state.threads, theirs.threads),
        owner=state.owner or theirs.owner,
        owner_since=state.owner_since if state.owner or not theirs.owner else draft.now,
    )
    if not theirs.is_unresolved or not _is_unresolved(draft):
        return
    draft.state = replace(
        draft.state,
        journey=_joined_journey(draft.state.journey, theirs.journey),
        episode_opened_at=_earliest(draft.state.episode_opened_at, theirs.episode_opened_at),
        episode_channels=_union(draft.state.episode_channels, theirs.episode_channels),
        unanswered_since=_earliest(draft.state.unanswered_since, theirs.unanswered_since),
        tallies=_sum(draft.state.tallies, theirs.tallies),
    )


def _joined_journey(ours: JourneyState, theirs: JourneyState) -> JourneyState:
    """What was promised on an accepted channel is kept, ours first; nobody is asked again what either has asked."""
    asked = _union(ours.asked, theirs.asked)
    if ours.accepted is not None:
        return replace(ours, asked=asked)
    return replace(ours, asked=asked, accepted=theirs.accepted, callback=theirs.callback)


def _take_clocks(draft: Draft, theirs: Handover, their_promise: SlaTerms | None) -> None:
    """Keep per metric the earliest unmet deadline; a clock that gives way to the loser's ends where it stands.

    How long an owner is silent is a promise about one agent, and the loser's agent has gone: it is not taken over.
    """
    ours_promise = draft.case.promise
    if ours_promise is None or their_promise is None or not _is_unresolved(draft):
        return
    clocks = tuple(clock for clock in theirs.clocks if clock.metric is not Metric.OWNER_SILENCE)
    ours = draft.state.clocks
    episode = draft.state.episode
    merged = merge_clocks(ours, ours_promise, clocks, their_promise, episode, draft.now)
    for metric in Metric:
        before, after = sla.clock_for(ours, metric, episode), sla.clock_for(merged, metric, episode)
        if after is None or after == before:
            continue
        if before is None or before.is_ended:
            draft.keep_clock(after, is_new=True)
        elif after == sla.breach(before, draft.now):
            draft.keep_clock(after)
        else:
            draft.keep_clock(sla.cancel(before, draft.now))
            draft.keep_clock(replace(after, number=before.number + 1), is_new=True)


def _take_urgency(draft: Draft, theirs: Handover) -> None:
    """Whatever authority or urgency the loser had been given, the survivor has no less of it."""
    state = draft.state
    raised = replace(state, escalation=max(state.escalation, theirs.escalation))
    draft.state = raised
    waiting = raised.waiting
    if waiting is not None and not waiting.urgent and (theirs.urgent or draft.is_raised()):
        draft.state = replace(raised, waiting=replace(waiting, urgent=True))
    if draft.state != state:
        draft.happened("urgency_raised", agent=state.agent_id, metric=None, cause="merge")


def _take_up(draft: Draft, theirs: Handover) -> None:
    """Go on as if the loser's customer had just written here, or as if they were waited for."""
    if not theirs.is_unresolved:
        return
    _take_place(draft, theirs)
    draft.go_to(draft.state.phase)
    unanswered = draft.state.unanswered_since
    if unanswered is None:
        return
    if draft.state.assignment is not None:
        draft.start_clock(Metric.OWNER_SILENCE, draft.now)
    if draft.state.first_response_at is not None or draft.state.episode > 1:
        draft.start_clock(Metric.NEXT_RESPONSE, unanswered)
    else:
        draft.start_clock(Metric.FIRST_RESPONSE, unanswered)


def _take_place(draft: Draft, theirs: Handover) -> None:
    """Wait at the age of the one that has waited longer, or see to it that somebody does the loser's work."""
    state = draft.state
    waits = theirs.unanswered_since is not None or theirs.phase.is_waiting
    since = theirs.waits_since or theirs.unanswered_since or draft.now
    if state.waiting is not None and state.phase.is_waiting:
        oldest = min(state.waits_since or since, since) if waits else state.waiting.queued_at
        waiting = replace(state.waiting, queued_at=oldest)
        draft.state = replace(state, waiting=waiting, waits_since=oldest, queued_at=_earliest(state.queued_at, oldest))
    elif state.assignment is None:
        if waits or theirs.phase is not Phase.PENDING_CUSTOMER:
            draft.state = replace(state, waits_since=since, queued_at=state.queued_at or since)
            draft.enqueue()
        elif state.phase is not Phase.PENDING_CUSTOMER:
            draft.go_to(Phase.PENDING_CUSTOMER)
    elif theirs.unanswered_since is not None:
        draft.go_to(Phase.ASSIGNED)
    elif state.unanswered_since is None and theirs.phase is Phase.PENDING_CUSTOMER and state.phase is Phase.ASSIGNED:
        draft.go_to(Phase.PENDING_CUSTOMER)


def _reroute(draft: Draft) -> None:
    """Whoever has it or is offered it lacks a skill that the whole needs: find somebody who has it."""
    state = draft.state
    waiting = state.waiting
    if state.phase is Phase.OFFERED:
        draft.leave_queue()
        draft.state = replace(draft.state, waiting=waiting)
        draft.enqueue()
    elif state.phase is Phase.ASSIGNED and state.assignment is not None:
        tallies = state.tallies
        draft.leave_queue()
        draft.state = replace(draft.state, tallies=replace(tallies, reroutes=tallies.reroutes + 1))
        draft.happened("rerouted", agent=state.agent_id, cause="merge")
        draft.release("merged")
        draft.enqueue()


def _is_unresolved(draft: Draft) -> bool:
    return draft.state.resolved_at is None


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((instant for instant in (one, other) if instant is not None), default=None)


def _union(ours: tuple[str, ...], theirs: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*ours, *theirs)))


def _sum(ours: Tallies, theirs: Tallies) -> Tallies:
    of: Callable[[Tallies, str], int] = getattr
    return Tallies(**{field.name: of(ours, field.name) + of(theirs, field.name) for field in fields(Tallies)})
