from datetime import UTC, datetime, timedelta

import pytest

from domain.intents import (
    PROFILES,
    TRIAGE_PROFILE,
    Correction,
    IntentPrediction,
    IntentProfile,
    Sentiment,
    profile_for,
)


def prediction(intent: str | None, confidence: float) -> IntentPrediction:
    return IntentPrediction(intent=intent, confidence=confidence, alternatives=(), model_version="v1")


def test_a_sure_prediction_asks_for_its_own_skills() -> None:
    assert profile_for(prediction("refund_request", 0.9)).required_skills == (("refunds", 2), ("billing", 1))


@pytest.mark.parametrize(
    "unsure",
    [prediction("refund_request", 0.2), prediction(None, 0.0), prediction("an_intent_of_another_taxonomy", 1.0)],
)
def test_whatever_is_not_sure_goes_to_triage(unsure: IntentPrediction) -> None:
    assert profile_for(unsure) is TRIAGE_PROFILE


def test_an_installation_brings_its_own_taxonomy() -> None:
    solar = IntentProfile("inverter_fault", (("solar", 2),), "inverter", 3, timedelta(minutes=15))
    assert profile_for(prediction("inverter_fault", 0.7), {"inverter_fault": solar}) is solar
    assert profile_for(prediction("refund_request", 0.7), {"inverter_fault": solar}) is TRIAGE_PROFILE


def test_the_taxonomy_names_every_intent_once() -> None:
    assert len(PROFILES) == 34
    assert all(intent == profile.intent for intent, profile in PROFILES.items())


def test_a_profile_with_an_impossible_level_is_refused() -> None:
    with pytest.raises(ValueError, match="level 6"):
        IntentProfile("x", (("billing", 6),), None, 1, timedelta(minutes=1))
    with pytest.raises(ValueError, match="twice"):
        IntentProfile("x", (("billing", 1), ("billing", 2)), None, 1, timedelta(minutes=1))
    with pytest.raises(ValueError, match="complexity"):
        IntentProfile("x", (), None, 0, timedelta(minutes=1))
    with pytest.raises(ValueError, match="no time"):
        IntentProfile("x", (), None, 1, timedelta(0))


def test_probabilities_outside_zero_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        prediction("refund_request", 1.2)
    with pytest.raises(ValueError, match="score"):
        Sentiment(score=-1.5, negative_probability=0.5, model_version="v1")
    with pytest.raises(ValueError, match="probability"):
        Sentiment(score=0.0, negative_probability=-0.1, model_version="v1")


def test_a_correction_without_a_zone_or_an_intent_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Correction("text", None, "refund_request", datetime(2026, 1, 1))  # noqa: DTZ001 - the missing zone is the case
    with pytest.raises(ValueError, match="right intent"):
        Correction("text", None, "", datetime(2026, 1, 1, tzinfo=UTC))
