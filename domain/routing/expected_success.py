"""P(success) of agents whom nobody has seen at work yet, where an admin has said what to expect of them."""

from collections.abc import Mapping, Sequence
from typing import Final

from domain.routing.model import Floats, SuccessEstimate, SuccessModel

EXPECTATION_CASES: Final = 20.0
"""How many cases of its own an expectation is worth: with as many, it and what was learned count the same."""


class WithExpectations:
    """A success model in which the expectation stands in for the team's estimate until the agent's own cases speak."""

    def __init__(self, learned: SuccessModel, expected: Mapping[str, float]) -> None:
        self._learned = learned
        self._expected = expected

    @property
    def version(self) -> str:
        return self._learned.version

    def probability(
        self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str
    ) -> SuccessEstimate:
        estimate = self._learned.probability(agent_id, intent, product, segment, channel)
        expected = self._expected.get(agent_id)
        if expected is None:
            return estimate
        value = (estimate.cases * estimate.value + EXPECTATION_CASES * expected) / (estimate.cases + EXPECTATION_CASES)
        return SuccessEstimate(value, estimate.team, estimate.cases, estimate.deviation)

    def probabilities(
        self, agent_ids: Sequence[str], intent: str | None, product: str | None, segment: str, channel: str
    ) -> tuple[Floats, Floats]:
        values, deviations = self._learned.probabilities(agent_ids, intent, product, segment, channel)
        concerned = [at for at, agent_id in enumerate(agent_ids) if agent_id in self._expected]
        if concerned:
            values = values.copy()
            for at in concerned:
                values[at] = self.probability(agent_ids[at], intent, product, segment, channel).value
        return values, deviations
