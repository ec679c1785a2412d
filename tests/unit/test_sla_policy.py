from datetime import timedelta

import msgspec
import pytest

from domain.sla.policy import (
    AppliesTo,
    Metric,
    PauseReason,
    PolicyId,
    SlaPolicy,
    SlaTargets,
    SlaTerms,
    choose_policy,
)

HOUR = timedelta(hours=1)


def policy(name: str, applies_to: AppliesTo | None = None, *, rank: int = 0) -> SlaPolicy:
    return SlaPolicy(
        id=PolicyId(name),
        version=1,
        name=name,
        applies_to=applies_to or AppliesTo(),
        targets=SlaTargets(first_response=HOUR),
        rank=rank,
    )


def chosen(*policies: SlaPolicy, segment: str | None = "gold", intent: str | None = "refund_request") -> str | None:
    forward = choose_policy(policies, segment, "email", intent)
    assert choose_policy(reversed(policies), segment, "email", intent) == forward
    return None if forward is None else forward.name


def test_no_policy_is_chosen_when_none_is_meant() -> None:
    assert chosen(policy("chat", AppliesTo(channels=("web_chat",)))) is None
    assert chosen() is None


def test_the_policy_naming_most_wins_over_its_rank() -> None:
    general = policy("general", rank=-5)
    gold = policy("gold", AppliesTo(segments=("gold", "platinum")), rank=9)
    gold_email = policy("gold email", AppliesTo(segments=("gold",), channels=("email",)), rank=99)
    assert chosen(general, gold) == "gold"
    assert chosen(general, gold, gold_email) == "gold email"


def test_among_equally_specific_policies_the_lower_rank_then_the_smaller_id_wins() -> None:
    by_channel = policy("b", AppliesTo(channels=("email",)), rank=1)
    by_segment = policy("c", AppliesTo(segments=("gold",)), rank=2)
    twin = policy("a", AppliesTo(intents=("refund_request",)), rank=1)
    assert chosen(by_channel, by_segment) == "b"
    assert chosen(by_channel, by_segment, twin) == "a"


def test_an_unknown_intent_or_segment_is_only_meant_by_a_policy_for_any() -> None:
    specific = policy("refunds", AppliesTo(intents=("refund_request",)))
    gold = policy("gold", AppliesTo(segments=("gold",)))
    assert chosen(specific, gold, policy("any"), segment=None, intent=None) == "any"


def test_a_conversation_carries_the_policy_as_it_was_chosen() -> None:
    terms = policy("gold").terms()
    assert terms == SlaTerms(PolicyId("gold"), 1, SlaTargets(first_response=HOUR))
    assert terms.pauses_on(PauseReason.ON_HOLD)
    assert msgspec.json.decode(msgspec.json.encode(terms), type=SlaTerms) == terms


def test_each_metric_has_its_own_target() -> None:
    targets = SlaTargets(first_response=HOUR, next_response=2 * HOUR, resolution=3 * HOUR, owner_silence=4 * HOUR)
    assert [targets.for_metric(metric) for metric in Metric] == [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]


def test_a_target_of_nothing_and_a_warning_outside_the_target_are_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        SlaTargets(resolution=timedelta(0))
    with pytest.raises(ValueError, match="warning"):
        SlaTerms(PolicyId("p"), 1, SlaTargets(), warn_fraction=1.0)
