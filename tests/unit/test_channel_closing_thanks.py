import pytest

from domain.closing_thanks import is_closing_thanks


@pytest.mark.parametrize(
    "text",
    [
        "thanks, bye",
        "That solved it, thank you!",
        "Thanks!",
        "Thank you so much for your quick help 🙏",
        "Great, it works now. Thanks again!",
        "It's working now, thanks a lot. Have a great day!",
        "I really appreciate your help",
        "ok thanks",
        "Bye",
        "All good now, cheers",
        "Thanks and best regards",
        "thank you\n\nthat fixed the problem",
        "ty",
    ],
)
def test_thanks_and_farewells_close(text: str) -> None:
    assert is_closing_thanks(text)


@pytest.mark.parametrize(
    "text",
    [
        "thanks, but it still fails",
        "Thanks. Is it fixed",
        "Thanks?",
        "help me, thanks",
        "reply to me, thanks",
        "problem again, thanks",
        "not solved, thanks",
        "no thanks",
        "thanks for nothing",
        "Thanks 😡",
        "bye 👎",
        "thanks in advance",
        "Thank you for your reply. It is not working",
        "thanks, when will it arrive",
        "all works now except the invoice, thanks",
        "thanks, one more thing",
        "is it working now, thanks",
        "great",
        "it works",
        "",
        "thanks " * 40,
    ],
)
def test_whatever_asks_objects_or_says_no_thanks_is_a_message(text: str) -> None:
    assert not is_closing_thanks(text)
