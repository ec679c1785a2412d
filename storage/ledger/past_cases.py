"""How long cases took and how long people waited: the ended episodes of the channels on which customers stay."""

from datetime import datetime, timedelta
from typing import Final

from domain.channels import WAITED_ON
from domain.routing.experience import PastCase
from storage.database import Database
from storage.long_reads import pages

# Of one agent, on one channel: what was handed on or went on elsewhere tells the time of neither. A wrap-up that still
# runs is told once it is over.
_PAST: Final = """
select r.first_channel, r.intent, r.customer_id, coalesce(r.accepted_at, r.resolved_at) - r.queued_at, held.work,
       r.agent_id
from resolutions r
left join lateral (
    select sum(a.ended_at - a.started_at) as work, bool_and(a.ended_at is not null) as is_over,
           bool_and(a.agent_id = r.agent_id) as is_theirs
    from assignments a where a.conversation_id = r.conversation_id and a.episode = r.episode
) as held on true
where r.resolved_at > %(since)s and r.first_channel = any(%(channels)s) and r.queued_at is not null
  and jsonb_array_length(r.channels) = 1
  and case r.end_reason
          when 'resolved' then held.is_over and held.is_theirs
               and coalesce(r.wrap_up_code, '') not in ('spam', 'duplicate', 'passed_on')
          when 'abandoned' then r.accepted_at is null
          else false
      end
order by r.resolved_at desc, r.conversation_id desc, r.episode desc
limit %(at_most)s
"""


async def past_cases(database: Database, *, since: datetime, at_most: int) -> list[PastCase]:
    """The latest `at_most` of those that ended after `since`."""
    channels = [channel.value for channel in WAITED_ON]
    async with database.ledger.connection() as connection:
        found = await connection.execute(_PAST, {"since": since, "channels": channels, "at_most": at_most})
        cases: list[PastCase] = []
        async for page in pages(found):
            cases += (
                PastCase(channel, intent, customer_id, max(wait, timedelta()), work, agent_id)
                for channel, intent, customer_id, wait, work, agent_id in page
            )
        return cases
