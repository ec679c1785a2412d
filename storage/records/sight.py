"""Whose records are asked for: everything, or what one agent may see."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_
from sqlmodel import col, select

from storage.tables import Conversation, Offer


@dataclass(frozen=True, slots=True)
class Viewer:
    """An agent sees their pool's conversations, their own wherever they are, and what is being offered to them."""

    agent_id: str
    pool: str


def seen_by(viewer: Viewer) -> ColumnElement[bool]:
    """The conversations this agent may see, as a condition on `Conversation`."""
    offered = select(Offer.conversation_id).where(col(Offer.agent_id) == viewer.agent_id, col(Offer.state) == "pending")
    return or_(
        col(Conversation.pool) == viewer.pool,
        col(Conversation.agent_id) == viewer.agent_id,
        col(Conversation.owner_id) == viewer.agent_id,
        col(Conversation.id).in_(offered),
    )
