"""Which adapter serves a channel."""

from channels.adapter import Adapter
from channels.email.send import EmailAdapter
from channels.email.settings import EmailAccount
from channels.generic.adapter import GenericAdapter
from channels.web_chat.adapter import WebChatAdapter
from domain.channels import Channel


def adapter_for(channel: Channel, mailbox: EmailAccount | None = None) -> Adapter:
    """The adapter of a channel account; without a connection of ours, an integration pulls what we send."""
    if channel is Channel.EMAIL and mailbox is not None:
        return EmailAdapter(mailbox)
    if channel is Channel.WEB_CHAT:
        return WebChatAdapter()
    return GenericAdapter(channel)
