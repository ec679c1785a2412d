"""What a customer wants, how they feel, and which skills that asks for.

The predicted intent decides where a case goes, not the channel and not the words of a menu. A prediction that is not
sure enough goes to people whose skill is triage: `profile_for` is that rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

LOWEST_LEVEL: Final = 1
HIGHEST_LEVEL: Final = 5

OUT_OF_SCOPE: Final = "out_of_scope"
"""The intent of everything that is no business of customer support: spam, small talk, a wrong address."""

TRIAGE: Final = "triage"
"""The skill, and the profile, of a case whose intent nobody is sure of."""

HARD_COMPLEXITY: Final = 4
"""From this complexity on a case is hard: several in a row wear a person out."""

DEFAULT_CONFIDENCE_THRESHOLD: Final = 0.5
"""Probability below which a person decides what the customer wants."""


@dataclass(frozen=True, slots=True)
class IntentPrediction:
    """One message's intent with calibrated probabilities.

    `intent` is None when the model has nothing to say (an empty text). `confidence` is the probability (0 to 1) that
    `intent` is right; `alternatives` are the next best intents with theirs, most likely first.
    """

    intent: str | None
    confidence: float
    alternatives: tuple[tuple[str, float], ...]
    model_version: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence is a probability, not {self.confidence}")


@dataclass(frozen=True, slots=True)
class Sentiment:
    """One message's mood: `score` from -1 (angry) to 1 (delighted), `negative_probability` from 0 to 1, calibrated."""

    score: float
    negative_probability: float
    model_version: str

    def __post_init__(self) -> None:
        if not -1.0 <= self.score <= 1.0:
            raise ValueError(f"a sentiment score lies between -1 and 1, not at {self.score}")
        if not 0.0 <= self.negative_probability <= 1.0:
            raise ValueError(f"negative_probability is a probability, not {self.negative_probability}")


class Triage(NamedTuple):
    """All that is read out of an inbound message before it is routed; `language` is an ISO 639-1 code or None."""

    intent: IntentPrediction
    sentiment: Sentiment
    language: str | None


@dataclass(frozen=True, slots=True)
class Correction:
    """An agent's word against the model's: at `at`, `predicted` was put right to `corrected`."""

    text: str
    predicted: str | None
    corrected: str
    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a correction's time has a zone")
        if not self.corrected:
            raise ValueError("a correction names the right intent")


@dataclass(frozen=True, slots=True)
class IntentProfile:
    """What an intent asks of whoever takes it.

    `required_skills` are pairs of skill and minimum level (1 to 5), the most needed first; widening drops them from the
    end. `complexity` runs from 1 (anyone, at once) to 5 (an expert, with follow-up). `usual_time` is hands-on time.
    """

    intent: str
    required_skills: tuple[tuple[str, int], ...]
    product: str | None
    complexity: int
    usual_time: timedelta

    def __post_init__(self) -> None:
        skills = [skill for skill, _ in self.required_skills]
        if len(set(skills)) != len(skills):
            raise ValueError(f"{self.intent} names a skill twice")
        for skill, level in self.required_skills:
            if not LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
                raise ValueError(f"{self.intent} asks for {skill} at level {level}, outside 1 to 5")
        if not LOWEST_LEVEL <= self.complexity <= HIGHEST_LEVEL:
            raise ValueError(f"{self.intent} has complexity {self.complexity}, outside 1 to 5")
        if self.usual_time <= timedelta(0):
            raise ValueError(f"{self.intent} takes no time")

    @property
    def is_hard(self) -> bool:
        return self.complexity >= HARD_COMPLEXITY


def profile_for(
    prediction: IntentPrediction,
    profiles: Mapping[str, IntentProfile] | None = None,
    threshold: float = DEFAULT_CONFIDENCE_THRESHOLD,
) -> IntentProfile:
    """The predicted intent's profile, or triage's when the prediction is not sure enough or names no known intent."""
    known = PROFILES if profiles is None else profiles
    if prediction.intent is None or prediction.confidence < threshold:
        return TRIAGE_PROFILE
    return known.get(prediction.intent, TRIAGE_PROFILE)


def _profile(intent: str, minutes: int, complexity: int, *required_skills: tuple[str, int]) -> IntentProfile:
    return IntentProfile(
        intent=intent,
        required_skills=required_skills,
        product=None,
        complexity=complexity,
        usual_time=timedelta(minutes=minutes),
    )


TRIAGE_PROFILE: Final = _profile(TRIAGE, 4, 2, (TRIAGE, 1))

_TAXONOMY: Final = (
    # Money
    _profile("billing_question", 8, 2, ("billing", 2)),
    _profile("unexpected_charge", 12, 3, ("billing", 3)),
    _profile("payment_failed", 9, 2, ("billing", 2)),
    _profile("payment_method", 5, 1, ("billing", 1)),
    _profile("refund_request", 10, 3, ("refunds", 2), ("billing", 1)),
    _profile("refund_status", 6, 2, ("refunds", 1)),
    _profile("invoice_request", 4, 1, ("billing", 1)),
    _profile("discount_code", 5, 1, ("sales", 1)),
    _profile("plan_change", 8, 2, ("sales", 2)),
    _profile("cancel_subscription", 12, 3, ("retention", 2), ("billing", 1)),
    # Account
    _profile("login_problem", 8, 2, ("accounts", 2)),
    _profile("password_reset", 4, 1, ("accounts", 1)),
    _profile("two_factor", 10, 3, ("accounts", 3)),
    _profile("account_details", 5, 1, ("accounts", 1)),
    _profile("data_privacy", 20, 4, ("privacy", 3)),
    _profile("fraud_report", 18, 5, ("fraud", 3)),
    # Orders
    _profile("delivery_status", 5, 1, ("orders", 1)),
    _profile("missing_delivery", 12, 3, ("orders", 2)),
    _profile("damaged_item", 9, 2, ("returns", 2), ("orders", 1)),
    _profile("wrong_item", 9, 2, ("returns", 2), ("orders", 1)),
    _profile("return_exchange", 7, 2, ("returns", 1)),
    _profile("change_order", 6, 2, ("orders", 2)),
    _profile("cancel_order", 5, 1, ("orders", 1)),
    _profile("product_question", 7, 2, ("sales", 1)),
    # Technical
    _profile("bug_report", 20, 4, ("technical", 3)),
    _profile("outage", 10, 4, ("technical", 3)),
    # Seeing the customer's screen usually settles a set-up problem, and not everyone may start such a session.
    _profile("setup_help", 18, 3, ("technical", 2), ("screen_share", 1)),
    _profile("integration_api", 25, 5, ("technical", 3), ("integrations", 3)),
    _profile("feature_request", 5, 1, ("technical", 1)),
    # The relationship
    _profile("complaint", 15, 4, ("escalations", 2)),
    _profile("human_agent", 6, 2),
    _profile("greeting", 3, 1),
    _profile("closing", 1, 1),
    _profile(OUT_OF_SCOPE, 2, 1),
)

PROFILES: Final[Mapping[str, IntentProfile]] = MappingProxyType({profile.intent: profile for profile in _TAXONOMY})
"""The taxonomy Baton ships with; an installation may bring its own in the same form."""
