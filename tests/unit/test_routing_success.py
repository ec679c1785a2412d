from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from domain.routing.calibration import calibration
from domain.routing.success import Resolution, SuccessLearner, SuccessPrior

START = datetime(2026, 1, 1, tzinfo=UTC)


def outcomes(agent_id: str, resolved: int, failed: int, *, intent: str = "billing") -> list[Resolution]:
    """Successes and failures evenly mixed, as they come in life."""
    count = resolved + failed
    return [
        Resolution(
            agent_id,
            intent,
            None,
            "gold",
            "email",
            (at + 1) * resolved // count > at * resolved // count,
            START + timedelta(minutes=at),
        )
        for at in range(count)
    ]


def learned(*resolutions: list[Resolution]) -> SuccessLearner:
    """The agents' cases in turns, and not one agent after the other."""
    learner = SuccessLearner(SuccessPrior(half_life=None))
    learner.learn_all(sorted((one for some in resolutions for one in some), key=lambda one: (one.at, one.agent_id)))
    return learner


TEAM = [outcomes(f"agent-{at}", 70 + at % 3, 30 - at % 3) for at in range(10)]


def test_an_agent_without_cases_has_the_teams_estimate() -> None:
    estimate = learned(*TEAM).model().probability("new", "billing", None, "gold", "email")
    assert estimate.value == pytest.approx(estimate.team)
    assert estimate.team == pytest.approx(0.71, abs=0.03)
    assert estimate.cases == 0


def test_three_successes_make_no_star_and_three_hundred_do() -> None:
    few = learned(*TEAM, outcomes("ann", 3, 0)).model().probability("ann", "billing", None, "gold", "email")
    many = learned(*TEAM, outcomes("ann", 295, 5)).model().probability("ann", "billing", None, "gold", "email")
    assert few.value - few.team < 0.12
    assert many.value > 0.9
    assert many.deviation < few.deviation


VARIED = [outcomes(f"agent-{at}", 40 + 5 * at, 60 - 5 * at) for at in range(10)]


@pytest.mark.parametrize(("team", "most"), [(TEAM, 0.08), (VARIED, 0.16)])
def test_two_failures_condemn_nobody(team: list[list[Resolution]], most: float) -> None:
    """Not even on a team whose agents really differ, from 40 % to 85 %."""
    few = learned(*team, outcomes("ann", 0, 2)).model().probability("ann", "billing", None, "gold", "email")
    assert 0 < few.team - few.value < most


def test_an_unknown_intent_falls_back_to_what_is_known_of_the_agent_elsewhere() -> None:
    model = learned(*TEAM, outcomes("ann", 190, 10)).model()
    assert model.probability("ann", "never seen", None, "gold", "email").value > 0.75


def test_with_nothing_learned_the_prior_answers() -> None:
    assert SuccessLearner().model().probability("ann", "billing", None, "gold", "email").value == pytest.approx(0.7)


def test_an_easy_mix_of_cases_makes_nobody_better() -> None:
    easy = [outcomes(f"agent-{at}", 95, 5, intent="easy") for at in range(6)]
    hard = [outcomes(f"agent-{at}", 30, 70, intent="hard") for at in range(6)]
    only_easy = outcomes("lucky", 95, 5, intent="easy")
    model = learned(*easy, *hard, only_easy).model()
    lucky = model.probability("lucky", "hard", None, "gold", "email")
    assert lucky.value == pytest.approx(lucky.team, abs=0.06)


def test_the_state_read_back_answers_and_learns_the_same() -> None:
    one = learned(*TEAM)
    two = SuccessLearner.from_state(one.state)
    for learner in (one, two):
        learner.learn_all(outcomes("ann", 5, 1))
    assert one.state == two.state
    assert one.model().version == two.model().version


def test_a_model_is_not_changed_by_later_learning() -> None:
    learner = learned(*TEAM)
    model = learner.model()
    before = model.probability("agent-1", "billing", None, "gold", "email")
    learner.learn_all(outcomes("agent-1", 0, 500))
    assert model.probability("agent-1", "billing", None, "gold", "email") == before


def test_the_row_of_many_agents_is_the_same_as_one_by_one() -> None:
    model = learned(*TEAM).model()
    ids = ["agent-3", "nobody", "agent-0"]
    values, deviations = model.probabilities(ids, "billing", None, "gold", "email")
    singles = [model.probability(one, "billing", None, "gold", "email") for one in ids]
    assert values.tolist() == [one.value for one in singles]
    assert deviations.tolist() == [one.deviation for one in singles]


def test_old_cases_fade() -> None:
    learner = SuccessLearner(SuccessPrior(half_life=timedelta(days=30)))
    learner.learn_all(outcomes("ann", 0, 200))
    later = START + timedelta(days=300)
    learner.learn_all(Resolution("ann", "billing", None, "gold", "email", True, later) for _ in range(200))
    assert learner.model().probability("ann", "billing", None, "gold", "email").value > 0.9


def test_calibration_measures_what_it_says() -> None:
    rng = np.random.default_rng(4)
    probability = rng.random(20_000)
    honest = calibration(probability.tolist(), (rng.random(20_000) < probability).tolist())
    boastful = calibration(np.sqrt(probability).tolist(), (rng.random(20_000) < probability).tolist())
    assert honest is not None
    assert boastful is not None
    assert honest.expected_error < 0.02 < boastful.expected_error
    assert honest.brier < boastful.brier
    assert honest.brier == pytest.approx(1 / 6, abs=0.01)
    assert calibration([], []) is None
