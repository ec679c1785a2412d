from collections import Counter

import pytest

from domain.channels import Channel
from domain.closing_thanks import is_closing_thanks
from domain.intents import PROFILES
from simulator.busy_day.lines import (
    COMING_BACK,
    FOLLOW_UPS,
    FROM_ANOTHER_PHONE,
    ON_ANOTHER_CHANNEL,
    ON_THE_PHONE,
    OPENING_LINES,
    THANKS,
)
from simulator.busy_day.plan import Mishap, Reaction, plan_day


def test_the_same_seed_gives_the_same_day() -> None:
    assert plan_day(7, 50) == plan_day(7, 50)
    assert plan_day(7, 50) != plan_day(8, 50)


@pytest.mark.parametrize("seed", range(25))
def test_every_day_shows_each_mishap_a_duplicate_a_return_and_a_second_channel(seed: int) -> None:
    customers = plan_day(seed, 3).customers

    assert {customer.mishap for customer in customers} >= set(Mishap) - {Mishap.NONE}
    assert any(customer.opening.sent_twice for customer in customers)
    assert any(customer.comes_back for customer in customers)
    assert any(customer.elsewhere for customer in customers)


def test_a_conversation_with_a_mishap_comes_on_a_channel_that_agents_accept_by_hand() -> None:
    for customer in plan_day(3, 300).customers:
        written = (customer.opening, customer.elsewhere)
        assert customer.mishap is Mishap.NONE or all(
            line is None or line.channel is not Channel.EMAIL for line in written
        )


def test_about_a_third_of_the_customers_write_on_a_second_channel() -> None:
    customers = plan_day(5, 600).customers
    elsewhere = [customer for customer in customers if customer.elsewhere]

    assert 150 < len(elsewhere) < 250
    assert all(one.elsewhere and one.elsewhere.channel is not one.opening.channel for one in elsewhere)


def test_some_customers_call_too_and_some_write_from_an_unknown_telephone() -> None:
    customers = plan_day(5, 600).customers
    strays = [customer for customer in customers if customer.stray]

    assert all(customer.elsewhere for customer in customers if customer.call)
    assert 40 < sum(customer.call is not None for customer in customers) < 160
    assert 20 < len(strays) < 100
    assert all(not (one.elsewhere or one.comes_back or one.thanks) for one in strays)
    assert {customer.other_phone for customer in customers}.isdisjoint(customer.phone for customer in customers)


def test_a_small_day_has_somebody_who_writes_on_two_channels_at_once_and_calls() -> None:
    elsewhere = plan_day(7, 12).customers[1].elsewhere

    assert elsewhere is not None
    assert not elsewhere.after
    assert plan_day(7, 12).customers[1].call is not None


@pytest.mark.parametrize("seed", range(25))
def test_a_small_day_has_somebody_whom_an_agent_must_find_to_be_a_known_customer(seed: int) -> None:
    assert any(customer.stray for customer in plan_day(seed, 12).customers)


@pytest.mark.parametrize("conversations", [1, 40, 1000])
def test_somebody_on_the_floor_can_take_every_intent(conversations: int) -> None:
    agents = [dict(agent.skills) for agent in plan_day(11, conversations).agents]

    for profile in PROFILES.values():
        needs = dict(profile.required_skills).items()
        for skill, level in needs:
            assert sum(agent.get(skill, 0) >= level for agent in agents) >= 2
    assert 8 <= len(agents) <= 12


def test_customers_speak_the_utterances_they_are_given_and_no_others() -> None:
    plan = plan_day(1, 10, ["How do I pay?", "  ", "Where is it?", "Stop it"])

    said = Counter(customer.opening.text for customer in plan.customers)
    assert set(said) == {"How do I pay?", "Where is it?", "Stop it"}
    assert min(said.values()) == 3


def test_every_intent_that_asks_something_of_us_has_two_lines() -> None:
    assert set(OPENING_LINES) == set(PROFILES) - {"greeting", "closing", "out_of_scope"}
    assert len({line for lines in OPENING_LINES.values() for line in lines}) == 2 * len(OPENING_LINES)


def test_only_thanks_are_taken_for_thanks() -> None:
    wanting = [
        *FOLLOW_UPS,
        *ON_ANOTHER_CHANNEL,
        *ON_THE_PHONE,
        *FROM_ANOTHER_PHONE,
        *COMING_BACK,
        *(line for pair in OPENING_LINES.values() for line in pair),
    ]

    assert all(is_closing_thanks(line) for line in THANKS)
    assert not any(is_closing_thanks(line) for line in wanting)


def test_addresses_of_two_customers_never_meet() -> None:
    customers = plan_day(2, 1000).customers

    for channel in (Channel.EMAIL, Channel.SMS, Channel.WEB_CHAT):
        assert len({customer.address(channel) for customer in customers}) == 1000


def test_a_day_without_conversations_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        plan_day(1, 0)


@pytest.mark.parametrize("seed", range(25))
def test_every_day_of_six_shows_each_reaction_to_a_suggestion(seed: int) -> None:
    customers = plan_day(seed, 6).customers
    led = [one for one in customers if one.led_to_video]
    assert {one.led_to_video for one in led} == set(Reaction)
    assert all(one.elsewhere is None and not one.follow_ups for one in led)
    assert all(one.opening.channel is not Channel.EMAIL for one in led)


def test_who_is_asked_how_easy_it_was_answers_on_the_channel_they_wrote_on_last() -> None:
    scoring = [one for one in plan_day(9, 300).customers if one.score is not None]
    assert len(scoring) > 50
    assert all(one.elsewhere is None for one in scoring)
