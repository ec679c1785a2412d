"""What a merge handed over, and whether the survivor's agent can do it."""

from dataclasses import dataclass
from typing import Final

import msgspec

from domain.conversation.handover import Handover
from domain.conversation.terms import SkillNeeds
from storage.database import LedgerConnection

_MERGE: Final = "select loser_id, handover::text from merges where id = %s"
_SKILLS: Final = "select skills from agents where id = %s"


@dataclass(frozen=True, slots=True)
class FoundMerge:
    """No handover: the loser had not taken in any message yet."""

    loser_id: str
    handover: Handover | None


async def read_merge(connection: LedgerConnection, merge_id: str) -> FoundMerge:
    """Read what one merge handed over.

    Raises:
        LookupError: there is no such merge.
    """
    row = await (await connection.execute(_MERGE, (merge_id,))).fetchone()
    if row is None:
        raise LookupError(f"the ledger knows no merge {merge_id}")
    return FoundMerge(row[0], None if row[1] is None else msgspec.json.decode(row[1], type=Handover))


async def lacks_a_skill(connection: LedgerConnection, agent_id: str, needs: SkillNeeds) -> bool:
    """Whether the agent is below a level that is needed."""
    if not needs:
        return False
    row = await (await connection.execute(_SKILLS, (agent_id,))).fetchone()
    levels: dict[str, int] = row[0] if row else {}
    return any(levels.get(skill, 0) < level for skill, level in needs)
