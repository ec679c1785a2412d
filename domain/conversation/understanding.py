"""How what is already known of a case and what a new message says are put together."""

from typing import Final

from domain.intents import OUT_OF_SCOPE

SMALL_TALK: Final = frozenset({"greeting", "closing", "human_agent", OUT_OF_SCOPE})
"""Intents of a message that say nothing new about what the case is about."""

UPSET: Final = -0.5
MIDDLE_PRIORITY: Final = 3
_VALUED: Final = frozenset({"gold", "platinum"})


def settled_intent(
    known: tuple[str | None, float | None], heard: tuple[str | None, float]
) -> tuple[str | None, float | None]:
    """Return the intent and its confidence (a probability): small talk never replaces what the case was known to be.

    A message that says the same again, less clearly, does not make it any less sure.
    """
    known_intent, known_confidence = known
    heard_intent, heard_confidence = heard
    if known_intent is None:
        return heard_intent, heard_confidence
    if heard_intent == known_intent:
        return known_intent, max(heard_confidence, known_confidence or 0.0)
    if heard_intent is None or heard_intent in SMALL_TALK:
        return known
    if known_intent in SMALL_TALK or heard_confidence > (known_confidence or 0.0):
        return heard_intent, heard_confidence
    return known


def base_priority(segment: str, sentiment: float | None) -> int:
    """Return 1 (urgent) to 5 (low): valued customers and upset ones stand one higher each."""
    raised = (segment in _VALUED) + (sentiment is not None and sentiment <= UPSET)
    return MIDDLE_PRIORITY - raised
