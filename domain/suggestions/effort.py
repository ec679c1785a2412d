"""The effort survey's answer: CES 2.0, from 1 (hard) to 7 (easy); words are not guessed."""

import re
from typing import Final

_SCORE: Final = re.compile(r"\s*([1-7])\s*(?:/\s*7)?\s*[.!]?\s*")


def read_score(text: str) -> int | None:
    """Return the score a whole text consists of, "6" or "6/7"; None for anything else."""
    found = _SCORE.fullmatch(text)
    return int(found[1]) if found else None
