"""What is true of a conversation after every step; each rule is checked without knowing how the state came about."""

from collections.abc import Iterator

from domain.conversation.draft import pauses_clocks
from domain.conversation.state import ConversationState, Phase
from domain.sla.clock import Clock
from domain.sla.policy import Metric

_ENDED_EPISODE = frozenset({Phase.WRAP_UP, Phase.RESOLVED, Phase.CLOSED})
_ALWAYS_HELD = frozenset({Phase.ASSIGNED, Phase.ON_HOLD, Phase.WRAP_UP})


def check_state(state: ConversationState) -> list[str]:
    """Return every way in which a state contradicts itself, in words; none for a sound one."""
    return [*_phase_problems(state), *_queue_problems(state), *_episode_problems(state), *_clock_problems(state)]


def _phase_problems(state: ConversationState) -> Iterator[str]:
    phase = state.phase
    if phase.is_waiting and state.waiting is None:
        yield f"{phase} without a place in the queue"
    if (phase is Phase.OFFERED) != (state.offer is not None and state.assignment is None):
        yield f"{phase} with offer {state.offer} and assignment {state.assignment}"
    if phase in _ALWAYS_HELD and state.assignment is None:
        yield f"{phase} with nobody responsible"
    if state.assignment is not None and not (phase.is_in_work or phase is Phase.WRAP_UP):
        yield f"{phase} while {state.agent_id} is responsible"
    if state.assignment is not None and state.owner != state.agent_id:
        yield f"{state.agent_id} is responsible and {state.owner} the owner"
    if (phase is Phase.WRAP_UP) != (state.wrap_up is not None):
        yield f"{phase} with wrap-up {state.wrap_up}"
    if (phase is Phase.PENDING_CUSTOMER) != (state.idle_since is not None):
        yield f"{phase} while waiting for the customer since {state.idle_since}"
    if phase is Phase.PENDING_CUSTOMER and state.unanswered_since is not None:
        yield f"{phase} while the customer waits since {state.unanswered_since}"
    if phase is not Phase.NEW and phase is not Phase.MERGED and state.case is None:
        yield f"{phase} without having been assessed"


def _queue_problems(state: ConversationState) -> Iterator[str]:
    waiting, offer, assignment = state.waiting, state.offer, state.assignment
    if offer is not None and (waiting is None or waiting.ticket != offer.ticket):
        yield f"offer {offer.offer_id} for ticket {offer.ticket} while waiting as {waiting}"
    if waiting is None:
        return
    if not (state.phase.is_waiting or state.phase.is_in_work):
        yield f"{state.phase} with a place in the queue"
    if waiting.ticket != state.tickets:
        yield f"ticket {waiting.ticket} is not the last of {state.tickets}"
    holder = assignment.assignment_id if assignment else None
    if waiting.warm_from != holder:
        yield f"a transfer from {waiting.warm_from} while {holder} is responsible"
    if state.queued_at is None or waiting.queued_at != state.waits_since:
        yield f"queued at {waiting.queued_at} while waiting since {state.waits_since}"


def _episode_problems(state: ConversationState) -> Iterator[str]:
    if state.phase is Phase.MERGED:
        return
    ended = state.phase in _ENDED_EPISODE
    if ended != (state.resolved_at is not None) or ended != (state.end_reason is not None):
        yield f"{state.phase} with end {state.end_reason} at {state.resolved_at}"
    if ended and state.unanswered_since is not None:
        yield f"{state.phase} while the customer waits since {state.unanswered_since}"
    if (state.phase is Phase.NEW) != (state.episode_opened_at is None):
        yield f"{state.phase} with an episode opened at {state.episode_opened_at}"


def _clock_problems(state: ConversationState) -> Iterator[str]:
    seen: set[tuple[Metric, int]] = set()
    for clock in state.clocks:
        name = f"{clock.metric} of episode {clock.episode}"
        if (clock.metric, clock.episode) in seen:
            yield f"two clocks for {name}"
        seen.add((clock.metric, clock.episode))
        if clock.is_ended:
            continue
        if clock.episode != state.episode or state.phase in _ENDED_EPISODE:
            yield f"{name} runs in episode {state.episode}, {state.phase}"
        if not _is_wanted(state, clock):
            yield f"{name} runs though nothing is owed"
        promise = state.case.promise if state.case else None
        if promise is None:
            yield f"{name} runs without a promise"
        elif (clock.paused_since is not None) != pauses_clocks(promise, state.phase):
            yield f"{name} is {clock.state} while {state.phase}"


def _is_wanted(state: ConversationState, clock: Clock) -> bool:
    match clock.metric:
        case Metric.FIRST_RESPONSE:
            # One may be owed again to the customer of a conversation that joined this one.
            return state.first_response_at is None or (state.merges > 0 and state.unanswered_since is not None)
        case Metric.NEXT_RESPONSE:
            return state.unanswered_since is not None
        case Metric.OWNER_SILENCE:
            return state.assignment is not None and state.unanswered_since is not None
        case Metric.RESOLUTION:
            return True
