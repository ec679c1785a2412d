"""Everything a worker reads out of an inbound message, in one call."""

import re
from typing import Final

from domain.intents import Triage
from intelligence.intent_model import LinearIntentModel
from intelligence.language_detector import LanguageDetector
from intelligence.model_store import CurrentModel, ModelKind, ModelStore
from intelligence.sentiment_model import LexiconAndWordsModel

_REPLY_MARKS: Final = re.compile(
    r"^\s*(?:(?:re|aw|antw|wg|fwd?|fw|tr|rv|rép|rif)\s*(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE
)


class MessageTriage:
    """Reads messages with a store's current models, and with newer ones as soon as they are published."""

    def __init__(self, store: ModelStore) -> None:
        self._intents = CurrentModel(store, ModelKind.INTENT, LinearIntentModel.from_arrays)
        self._sentiment = CurrentModel(store, ModelKind.SENTIMENT, LexiconAndWordsModel.from_arrays)
        self._language = CurrentModel(
            store, ModelKind.LANGUAGE, lambda arrays, _version: LanguageDetector.from_arrays(arrays)
        )

    def triage(self, text: str, subject: str | None = None) -> Triage:
        """What the customer wants, how they feel, and their language; a subject is read as the first line.

        Raises:
            ModelRefused: a kind of model was never published.
        """
        message = _with_subject(text, subject)
        detector = self._language.get()
        return Triage(
            intent=self._intents.get().predict([message])[0],
            sentiment=self._sentiment.get().predict([message])[0],
            language=detector.language_of(text) or detector.language_of(message),
        )


def _with_subject(text: str, subject: str | None) -> str:
    heading = _REPLY_MARKS.sub("", subject or "").strip()
    if not heading or text.lstrip().lower().startswith(heading.lower()):
        return text
    return f"{heading}\n{text}"
