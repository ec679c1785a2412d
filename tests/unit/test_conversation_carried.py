"""What an older run has carried over is read by a newer one: a field that came later has its default."""

from collections.abc import Iterator

import msgspec

from domain.conversation.state import ConversationState
from domain.sla.policy import DEFAULT_LADDER
from tests.unit.conversation_builders import MINUTE, Conversation

CAME_LATER = {
    "hold_until",
    "escalation",
    "alerts",
    "climbed",
    "rung",
    "rung_at",
    "ladder",
    "owner_until",
    "owner_grace",
}


def without(value: object) -> object:
    if isinstance(value, dict):
        return {key: without(inner) for key, inner in value.items() if key not in CAME_LATER}
    return [without(inner) for inner in value] if isinstance(value, list) else value


def names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner)


def test_a_state_written_before_the_ladder_is_read_and_goes_on() -> None:
    talk = Conversation().queued()
    written: object = msgspec.json.decode(msgspec.json.encode(talk.state))
    assert set(names(written)) >= CAME_LATER
    talk.state = msgspec.convert(without(written), ConversationState)
    assert talk.state.case is not None
    assert talk.state.case.promise is not None
    assert talk.state.case.promise.ladder == DEFAULT_LADDER
    talk.passes(10 * MINUTE)
    assert "sla_breached" in talk.timeline()
