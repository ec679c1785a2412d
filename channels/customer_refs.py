"""How other systems name a customer: by our id, or as `channel:address`."""

from typing import Final

from channels.addresses import normal_address
from domain.channels import Channel
from domain.identity.addresses import NormalAddress

_OUR_ID: Final = "cus_"

_CHANNELS: Final = {channel.value: channel for channel in Channel}


def customer_address(written: str) -> NormalAddress | None:
    """The address in `email:ada@example.org`; None for a customer's id.

    Raises:
        ValueError: neither an id nor an address; `NotAnAddress` when the part after the channel is none of it.
    """
    if written.startswith(_OUR_ID):
        return None
    channel, colon, address = written.partition(":")
    if not colon or channel not in _CHANNELS:
        raise ValueError('a customer is named by id ("cus_…") or as "channel:address", such as "email:ada@example.org"')
    return normal_address(_CHANNELS[channel], address)
