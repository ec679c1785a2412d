"""How what is already known of a case and what a new message says are put together."""

from typing import Final

from domain.intents import OUT_OF_SCOPE

SMALL_TALK: Final = frozenset({"greeting", "closing", "human_agent", OUT_OF_SCOPE})
"""Intents of a message that say nothing new about what the case is about."""

CERTAIN: Final = 1.0
"""The confidence of what a person said."""

CARRIED_CONFIDENCE: Final = 0.75
"""What a person's word on an earlier episode is worth against new words."""

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


def known_intent(stored: tuple[str | None, float | None], corrected: str | None) -> tuple[str | None, float | None]:
    """Return what the case is known to be about before the new words are read, and how sure that is.

    A person's correction is certain for as long as its episode lasts. Afterwards it is worth no more than a good
    guess: who comes back may come back about something else.
    """
    if corrected is not None:
        return corrected, CERTAIN
    intent, confidence = stored
    return intent, CARRIED_CONFIDENCE if confidence == CERTAIN else confidence


def base_priority(segment: str, sentiment: float | None) -> int:
    """Return 1 (urgent) to 5 (low): valued customers and upset ones stand one higher each."""
    raised = (segment in _VALUED) + (sentiment is not None and sentiment <= UPSET)
    return MIDDLE_PRIORITY - raised
