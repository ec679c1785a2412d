"""Which channel to suggest now, if any: pure rules over what is known of one conversation.

Never a channel that was used in the episode or suggested in the conversation before, never one outside its hours, and
only those the caller lists: whom the customer can be reached by and what they have not stated against.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.channels import Channel
from domain.sla.calendar import Calendar, is_open
from domain.suggestions.rules import Cause, SuggestionRule

ENOUGH_SEEN = 20
"""Accepted suggestions that must have been judged before history alone speaks for a channel."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """A channel this customer may be led to.

    `hours` are open time of the channel, for calls also that of the customer; None is always. `success` is the learned
    chance (a probability) that a case like this one is resolved there once the customer accepts, over `observed` cases.
    `units`, `offer_timeout` and `auto_accept` are what the queue asks for on that channel.
    """

    channel: Channel
    units: int
    offer_timeout: timedelta
    auto_accept: bool
    hours: tuple[Calendar, ...] = ()
    success: float = 0.5
    observed: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """`turns` are answered turns in the episode, `waited` since the queue took it while nobody has it, `fallen` how far
    the mood is below its best; `stay_success` is the chance that it is resolved where it is, None when unknown.
    """

    at: datetime
    intent: str | None
    is_held: bool
    turns: int = 0
    waited: timedelta | None = None
    fallen: float = 0.0
    sla_at_risk: bool = False
    stay_success: float | None = None
    used: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    channel: Channel
    cause: Cause


def advise(
    rules: tuple[SuggestionRule, ...],
    reachable: tuple[Reachable, ...],
    situation: Situation,
    least_success: float = 0.0,
    only: frozenset[Cause] | None = None,
) -> Advice | None:
    """Return what the first rule says that applies and has a channel; among its channels the likeliest to resolve.

    `only` leaves out the rules of other causes.
    """
    for rule in rules:
        if only is not None and rule.cause not in only:
            continue
        if not _applies(rule, situation):
            continue
        open_to = [
            one
            for one in reachable
            if one.channel in rule.channels
            and may_suggest(one, situation)
            and one.success >= least_success
            and (rule.cause is not Cause.HISTORY or _history_speaks_for(one, situation, rule.margin))
        ]
        if open_to:
            best = max(open_to, key=lambda one: (one.success, -rule.channels.index(one.channel)))
            return Advice(best.channel, rule.cause)
    return None


def may_suggest(one: Reachable, situation: Situation) -> bool:
    """Whether the channel is new to this customer here, and open."""
    if one.channel in situation.used or one.channel in situation.asked:
        return False
    return all(is_open(hours, situation.at) for hours in one.hours)


def _applies(rule: SuggestionRule, situation: Situation) -> bool:
    held, waited = situation.is_held, situation.waited
    applies = {
        Cause.SCREEN_SHARING: held and situation.intent in rule.intents,
        Cause.NO_PROGRESS: held and situation.turns >= rule.turns,
        Cause.LONG_WAIT: not held and waited is not None and waited >= rule.after,
        Cause.SLA_AT_RISK: situation.sla_at_risk,
        Cause.SENTIMENT_FALLS: situation.fallen >= rule.drop,
        Cause.HISTORY: situation.stay_success is not None,
    }
    return applies.get(rule.cause, False)


def _history_speaks_for(one: Reachable, situation: Situation, margin: float) -> bool:
    stay = situation.stay_success
    return stay is not None and one.observed >= ENOUGH_SEEN and one.success >= stay + margin
