"""Calls for a supervisor: raised by a conversation's steps, settled when what they are about is over."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.conversation.commands import RaiseAlert
from domain.conversation.projection import project
from domain.conversation.state import ConversationState
from domain.sla.clock import Clock
from domain.sla.policy import Rung
from storage.database import LedgerConnection

_RAISE: Final = """
insert into alerts (id, conversation_id, episode, pool, agent_id, kind, metric, reason, raised_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_SETTLE: Final = """
update alerts set settled_at = %(at)s
where conversation_id = %(conversation)s and settled_at is null and (%(all)s or metric = any(%(metrics)s::text[]))
"""


async def keep_alerts(
    connection: LedgerConnection,
    state: ConversationState,
    *,
    raised: Sequence[RaiseAlert],
    ended: Sequence[Clock],
    is_over: bool,
    at: datetime,
) -> None:
    """Write a step's alerts; those of promises that have ended, or of an episode that is over, are settled.

    Most steps have nothing to do with alerts, and cost no statement.
    """
    for alert in raised:
        shown = project(state)
        metric = alert.metric.value if alert.metric else None
        await connection.execute(
            _RAISE,
            (
                alert.alert_id,
                state.conversation_id,
                state.episode,
                shown.pool,
                shown.agent_id,
                alert.kind.value,
                metric,
                alert.reason,
                at,
            ),
        )
    # What was merged into this conversation may have brought alerts along.
    metrics = [clock.metric.value for clock in ended if Rung.SUPERVISOR in clock.climbed or state.merges]
    if metrics or (is_over and (state.alerts or state.merges)):
        await connection.execute(
            _SETTLE, {"at": at, "conversation": state.conversation_id, "all": is_over, "metrics": metrics}
        )
