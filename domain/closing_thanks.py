"""When a customer only says thank you: such a message neither reopens a conversation nor restarts its clocks.

The rule is conservative, for a missed farewell costs an agent a glance and a false one leaves a customer unanswered:
the whole message must be a chain of known phrases of thanks, success, praise and farewell, at least one of them thanks
or farewell. English only; other languages are answered as usual.
"""

import re
from typing import Final

_LONGEST: Final = 140

_PRAISE_WORD: Final = (
    "amazing|awesome|brilliant|excellent|fantastic|fast|friendly|good|great|kind|lovely|nice|perfect|prompt|quick|"
    "speedy|super|swift|wonderful"
)
_WHAT_WE_GAVE: Final = "advice|answer|assistance|effort|explanation|help|patience|reply|response|service|support|time"
_THE_TROUBLE: Final = "error|issue|matter|problem|trouble"

_LEAVE_TAKING: Final = re.compile(
    rf"""
      (?:many\ |much\ )?(?:thanks|thank\ (?:you|u)|thankyou|thx|tks|tysm|ty|cheers|ta)
      (?:\ (?:(?:so|very)\ much|a\ (?:lot|million|ton)|lots|again|all|everyone|team|both))*
      (?:\ for\ (?:(?:all|of|the|your|a|such|very|so|really|{_PRAISE_WORD})\ )*
         (?:{_WHAT_WE_GAVE}|everything|all|helping(?:\ me)?(?:\ out)?))?
    | (?:(?:i|we)\ )?(?:(?:really|truly|very|much|so)\ )*appreciated?(?:\ (?:it|that|this))?
      (?:\ (?:all\ )?(?:the|your)\ (?:(?:{_PRAISE_WORD})\ )*(?:{_WHAT_WE_GAVE}))?
    | (?:good\ ?)?bye(?:\ bye)?(?:\ (?:for\ )?now)?
    | have\ an?\ (?:(?:very|{_PRAISE_WORD})\ )*(?:rest\ of\ (?:your|the)\ )?(?:day|evening|night|weekend|week|one)
    | take\ care | see\ you
    """,
    re.VERBOSE,
)
_ACCOMPANIMENT: Final = re.compile(
    rf"""
      (?:(?:it|its|that|thats|this|everything|all|(?:the|my)\ (?:{_THE_TROUBLE}))\ )?
      (?:(?:has|is|seems|now|all|been|just|really|totally|completely)\ )*
      (?:solved|fixed|resolved|sorted|worked|works|working|helped|did\ the\ trick)
      (?:\ (?:it|this|that|everything|(?:the|my)\ (?:{_THE_TROUBLE})|me|perfectly|fine|great|well|now|a\ lot))*
    | (?:(?:its|thats|that\ is|this\ is|all|everything\ is|very|really|so|just)\ )*
      (?:{_PRAISE_WORD}|helpful|set)(?:\ (?:now|stuff|news|job|work|{_WHAT_WE_GAVE}))?
    | (?:you\ are|youre|you\ guys\ are)\ (?:the\ best|a\ star|{_PRAISE_WORD})
    | (?:best|kind|warm)\ (?:regards|wishes) | regards | yes | yep | ok | okay | alright | and | all\ the\ best
    """,
    re.VERBOSE,
)
_APOSTROPHE: Final = re.compile("['\u2019`]")
_BETWEEN_PHRASES: Final = re.compile("[\\s.,!;:\\-\u2013\u2014()]+")
_HAPPY_PICTOGRAM: Final = re.compile(
    "[\u263a\u2665\u2705\u2714\u2728\u2764\ufe0f\u200d\U0001f3fb-\U0001f3ff\U0001f389\U0001f44b-\U0001f44d\U0001f44f"
    "\U0001f495-\U0001f49c\U0001f600-\U0001f60a\U0001f60d\U0001f618\U0001f642\U0001f64c\U0001f64f\U0001f917\U0001f970]"
)


def is_closing_thanks(text: str) -> bool:
    """Whether the text does nothing but thank, take leave or say that it is solved."""
    if len(text) > _LONGEST:
        return False
    spoken = _APOSTROPHE.sub("", _HAPPY_PICTOGRAM.sub(" ", text).lower())
    remaining = _BETWEEN_PHRASES.sub(" ", spoken).strip()
    takes_leave = False
    while remaining:
        leave_taking = _leading(_LEAVE_TAKING, remaining)
        phrase = max(leave_taking, _leading(_ACCOMPANIMENT, remaining), key=len)
        if not phrase:
            return False
        takes_leave = takes_leave or phrase == leave_taking
        remaining = remaining[len(phrase) :].lstrip()
    return takes_leave


def _leading(phrase: re.Pattern[str], text: str) -> str:
    """The phrase the text begins with, empty unless it ends at a word's end."""
    found = phrase.match(text)
    if found is None or text[found.end() : found.end() + 1].strip():
        return ""
    return found.group().rstrip()
