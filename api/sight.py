"""What a principal may see: supervisors everything, agents their pool's and their own; the rest does not exist."""

from sqlmodel.ext.asyncio.session import AsyncSession

from api.access import Principal
from api.problems import Forbidden, NotFound
from storage.records.conversations import find_conversation
from storage.records.sight import Viewer
from storage.tables import Conversation


def viewer_of(principal: Principal) -> Viewer | None:
    """The agent whose eyes are looking, None for somebody who sees everything; raises `Forbidden` for anybody else."""
    if principal.is_supervising:
        return None
    if principal.agent_id is None or principal.pool is None:
        raise Forbidden("this key acts for no agent")
    return Viewer(principal.agent_id, principal.pool)


async def seen_conversation(records: AsyncSession, principal: Principal, conversation_id: str) -> Conversation:
    """The conversation; raises `NotFound` when there is none for these eyes."""
    conversation = await find_conversation(records, conversation_id, viewer_of(principal))
    if conversation is None:
        raise NotFound("conversation")
    return conversation
