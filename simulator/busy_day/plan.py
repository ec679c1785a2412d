"""A busy day written down before it begins: who works, who writes when, on what, and what goes wrong on purpose.

Everything is drawn from one seed, in human time; how fast it is played is decided elsewhere. The mishaps that a day
must show do not depend on luck: each is given to a customer of its own, and only the rest is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Final

from domain.channels import Channel
from domain.intents import HIGHEST_LEVEL, PROFILES, TRIAGE
from simulator.busy_day.lines import (
    COMING_BACK,
    FOLLOW_UPS,
    FROM_ANOTHER_PHONE,
    ON_ANOTHER_CHANNEL,
    ON_THE_PHONE,
    OPENING_LINES,
    THANKS,
)

MAIL_DOMAIN: Final = "customers.example"
SEGMENTS: Final = ("standard", "standard", "standard", "silver", "silver", "gold", "platinum")
MOST_AGENTS: Final = 12
FEWEST_AGENTS: Final = 8
CONVERSATIONS_AN_AGENT: Final = 20
MEAN_GAP: Final = timedelta(seconds=24)
LONGEST_LINE: Final = 2_000
SHARE_OF_MISHAPS: Final = 0.06
SHARE_LED_TO_VIDEO: Final = 0.06
SHARE_THAT_SCORES: Final = 0.5
DOUBLES: Final = 1
"""The customer who writes on two channels at once and calls too."""
SHOWS_REACTION: Final = range(3, 6)
"""The customers who show one reaction to a suggestion each."""
STRAYS: Final = 6
"""The customer who also writes from a telephone that nobody knows to be theirs."""

_FIRST_NAMES: Final = ("Mia", "Noah", "Aylin", "Ben", "Chloe", "Dario", "Eva", "Femi", "Grace", "Hugo", "Ines", "Jonas")
_LAST_NAMES: Final = ("Adler", "Brandt", "Costa", "Dubois", "Eriksen", "Fuchs", "Greco", "Haas", "Ivanov", "Jansen")
_AGENT_NAMES: Final = (
    "Alex Moreau",
    "Bo Lindqvist",
    "Cem Aydin",
    "Dana Whitfield",
    "Elif Kaya",
    "Farid Nasser",
    "Gina Rossi",
    "Hanna Vogel",
    "Ivo Petrov",
    "Jana Novak",
    "Kofi Mensah",
    "Lena Sandberg",
)


class Mishap(StrEnum):
    """What the floor does wrong, once, to a conversation; then it is treated like any other."""

    NONE = "none"
    OFFER_IGNORED = "offer_ignored"
    """The agent looks away until the offer has timed out, and then accepts too late."""
    OFFER_DECLINED = "offer_declined"
    OWNER_SILENT = "owner_silent"
    """The agent accepts and says nothing until the conversation is given to somebody else."""


class Reaction(StrEnum):
    """What a customer does when an agent suggests a video call."""

    ACCEPTS = "accepts"
    DECLINES = "declines"
    IGNORES = "ignores"


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    name: str
    skills: tuple[tuple[str, int], ...]
    break_at: timedelta | None
    """When they go away from the desk, counted from the beginning of the day."""
    break_for: timedelta


@dataclass(frozen=True, slots=True)
class Line:
    """One message, written `after` the moment its turn has come."""

    channel: Channel
    text: str
    after: timedelta
    sent_twice: bool = False


@dataclass(frozen=True, slots=True)
class PlannedCustomer:
    """The opening comes at `opening.after` from the beginning of the day; each later line waits for its cause."""

    number: int
    name: str
    segment: str
    opening: Line
    elsewhere: Line | None
    """Written on a second channel while the conversation is open, by some at once."""
    call: Line | None
    """What an operator noted when the customer called about it too."""
    stray: Line | None
    """Written right after the opening, from a telephone that nobody knows to be theirs."""
    follow_ups: tuple[Line, ...]
    """Each the answer to an agent's message."""
    thanks: Line | None
    comes_back: Line | None
    """Written after the conversation was resolved."""
    mishap: Mishap
    led_to_video: Reaction | None = None
    """They are suggested a video call, and do this."""
    score: int | None = None
    """What they answer when they are asked how easy it was."""

    @property
    def email(self) -> str:
        return f"{self.name.lower().replace(' ', '.')}.{self.number}@{MAIL_DOMAIN}"

    @property
    def phone(self) -> str:
        return f"+4915112{self.number:06d}"

    @property
    def other_phone(self) -> str:
        return f"+4915990{self.number:06d}"

    @property
    def site_user(self) -> str:
        return f"user:{self.number}"

    def address(self, channel: Channel) -> str:
        """Where this customer writes from on a channel."""
        if channel is Channel.EMAIL:
            return self.email
        return self.site_user if channel is Channel.WEB_CHAT else self.phone


@dataclass(frozen=True, slots=True)
class DayPlan:
    agents: tuple[PlannedAgent, ...]
    customers: tuple[PlannedCustomer, ...]


def plan_day(seed: int, conversations: int, utterances: Sequence[str] = ()) -> DayPlan:
    """The whole day; `utterances`, when given, are what customers open with, in a drawn order.

    Raises:
        ValueError: a day without conversations.
    """
    if conversations < 1:
        raise ValueError("a busy day has at least one conversation")
    random = Random(seed)
    openings = _openings(random, conversations, utterances)
    agents = _agents(random, conversations)
    customers: list[PlannedCustomer] = []
    at = timedelta(0)
    for number, text in enumerate(openings):
        customers.append(_customer(random, number, text, at))
        at += MEAN_GAP * random.expovariate(1)
    return DayPlan(agents, tuple(customers))


