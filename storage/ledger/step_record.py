"""A conversation's step on its way into the ledger, as those who write a part of it are given it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from domain.conversation.commands import Command
from domain.conversation.projection import project
from domain.conversation.state import ConversationState

Kind = TypeVar("Kind")


class StepRecord:
    """A step on its way into the ledger."""

    def __init__(self, state: ConversationState, commands: Sequence[Command], at: datetime) -> None:
        if state.case is None:
            raise ValueError("nothing is written before the first assessment")
        self.state = state
        self.case = state.case
        self.shown = project(state)
        self.commands = commands
        self.at = at
        self.customer_id = state.customer_id
        """The ledger's word counts: a link of customers may be on its way to the conversation."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The commands of one kind, in their order."""
        return [command for command in self.commands if isinstance(command, kind)]
