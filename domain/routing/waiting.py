"""Why a case still waits, and what would change that when: the account of one case for a person."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from domain.routing.eligibility import callable_from, overflowing
from domain.routing.matching import match
from domain.routing.model import (
    AgentCapacity,
    Exclusion,
    ExclusionCount,
    ScorePart,
    SoonFree,
    SuccessModel,
    Unmatched,
    UnmatchedReason,
    WaitingCase,
)
from domain.routing.policy import OverflowRule, RoutingPolicy, WideningStep
from domain.routing.queue import WaitingQueue
from domain.routing.spare import kept_until
from domain.routing.utility import urgency

_WHY_NOT: Final = {
    Exclusion.NAMED_OTHER: "not the one it is meant for",
    Exclusion.DECLINED: "who declined it",
    Exclusion.PRESENCE: "for transfers only",
    Exclusion.POOL: "of another pool",
    Exclusion.LANGUAGE: "without the language",
    Exclusion.SKILL: "without a skill or its level",
    Exclusion.SHIFT_END: "outside of their hours or too near their end",
    Exclusion.CUSTOMER_HOURS: "who would call outside of the customer's hours",
    Exclusion.CAPACITY: "without room",
    Exclusion.CEILING: "with as many of this channel as they may hold",
}
_OTHERS_MUST_CHANGE: Final = {
    Exclusion.CAPACITY: "when an agent who fits has room again",
    Exclusion.CEILING: "when an agent who fits has fewer of this channel",
    Exclusion.SHIFT_END: "when the hours of an agent who fits begin",
    Exclusion.SKILL: "when an agent with the skills comes online",
    Exclusion.LANGUAGE: "when an agent who speaks the language comes online",
    Exclusion.PRESENCE: "when an agent who fits is online for more than transfers",
    Exclusion.NAMED_OTHER: "when the agent it is meant for is there",
}


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """The queue of the case's pool: `waiting` conversations, the oldest of them waiting since `oldest_at`."""

    waiting: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """Something that would change the answer; at `at` if time alone does it, None if somebody has to."""

    at: datetime | None
    what: str


@dataclass(frozen=True, slots=True)
class WaitingAccount:
    """`reason` is None when the case by itself could be offered now: more urgent ones go first, or the next pass does.

    The parts of the urgency add up to it. `exclusions` counts the agents who are present by why they can't take it.
    """

    reason: UnmatchedReason | None
    waited: timedelta
    widening_step: int
    overflow: tuple[str, ...]
    urgency: float
    urgency_parts: tuple[ScorePart, ...]
    present: int
    exclusions: tuple[ExclusionCount, ...]
    waits_for: str | None
    changes: tuple[Change, ...]
    policy_version: str
    sentence: str


def account_of(
    case: WaitingCase,
    standing: QueueStanding,
    agents: Sequence[AgentCapacity],
    soon_free: Sequence[SoonFree],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
) -> WaitingAccount:
    """Judge the one case against everyone present, under the overflow rules that hold in its whole queue."""
    holding = tuple(rule for rule in policy.overflow if rule.pool == case.pool and _holds(rule, standing, now))
    alone = replace(policy, overflow=tuple(replace(rule, waiting_over=None, oldest_over=None) for rule in holding))
    found = match([case], agents, alone, success, now, soon_free=soon_free)
    left = found.unmatched[0] if found.unmatched else None
    snapshot = WaitingQueue([case]).snapshot()
    pressing = urgency(snapshot, alone, now, overflowing(snapshot, alone, now))
    step = sum(now - case.queued_at >= widening.after for widening in policy.widening)
    exclusions = left.exclusions if left is not None else found.decisions[0].exclusions
    kept = _kept_no_longer(left, agents, policy, now)
    account = WaitingAccount(
        reason=None if left is None else left.reason,
        waited=now - case.queued_at,
        widening_step=step,
        overflow=tuple(rule.name for rule in holding),
        urgency=float(pressing.total[0]),
        urgency_parts=tuple(ScorePart(name, float(part[0])) for name, part in pressing.parts if part[0] != 0.0),
        present=len(agents),
        exclusions=exclusions,
        waits_for=None if left is None else left.waits_for,
        changes=_changes(case, standing, exclusions, soon_free, kept, policy, now),
        policy_version=policy.version,
        sentence="",
    )
    return replace(account, sentence=_sentence(account, standing))