def _openings(random: Random, conversations: int, utterances: Sequence[str]) -> list[str]:
    said = [line.strip()[:LONGEST_LINE] for line in utterances if line.strip()]
    pool = said or [line for lines in OPENING_LINES.values() for line in lines]
    rounds = -(-conversations // len(pool))
    drawn = [line for _ in range(rounds) for line in random.sample(pool, len(pool))]
    return drawn[:conversations]


def _agents(random: Random, conversations: int) -> tuple[PlannedAgent, ...]:
    """Every skill is held by several people, two of them masters of it, so that no question is left to nobody."""
    count = min(MOST_AGENTS, max(FEWEST_AGENTS, conversations // CONVERSATIONS_AN_AGENT))
    needed = sorted({skill for profile in PROFILES.values() for skill, _ in profile.required_skills} | {TRIAGE})
    held: list[dict[str, int]] = [{TRIAGE: 3} for _ in range(count)]
    for skill in needed:
        for rank, agent in enumerate(random.sample(range(count), k=count // 2)):
            held[agent][skill] = HIGHEST_LEVEL if rank < 2 else random.randint(2, 4)  # noqa: PLR2004 -- two masters
    breaks = random.sample(range(count), k=2)
    return tuple(
        PlannedAgent(
            name=_AGENT_NAMES[position],
            skills=tuple(sorted(skills.items())),
            break_at=timedelta(minutes=random.uniform(2, 8)) if position in breaks else None,
            break_for=timedelta(minutes=random.uniform(2, 4)),
        )
        for position, skills in enumerate(held)
    )


def _customer(random: Random, number: int, opening: str, at: timedelta) -> PlannedCustomer:
    # The first few customers carry what every day must show; their channels are such that agents must accept by hand.
    must_show = (Mishap.OFFER_IGNORED, Mishap.OFFER_DECLINED, Mishap.OWNER_SILENT)
    is_unlucky = number < len(must_show) or (
        random.random() < SHARE_OF_MISHAPS and number not in {*SHOWS_REACTION, STRAYS}
    )
    mishap = must_show[number % len(must_show)] if is_unlucky else Mishap.NONE
    by_hand = (Channel.WEB_CHAT, Channel.SMS, Channel.WHATSAPP)
    # A letter is accepted for its agent, and so would what it joins be: with it there is nothing to ignore or decline.
    channels = by_hand if mishap is not Mishap.NONE else (*by_hand, Channel.EMAIL)
    channel = random.choice(by_hand if number == STRAYS else channels)
    others = [other for other in channels if other is not channel]
    led = _reaction(random, number) if mishap is Mishap.NONE and number != STRAYS else None
    if led is not None:
        channel = random.choice(by_hand)
    returns = number == 0 or (random.random() < 0.1 and number != STRAYS)  # noqa: PLR2004 -- a share
    # Who is led to video says nothing else meanwhile, so that a plain no is the answer to that.
    elsewhere = (random.random() < 1 / 3 or number == DOUBLES) and led is None and number != STRAYS
    at_once = number == DOUBLES or random.random() < 0.3  # noqa: PLR2004 -- a share
    calls = elsewhere and (number == DOUBLES or random.random() < 0.5)  # noqa: PLR2004 -- a share
    # A letter is fetched later than a text message is taken: the agent is to find the stray one the younger.
    can_stray = mishap is Mishap.NONE and channel is not Channel.EMAIL and not elsewhere and not returns and led is None
    strays = can_stray and (number == STRAYS or random.random() < 0.12)  # noqa: PLR2004 -- a share
    return PlannedCustomer(
        number=number,
        name=f"{random.choice(_FIRST_NAMES)} {random.choice(_LAST_NAMES)}",
        segment=random.choice(SEGMENTS),
        opening=Line(channel, opening, at, sent_twice=number in {0, 2} or random.random() < 0.1),  # noqa: PLR2004 -- a share
        elsewhere=Line(
            random.choice(others), random.choice(ON_ANOTHER_CHANNEL), timedelta(0) if at_once else _soon(random)
        )
        if elsewhere
        else None,
        call=Line(Channel.VOICE, random.choice(ON_THE_PHONE), _soon(random)) if calls else None,
        stray=Line(Channel.SMS, random.choice(FROM_ANOTHER_PHONE), timedelta(0)) if strays else None,
        follow_ups=tuple(
            Line(channel, random.choice(FOLLOW_UPS), _soon(random), sent_twice=random.random() < 0.05)  # noqa: PLR2004 -- a share
            for _ in range(0 if led else random.choice((0, 1, 1, 2)))
        ),
        thanks=Line(channel, random.choice(THANKS), _soon(random)) if not strays and random.random() < 0.5 else None,  # noqa: PLR2004 -- a share
        comes_back=Line(channel, random.choice(COMING_BACK), timedelta(minutes=3)) if returns else None,
        mishap=mishap,
        led_to_video=led,
        score=random.choice((3, 4, 5, 6, 6, 7, 7)) if not elsewhere and random.random() < SHARE_THAT_SCORES else None,
    )


def _reaction(random: Random, number: int) -> Reaction | None:
    """The customers after those with mishaps show each reaction once; later ones are drawn."""
    if number in SHOWS_REACTION:
        return tuple(Reaction)[SHOWS_REACTION.index(number)]
    return random.choice(tuple(Reaction)) if random.random() < SHARE_LED_TO_VIDEO else None


def _soon(random: Random) -> timedelta:
    return timedelta(seconds=random.uniform(10, 45))
