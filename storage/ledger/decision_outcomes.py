"""What the decisions promised and what became of it: how far P(success) can be believed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.database import Database

MOST_OUTCOMES: Final = 200_000

# The same reading of success as the learner's: who ended it resolved it, unless it was passed on or came back.
_OUTCOMES: Final = """
select (d.record #>> '{success,value}')::float8,
       o.agent_id = r.agent_id and coalesce(r.wrap_up_code, '') <> 'passed_on'
           and not exists (select from conversations c where c.id = r.conversation_id and c.episode > r.episode)
from routing_decisions d
join offers o on o.id = d.offer_id and o.state = 'accepted'
join resolutions r on r.conversation_id = d.conversation_id and r.episode = o.episode
where r.resolved_at >= %(since)s and r.agent_id is not null and r.end_reason = 'resolved'
  and coalesce(r.wrap_up_code, '') not in ('spam', 'duplicate')
order by r.resolved_at desc
limit %(most)s
"""


@dataclass(frozen=True, slots=True)
class DecisionOutcomes:
    """Of each accepted decision whose episode ended: the probability it was made with, and whether it came true."""

    predicted: tuple[float, ...]
    resolved: tuple[bool, ...]


async def decision_outcomes(database: Database, since: datetime) -> DecisionOutcomes:
    """The outcomes of episodes that ended since an instant, the latest first."""
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute(_OUTCOMES, {"since": since, "most": MOST_OUTCOMES})).fetchall()
    return DecisionOutcomes(tuple(row[0] for row in rows), tuple(row[1] for row in rows))
