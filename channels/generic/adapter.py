"""Channels without a connection of ours: what we send is stored, and the integration pulls it or gets a webhook."""

from typing import Final

from channels.adapter import Capabilities, Delivers, DeliveryRefused, OutboundMessage, Sent
from domain.channels import Channel

_LONGEST_TEXT: Final = {
    # The platforms' own limits, in characters, as their documentation states them.
    Channel.SMS: 1_600,
    Channel.WHATSAPP: 4_096,
    Channel.MESSENGER: 2_000,
    Channel.INSTAGRAM: 1_000,
    Channel.X: 10_000,
    Channel.TELEGRAM: 4_096,
    Channel.SLACK: 40_000,
}
_WITH_HTML: Final = frozenset({Channel.EMAIL, Channel.WEBHOOK})
_WITHOUT_ATTACHMENTS: Final = frozenset({Channel.SMS, Channel.VOICE, Channel.VIDEO})
_WITH_THREADS: Final = frozenset({Channel.EMAIL, Channel.SLACK, Channel.WEB_CHAT, Channel.WEBHOOK})
_WITH_TYPING: Final = frozenset({Channel.WEB_CHAT, Channel.WHATSAPP, Channel.MESSENGER, Channel.TELEGRAM})


class GenericAdapter:
    """One adapter for every channel that is fed by `POST /v1/messages`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def channel(self) -> Channel:
        return self._channel

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            html=self._channel in _WITH_HTML,
            attachments=self._channel not in _WITHOUT_ATTACHMENTS,
            threads=self._channel in _WITH_THREADS,
            typing=self._channel in _WITH_TYPING,
            max_text_length=_LONGEST_TEXT.get(self._channel),
            delivers=Delivers.PULL,
        )

    async def send(self, message: OutboundMessage) -> Sent:
        """Nothing leaves here: being stored, the message is there to be pulled under its own id."""
        longest = self.capabilities.max_text_length
        if longest is not None and len(message.text) > longest:
            raise DeliveryRefused("text_too_long", f"{self._channel} takes at most {longest} characters")
        return Sent(provider_message_id=message.message_id)
