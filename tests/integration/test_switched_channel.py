"""A conversation goes on with its agent on a dearer channel: what it holds of them from then on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.channels import Channel
from domain.conversation import events
from domain.conversation.commands import EndAssignment, Handover, StartAssignment
from domain.conversation.journey import JourneyTerms, SuggestionTerms
from domain.suggestions.advice import Reachable
from storage.database import Database
from storage.ledger.steps import write_step
from storage.violations import violations
from tests.integration.merge_ledger import MergeLedger, now
from tests.integration.merge_shells import PlayedTemporal, Shell
from workers.relay import Relay
from workflows.messages import workflow_id

WAYS = (Reachable(Channel.VIDEO, 100, timedelta(seconds=30), auto_accept=False),)
TERMS = JourneyTerms(SuggestionTerms((), WAYS, 0.2, timedelta(hours=1), 2, timedelta(minutes=15)), None)


@pytest.fixture
def ledger(database: Database) -> MergeLedger:
    return MergeLedger(database)


async def moved_to_video(ledger: MergeLedger, meanwhile: str = "select") -> Shell:
    """A conversation on SMS (25 units) whose agent leads its customer to video (100)."""
    temporal = PlayedTemporal(ledger.database)
    ada = await ledger.says("ada")
    await Relay(ledger.database, temporal).drain()  # type: ignore[arg-type] # as much of a client as the relay calls
    talk = temporal.shells[workflow_id(ada.conversation_id)]
    await talk.take_next()
    assert await talk.advance(events.Claimed("agt_1"))
    assert talk.state.case is not None
    await ledger.sql(meanwhile)
    assert await talk.advance(events.TermsChanged(replace(talk.state.case, journey=TERMS), "video is set up"))
    assert await talk.advance(events.ChannelSuggested("agt_1", Channel.VIDEO, "let me see", by_supervisor=False))
    offered = talk.state.journey.offered
    assert offered is not None
    assert await talk.advance(events.SuggestionAnswered(offered.suggestion_id, accepts=True, at=now()))
    assert talk.state.agent_id == "agt_1"
    return talk


async def held(ledger: MergeLedger) -> list[tuple[object, ...]]:
    return await ledger.sql("select channel, units, how, ended_at is null from assignments order by started_at, id")


async def no_violations(ledger: MergeLedger) -> None:
    async with ledger.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_it_holds_the_units_of_the_dearer_channel_from_then_on(ledger: MergeLedger) -> None:
    await ledger.agent("agt_1")
    talk = await moved_to_video(ledger)
    assert await held(ledger) == [("sms", 25, "claim", False), ("video", 100, "switch", True)]
    assert await ledger.sql("select load from agents") == [(100,)]
    assert await talk.advance(events.Resolved("agt_1", "solved", None, by_supervisor=False))
    assert await ledger.sql("select touches, transfers from resolutions") == [(1, 0)], "nobody new has touched it"
    assert await talk.advance(events.WrapUpEnded("agt_1", by_supervisor=False))
    assert await ledger.sql("select load from agents") == [(0,)]
    await no_violations(ledger)


async def test_a_step_may_begin_a_switch_and_take_the_conversation_away(ledger: MergeLedger) -> None:
    """A call falls due when its promise has long been broken: whoever was silent loses it in the same step."""
    await ledger.agent("agt_1")
    talk = await moved_to_video(ledger)
    state, case = talk.state, talk.state.case
    assert state.assignment is not None
    assert case is not None
    commands = (
        EndAssignment(state.assignment.assignment_id, "channel_changed"),
        StartAssignment("asg_next", "agt_1", None, Handover.SWITCH),
        EndAssignment("asg_next", "sla_breach"),
    )
    async with ledger.database.ledger.connection() as connection:
        await write_step(connection, replace(state, step=state.step + 1), commands, now(), frozenset())
    assert [live for *_, live in await held(ledger)] == [False, False, False]
    assert await ledger.sql("select load from agents") == [(0,)]


@pytest.mark.parametrize(
    "tight",
    [
        "update agents set capacity = 110, load_limit = 110",
        "update agents set capacity = 200, load_limit = 200, channel_ceilings = '{\"video\": 0}'",
        "update agents set capacity = 30, load_limit = 40, channel_ceilings = '{\"sms\": 1}'",
    ],
)
async def test_without_room_for_it_it_goes_on_with_what_it_held(ledger: MergeLedger, tight: str) -> None:
    await ledger.agent("agt_1")
    bea = await ledger.says("bea")
    await ledger.assigned(bea.conversation_id, "agt_1", 15)
    await moved_to_video(ledger, tight)
    assert (await held(ledger))[1:] == [("sms", 25, "claim", False), ("sms", 25, "switch", True)]
    assert await ledger.sql("select load from agents") == [(40,)]
