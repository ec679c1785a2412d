"""What past cases teach: within what was seen, shrunk where little was, and the same in whatever order."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.routing.experience import NOTHING_EXPERIENCED, Experience, PastCase

USUAL = timedelta(minutes=8)


def past(
    seconds: int | None, agent: str | None = None, customer: str | None = None, *, intent: str = "bill", wait: int = 30
) -> PastCase:
    work = None if seconds is None else timedelta(seconds=seconds)
    return PastCase("voice", intent, customer, timedelta(seconds=wait), work, agent)


names = st.one_of(st.none(), st.sampled_from("abc"))
past_cases = st.builds(
    past,
    st.one_of(st.none(), st.integers(1, 7_000)),
    names,
    names,
    intent=st.sampled_from(("bill", "card")),
    wait=st.integers(0, 600),
)


def told(experience: Experience) -> list[object]:
    works = [
        experience.work("voice", intent, one, USUAL) for intent in ("bill", "card", "new") for one in (None, *"abc")
    ]
    patience = [experience.patience("voice", intent) for intent in ("bill", "card", "new")]
    return [*works, *patience, *(pytest.approx(experience.pace(one)) for one in "abc")]


@given(st.lists(past_cases, max_size=40), st.randoms())
def test_the_order_of_the_past_does_not_matter(cases: list[PastCase], random) -> None:  # noqa: ANN001 - Hypothesis's own
    shuffled = [*cases]
    random.shuffle(shuffled)
    assert told(Experience.of(cases)) == told(Experience.of(shuffled))


@given(st.lists(past_cases, min_size=1, max_size=40))
def test_what_is_expected_lies_between_the_usual_and_what_was_seen(cases: list[PastCase]) -> None:
    experience = Experience.of(cases)
    for intent in ("bill", "card"):
        seen = [case.work for case in cases if case.work is not None and case.intent == intent]
        expected = experience.work("voice", intent, None, USUAL)
        assert expected is not None
        assert min([USUAL, *seen]) - timedelta(seconds=1) <= expected <= max([USUAL, *seen]) + timedelta(seconds=1)


@given(st.lists(st.integers(1, 7_000), min_size=1, max_size=5), st.integers(0, 5))
def test_a_few_cases_of_an_agent_move_their_pace_little(own: list[int], extra: int) -> None:
    everybody = [past(300, f"other-{at}") for at in range(50 + extra)]
    pace = Experience.of([*everybody, *(past(seconds, "a") for seconds in own)]).pace("a")
    assert abs(pace - 1.0) < 24 * len(own) / (50 + len(own))
    assert pace > 0


def test_who_takes_twice_as_long_on_the_same_kinds_is_known_to_after_many() -> None:
    quick = [past(60, "quick", intent="bill") for _ in range(300)] + [
        past(600, "quick", intent="card") for _ in range(9)
    ]
    slow = [past(120, "slow", intent="bill") for _ in range(300)]
    experience = Experience.of([*quick, *slow])
    assert experience.pace("slow") == pytest.approx(4 / 3, abs=0.06)
    assert experience.pace("quick") == pytest.approx(2 / 3, abs=0.06)
    assert experience.pace("new") == 1.0


def test_a_customer_who_always_talks_long_is_expected_to() -> None:
    experience = Experience.of([*(past(300) for _ in range(200)), *(past(600, customer="a") for _ in range(24))])
    usual, long = (experience.work("voice", "bill", one, timedelta(minutes=5)) for one in (None, "a"))
    assert usual is not None
    assert long is not None
    assert 1.4 < long / usual < 2.0


def test_work_of_an_unknown_kind_is_that_of_its_channel_and_of_an_unknown_channel_nobodys() -> None:
    experience = Experience.of([past(100), past(200)])
    assert experience.work("voice", "new", None, None) == timedelta(seconds=150)
    assert experience.work("video", "new", None, None) is None
    assert NOTHING_EXPERIENCED.work("voice", "bill", "a", USUAL) == USUAL


def test_a_case_left_open_overnight_is_not_taken_for_work() -> None:
    expected = Experience.of([past(16 * 3600)]).work("voice", "bill", None, timedelta(hours=2))
    assert expected == timedelta(hours=2)


def test_patience_is_told_once_some_gave_up_and_of_few_is_near_the_channels() -> None:
    served = [past(100, wait=60) for _ in range(50)]
    assert Experience.of([*served, *(past(None) for _ in range(4))]).patience("voice", "bill") is None
    lost = [past(None, wait=60) for _ in range(50)]
    experience = Experience.of([*served, *lost, past(None, intent="card", wait=0), past(100, intent="card", wait=0)])
    bill, card, new = (experience.patience("voice", intent) for intent in ("bill", "card", "new"))
    assert bill is not None
    assert card is not None
    assert new is not None
    assert bill.total_seconds() == pytest.approx(120, rel=0.05)
    assert 80 < card.total_seconds() < new.total_seconds()
    assert experience.patience("web_chat", "bill") is None