def _kept_no_longer(
    left: Unmatched | None, agents: Sequence[AgentCapacity], policy: RoutingPolicy, now: datetime
) -> tuple[Change, ...]:
    if left is None or left.reason is not UnmatchedReason.PLACE_KEPT_FREE:
        return ()
    ends = [end for agent in agents if (end := kept_until(agent, policy.waiting)) is not None and end > now]
    return (Change(min(ends), "the last free place is kept no longer"),) if ends else ()


def _holds(rule: OverflowRule, standing: QueueStanding, now: datetime) -> bool:
    if rule.waiting_over is None and rule.oldest_over is None:
        return True
    too_many = rule.waiting_over is not None and standing.waiting > rule.waiting_over
    return too_many or (rule.oldest_over is not None and now - standing.oldest_at > rule.oldest_over)


def _changes(
    case: WaitingCase,
    standing: QueueStanding,
    exclusions: tuple[ExclusionCount, ...],
    soon_free: Sequence[SoonFree],
    kept: Sequence[Change],
    policy: RoutingPolicy,
    now: datetime,
) -> tuple[Change, ...]:
    timed = [*kept, *(Change(case.queued_at + step.after, _widened(step)) for step in policy.widening)]
    for rule in policy.overflow:
        if rule.pool == case.pool and not _holds(rule, standing, now):
            at = None if rule.oldest_over is None else standing.oldest_at + rule.oldest_over
            timed.append(Change(at, f"overflow {rule.name}: {rule.sentence}"))
    if case.exclusions_clear_at is not None and case.excluded:
        timed.append(Change(case.exclusions_clear_at, "who declined may be asked again if nobody else can take it"))
    if case.customer_hours is not None:
        timed.append(Change(callable_from(case.customer_hours, now) or now, "the customer may be called"))
    if case.next_breach_at is not None:
        timed.append(Change(case.next_breach_at, "its next promise is due"))
    if policy.longest_wait is not None:
        timed.append(Change(case.queued_at + policy.longest_wait, "goes before all that have not waited so long"))
    timed += [Change(one.at, f"{one.agent_id} is likely to have room again") for one in soon_free[:1]]
    to_come = sorted((one for one in timed if one.at is not None and now < one.at), key=lambda one: (one.at, one.what))
    open_ended = [one for one in timed if one.at is None]
    open_ended += [
        Change(None, _OTHERS_MUST_CHANGE[count.reason]) for count in exclusions if count.reason in _OTHERS_MUST_CHANGE
    ]
    return (*to_come, *open_ended)


def _widened(step: WideningStep) -> str:
    parts = []
    if step.lower_levels:
        parts.append(f"skill levels are lowered by {step.lower_levels}")
    if step.drop_skills:
        parts.append(f"the last {step.drop_skills} skills are no longer asked for")
    if step.extra_pools:
        parts.append("agents of " + ", ".join(step.extra_pools) + " may take it")
    return "widening: " + (", ".join(parts) or "nothing more is asked for")


def _sentence(account: WaitingAccount, standing: QueueStanding) -> str:
    waited = f"Waits for {_span(account.waited)}, one of {standing.waiting} in its pool, at widening step "
    told = waited + str(account.widening_step)
    told += f", urgency {account.urgency:.2f}"
    if account.overflow:
        told += f", while the queue overflows by {', '.join(account.overflow)}"
    if not account.present:
        told += "; nobody who could take it is present"
    elif account.reason is UnmatchedReason.PLACE_KEPT_FREE:
        told += "; the last free place is kept for a while for who can still be answered in time"
    elif account.reason is None:
        told += "; somebody could take it now, so more urgent ones go first or the next pass offers it"
    else:
        why = ", ".join(f"{count.agents} {_WHY_NOT[count.reason]}" for count in account.exclusions)
        told += f"; of {account.present} agents present: {why or 'all are taken'}"
    if account.waits_for is not None:
        told += f"; it is worth waiting for {account.waits_for}"
    coming = next((change for change in account.changes if change.at is not None), None)
    if coming is not None and coming.at is not None:
        told += f". Next, at {coming.at:%H:%M:%S} UTC: {coming.what}"
    return told + ("" if told.endswith(".") else ".")


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
