"""A message on its way into the ledger, and what becomes of it."""

from dataclasses import dataclass
from datetime import datetime

from domain.channels import Channel, MessageKind
from domain.identity.addresses import NormalAddress


@dataclass(frozen=True, slots=True)
class IntakeFile:
    name: str
    content_type: str
    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Intake:
    """One inbound message, its sender's address in normal form; `verified` says that the channel proved the sender.

    Without a `thread_key` the sender's messages on one account make one thread. `reply_to` are provider ids that the
    message answers, the oldest first; they are claims, and count only among the sender's own threads.
    """

    channel: Channel
    account: str
    provider_message_id: str
    sender: NormalAddress
    verified: bool
    sent_at: datetime
    text: str
    display_name: str | None = None
    full_text: str | None = None
    html: str | None = None
    subject: str | None = None
    kind: MessageKind = MessageKind.MESSAGE
    thread_key: str | None = None
    reply_to: tuple[str, ...] = ()
    files: tuple[IntakeFile, ...] = ()
    failed_message_id: str | None = None
    proven_too: tuple[NormalAddress, ...] = ()
    """Other addresses the channel proved to be the sender's."""
    claimed: tuple[NormalAddress, ...] = ()
    """Other addresses the sender says are theirs: hints, kept for a person to confirm."""

    @property
    def key_of_thread(self) -> str:
        return self.thread_key or self.sender.value

    @property
    def quoted_text(self) -> str | None:
        """The whole text, where it says more than the text itself."""
        return self.full_text if self.full_text != self.text else None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """Where the message is; `duplicate` when it had been there before and nothing has changed."""

    message_id: str
    conversation_id: str
    customer_id: str
    thread_id: str | None
    duplicate: bool
