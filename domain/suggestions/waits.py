"""Where a customer should begin: advice for a help page or a widget, before there is a conversation."""

from dataclasses import dataclass
from datetime import timedelta

from domain.channels import Channel
from domain.suggestions.rules import Cause, SuggestionRule

ENOUGH_WAITS = 5
"""Fewer accepts than this say nothing about a wait."""


@dataclass(frozen=True, slots=True)
class ExpectedWait:
    """What the recent ledger says of one channel: None where too little was seen to say anything."""

    channel: Channel
    median: timedelta | None
    p90: timedelta | None
    answered: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """`cause` is None when nothing speaks for one channel over another."""

    channel: Channel | None
    cause: Cause | None


def where_to_begin(
    rules: tuple[SuggestionRule, ...],
    open_channels: tuple[Channel, ...],
    waits: tuple[ExpectedWait, ...],
    intent: str | None,
) -> Beginning:
    """Return the channel to begin on.

    Screen sharing first; then, where a channel is known to keep people waiting for longer than the rule of long waits
    allows, the one with the shortest known wait. `open_channels` are those this customer may use now, the usual first.
    """
    for rule in rules:
        if rule.cause is Cause.SCREEN_SHARING and intent in rule.intents:
            chosen = next((channel for channel in rule.channels if channel in open_channels), None)
            if chosen is not None:
                return Beginning(chosen, rule.cause)
    limit = next((rule.after for rule in rules if rule.cause is Cause.LONG_WAIT), None)
    known = {wait.channel: wait.median for wait in waits if wait.median is not None}
    if limit is None or not open_channels:
        return Beginning(None, None)
    usual = known.get(open_channels[0])
    if usual is None or usual < limit:
        return Beginning(None, None)
    shortest = min(
        (channel for channel in open_channels if channel in known), key=lambda channel: known[channel] or limit
    )
    if known[shortest] == usual:
        return Beginning(None, None)
    return Beginning(shortest, Cause.LONG_WAIT)
