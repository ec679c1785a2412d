"""A customer's answer to a suggestion, read from one word; what is longer is for a person to read.

A word of a channel ("video") accepts the suggestion of that channel. A plain yes or no counts only as the very next
thing said after it, which the conversation judges: an agent may have asked something meanwhile.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Final

from domain.channels import Channel

_LONGEST: Final = 40


class AnswerWord(StrEnum):
    YES = "yes"
    NO = "no"
    VIDEO = "video"
    VOICE = "voice"
    EMAIL = "email"

    @property
    def channel(self) -> Channel | None:
        return Channel(self.value) if self in {AnswerWord.VIDEO, AnswerWord.VOICE, AnswerWord.EMAIL} else None


_WORDS: Final = {
    AnswerWord.YES: frozenset(
        {"yes", "yes i would", "yep", "yeah", "y", "sure", "ok", "okay", "ja", "ja gerne", "gerne", "jo", "oui"}
        | {"d accord", "volontiers", "si", "claro", "vale", "sim", "evet", "va bene", "certo", "graag", "da"}
    ),
    AnswerWord.NO: frozenset(
        {"no", "nope", "n", "rather not", "nein", "lieber nicht", "non", "nao", "nie", "hayir", "nee", "nej", "ne"}
    ),
    AnswerWord.VIDEO: frozenset({"video", "video call", "videoanruf", "appel video", "videollamada", "videochat"}),
    AnswerWord.VOICE: frozenset(
        {"call", "call me", "callback", "call back", "phone", "anruf", "ruckruf", "telefon", "appel", "rappel"}
        | {"telephone", "llamada", "telefono"}
    ),
    AnswerWord.EMAIL: frozenset({"email", "e mail", "mail", "correo", "courriel", "posta"}),
}
_POLITE: Final = re.compile(
    r"\b(please|thanks|thank you|thx|bitte|danke|merci|s il vous plait|svp|por favor|gracias|per favore|grazie)\b"
)
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


def read_answer(text: str) -> AnswerWord | None:
    """Return the one word the text says, whatever its case, accents, punctuation and politeness."""
    if len(text) > _LONGEST:
        return None
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    said = _BETWEEN.sub(" ", _POLITE.sub(" ", _BETWEEN.sub(" ", plain))).strip()
    return next((answer for answer, words in _WORDS.items() if said in words), None)
