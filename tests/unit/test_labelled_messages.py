"""How well machine mail and last words are told from what people want answered, on a labelled set of our own."""

import tomllib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from channels.email.parse import parse_email
from channels.email.settings import EmailAccount, MailServer
from domain.channels import MessageKind
from domain.closing_thanks import is_closing_thanks

LABELLED = Path(__file__).parent.parent / "labelled"
SERVER = MailServer("mail.lamp.example", 993)
ACCOUNT = EmailAccount("helpdesk", "help@lamp.example", "Help", SERVER, SERVER)
CLOSING: dict[str, dict[str, list[str]]] = tomllib.loads((LABELLED / "closing.toml").read_text(encoding="utf-8"))
MAIL: list[dict[str, str | list[str]]] = tomllib.loads((LABELLED / "machine_mail.toml").read_text(encoding="utf-8"))[
    "mail"
]


class Judged(NamedTuple):
    """How often something was there and how often it was said to be; `right` counts both at once."""

    right: int
    said: int
    there: int

    @property
    def precision(self) -> float:
        return self.right / self.said

    @property
    def recall(self) -> float:
        return self.right / self.there


def judged(cases: Iterable[tuple[bool, bool]]) -> Judged:
    """Judge pairs of what is true and what was said."""
    pairs = list(cases)
    return Judged(
        sum(there and said for there, said in pairs),
        sum(said for _, said in pairs),
        sum(there for there, _ in pairs),
    )


def last_words(languages: Iterable[str], say: Callable[[str], bool]) -> Judged:
    return judged(
        (label == "done", say(text))
        for language in languages
        for label, texts in CLOSING[language].items()
        for text in texts
    )


def kind_of(mail: dict[str, str | list[str]]) -> MessageKind:
    head = [str(line) for line in mail["head"]]
    if not any(line.startswith("From:") for line in head):
        head.append("From: Ada <ada@cust.example>")
    raw = "\r\n".join([*head, "Content-Type: text/plain; charset=utf-8", "", str(mail["text"])])
    return parse_email(raw.encode(), ACCOUNT, datetime(2026, 3, 4, tzinfo=UTC)).kind


def test_the_set_is_large_and_in_several_languages() -> None:
    cases = sum(len(texts) for labels in CLOSING.values() for texts in labels.values()) + len(MAIL)
    assert cases >= 150
    assert len(CLOSING) >= 7


def test_last_words_are_told_from_wishes() -> None:
    for language in CLOSING:
        found = last_words([language], is_closing_thanks)
        print(f"{language}: precision {found.precision:.2f}, recall {found.recall:.2f} of {found.there}")  # noqa: T201
        assert found.recall >= 0.8, language
    whole = last_words(CLOSING, is_closing_thanks)
    print(f"closing thanks: precision {whole.precision:.3f}, recall {whole.recall:.3f} of {whole.there}")  # noqa: T201
    # A missed farewell costs an agent a glance, a false one leaves a customer unanswered.
    assert whole.precision >= 0.99
    assert whole.recall >= 0.85


@pytest.mark.parametrize(
    ("kind", "precision", "recall"), [(MessageKind.AUTO_REPLY, 1.0, 0.9), (MessageKind.BOUNCE, 1.0, 1.0)]
)
def test_machine_mail_is_told_from_peoples(kind: MessageKind, precision: float, recall: float) -> None:
    found = judged((mail["kind"] == kind.value, kind_of(mail) is kind) for mail in MAIL)
    print(f"{kind}: precision {found.precision:.3f}, recall {found.recall:.3f} of {found.there}")  # noqa: T201
    assert found.precision >= precision
    assert found.recall >= recall
