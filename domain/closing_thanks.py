"""When a customer only says thank you: such a message neither reopens a conversation nor restarts its clocks.

The rule is conservative, for a missed farewell costs an agent a glance and a false one leaves a customer unanswered:
the whole message must be a chain of known phrases of thanks, success, praise and farewell, at least one of them thanks
or farewell. The phrases are those of `domain.closing_phrases`; other languages are answered as usual.
"""

import re
import unicodedata
from typing import Final

from domain.closing_phrases import ACCOMPANIMENT, LEAVE_TAKING

_LONGEST: Final = 140


def _patterns(languages: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """One pattern a language; a phrase ends where a word does."""
    return tuple(re.compile(rf"(?:{phrases})(?=\ |$)", re.VERBOSE) for phrases in languages)


_LEAVE_TAKING: Final = _patterns(LEAVE_TAKING)
_ACCOMPANIMENT: Final = _patterns(ACCOMPANIMENT)
_APOSTROPHE: Final = re.compile("['\u2019`]")
_BETWEEN_PHRASES: Final = re.compile("[\\s.,!\u00a1;:\\-\u2013\u2014()]+")
_HAPPY_PICTOGRAM: Final = re.compile(
    "[\u263a\u2665\u2705\u2714\u2728\u2764\ufe0f\u200d\U0001f3fb-\U0001f3ff\U0001f389\U0001f44b-\U0001f44d\U0001f44f"
    "\U0001f495-\U0001f49c\U0001f600-\U0001f60a\U0001f60d\U0001f618\U0001f642\U0001f64c\U0001f64f\U0001f917\U0001f970]"
)


def is_closing_thanks(text: str) -> bool:
    """Whether the text does nothing but thank, take leave or say that it is solved."""
    if len(text) > _LONGEST:
        return False
    spoken = _APOSTROPHE.sub("", _HAPPY_PICTOGRAM.sub(" ", text).casefold())
    remaining = _BETWEEN_PHRASES.sub(" ", _without_accents(spoken)).strip()
    takes_leave = False
    while remaining:
        leave_taking = _leading(_LEAVE_TAKING, remaining)
        phrase = max(leave_taking, _leading(_ACCOMPANIMENT, remaining), key=len)
        if not phrase:
            return False
        takes_leave = takes_leave or phrase == leave_taking
        remaining = remaining[len(phrase) :].lstrip()
    return takes_leave


def _leading(patterns: tuple[re.Pattern[str], ...], text: str) -> str:
    """The longest phrase the text begins with, in whatever language; empty when there is none."""
    return max((found.group() for pattern in patterns if (found := pattern.match(text))), key=len, default="")


def _without_accents(text: str) -> str:
    """Many leave them out, so nobody is asked to write them."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
