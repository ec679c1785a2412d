"""From the adapters' message form to the ledger's."""

from functools import lru_cache

from channels.adapter import InboundMessage, OtherAddress, Unparseable
from channels.addresses import normal_address
from domain.identity.addresses import NormalAddress, NotAnAddress
from storage.ledger.intake import Intake, IntakeFile

# The same people write again and again, and telephone numbers are slow to read.
_normal_address = lru_cache(maxsize=4096)(normal_address)


def intake_of(message: InboundMessage) -> Intake:
    """The message as the ledger takes it; raises `Unparseable` when its sender has no address in a normal form."""
    try:
        sender = _normal_address(message.channel, message.sender.address)
    except NotAnAddress as error:
        raise Unparseable(f"the sender: {error.reason}") from error
    return Intake(
        channel=message.channel,
        account=message.account,
        provider_message_id=message.provider_message_id,
        sender=sender,
        verified=message.sender.verified,
        sent_at=message.sent_at,
        text=message.text,
        display_name=message.sender.display_name,
        full_text=message.full_text,
        html=message.html,
        subject=message.subject,
        kind=message.kind,
        thread_key=message.thread_key,
        reply_to=message.reply_to,
        files=tuple(
            IntakeFile(attachment.name, attachment.content_type, attachment.size, attachment.content)
            for attachment in message.attachments
        ),
        failed_message_id=message.failed_message_id,
        proven_too=_addresses(message.other_addresses, verified=True),
        claimed=_addresses(message.other_addresses, verified=False),
    )


def _addresses(others: tuple[OtherAddress, ...], *, verified: bool) -> tuple[NormalAddress, ...]:
    return tuple(_normal_address(other.channel, other.address) for other in others if other.verified is verified)
