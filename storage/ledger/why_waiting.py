"""Why one conversation still waits: its ticket judged as the dispatcher would, without changing anything."""

from typing import Final

from psycopg.rows import class_row

from domain.routing.from_settings import policy_of, pools_reached
from domain.routing.waiting import QueueStanding, WaitingAccount, account_of
from storage.database import Database
from storage.ledger.case_facts import read_settings
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.roster import AgentReader
from storage.ledger.ticket import COLUMNS, JOINED, Ticket

_TICKET: Final = f"select {COLUMNS} from queue_tickets t {JOINED} where t.conversation_id = %s"  # noqa: S608 -- put together of constants
_STANDING: Final = """
select t.pool, clock_timestamp(), count(*), min(other.queued_at)
from queue_tickets t join queue_tickets other on other.pool = t.pool
where t.conversation_id = %s group by t.pool
"""


async def why_waiting(
    database: Database,
    conversation_id: str,
    learned: LearnedFromLedger,
) -> WaitingAccount | None:
    """The account of a waiting conversation; None when it has no place in a queue, and then nothing is learned for it.

    Raises:
        InvalidInput: a stored setting cannot be read.
    """
    async with database.ledger.connection() as connection:
        async with connection.cursor(row_factory=class_row(Ticket)) as cursor:
            await cursor.execute(_TICKET.encode(), (conversation_id,))
            ticket = await cursor.fetchone()
        standing = await (await connection.execute(_STANDING, (conversation_id,))).fetchone()
        if ticket is None or standing is None:
            return None
        pool, now, waiting, oldest_at = standing
        settings = await read_settings(connection)
    success, experience = await learned.model(), await learned.experience()
    policy = policy_of(settings, pool)
    async with database.ledger.connection() as connection:
        roster = await AgentReader().read(
            connection, pools_reached(pool, policy), ticket.named_agent, settings, policy, experience, now
        )
    case = ticket.case(pool, settings, policy, experience, now)
    return account_of(case, QueueStanding(waiting, oldest_at), roster.agents, roster.soon_free, policy, success, now)
