from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from domain.routing.success import Resolution, SuccessLearner, SuccessPrior

AT = datetime(2026, 1, 1, tzinfo=UTC)

histories = st.lists(
    st.builds(
        Resolution,
        agent_id=st.sampled_from(("ann", "bob", "cat")),
        intent=st.sampled_from((None, "billing", "loans")),
        product=st.sampled_from((None, "card")),
        segment=st.sampled_from(("gold", "")),
        channel=st.sampled_from(("email", "voice")),
        resolved=st.booleans(),
        at=st.just(AT),
    ),
    max_size=60,
)


@given(histories)
def test_every_estimate_is_a_probability(history: list[Resolution]) -> None:
    learner = SuccessLearner()
    learner.learn_all(history)
    model = learner.model()
    for agent in ("ann", "dan"):
        estimate = model.probability(agent, "billing", "card", "gold", "voice")
        assert 0 < estimate.value < 1
        assert 0 < estimate.team < 1
        assert 0 <= estimate.deviation <= 0.5


@given(histories, st.integers(0, 3), st.integers(0, 3))
def test_few_cases_stay_near_the_teams_estimate(history: list[Resolution], won: int, lost: int) -> None:
    learner = SuccessLearner(SuccessPrior(level_strength=20))
    learner.learn_all(history)
    learner.learn_all(Resolution("new", "billing", None, "", "email", at < won, AT) for at in range(won + lost))
    estimate = learner.model().probability("new", "billing", None, "", "email")
    if won == lost == 0:
        assert abs(estimate.value - estimate.team) < 1e-12
    # Three levels of an agent speak, each worth at least six cases of the level above.
    unmoved = (6 / (6 + won + lost)) ** 3
    assert abs(estimate.value - estimate.team) <= 1 - unmoved + 1e-9
