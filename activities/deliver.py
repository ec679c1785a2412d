"""The activity that sends a released reply on its channel, once.

How often it is tried is the workflow's retry policy; the lease keeps a second attempt from sending while the first
still may. An attempt that died after the platform took the message and before that was recorded sends it again under
the same id, by which the platform, or the customer's mail program, knows it.
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.email_accounts import AccountUnusable, account_that_sends, email_account
from channels.adapter import (
    Adapter,
    Attachment,
    DeliveryFailed,
    DeliveryRefused,
    OutboundMessage,
)
from channels.registry import adapter_for
from domain.channels import Channel
from storage.database import Database
from storage.ledger.deliveries import (
    LeasedMessage,
    NotToSend,
    OutboundFile,
    files_of,
    give_back,
    lease,
    record_refused,
    record_sent,
)
from storage.sealed_box import SealedBox
from storage.tables.columns import utc_now
from workflows.ports import ActivityName

_LEASE: Final = timedelta(seconds=45)
_SEND_WITHIN: Final = timedelta(seconds=30)
"""Well within the lease, and within the activity's own time-out."""


class Deliveries:
    def __init__(self, database: Database, box: SealedBox) -> None:
        self._database = database
        self._box = box

    @activity.defn(name=ActivityName.DELIVER)
    async def deliver(self, message_id: str) -> None:
        """Send the message unless it is sent; a failure that may pass is raised, for Temporal to try again."""
        async with self._database.ledger.connection() as connection:
            leased = await lease(connection, message_id, _LEASE)
            files = await files_of(connection, message_id) if isinstance(leased, LeasedMessage) else []
        if isinstance(leased, NotToSend):
            _leave(message_id, leased)
            return
        try:
            adapter = await self._adapter(leased)
            async with asyncio.timeout(_SEND_WITHIN.total_seconds()):
                sent = await adapter.send(_outbound(leased, files))
        except DeliveryRefused as error:
            async with self._database.ledger.connection() as connection:
                await record_refused(connection, message_id, error.code, str(error))
        except (DeliveryFailed, AccountUnusable, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            async with self._database.ledger.connection() as connection:
                await give_back(connection, message_id, reason)
            raise ApplicationError(reason, type=type(error).__name__) from error
        else:
            async with self._database.ledger.connection() as connection:
                await record_sent(connection, message_id, sent.provider_message_id)

    async def _adapter(self, message: LeasedMessage) -> Adapter:
        channel = Channel(message.channel)
        if channel is not Channel.EMAIL:
            return adapter_for(channel)
        async with self._database.ledger.connection() as connection:
            row = await account_that_sends(connection, message.account)
        return adapter_for(channel, None if row is None else email_account(row, self._box))


def _leave(message_id: str, standing: NotToSend) -> None:
    """Return when there is nothing left to do; raise when another attempt holds the message or it is unknown."""
    if standing.delivery is None:
        raise ApplicationError(f"there is no message {message_id}", type="MessageUnknown", non_retryable=True)
    if standing.delivery == "draft":
        raise ApplicationError(f"{message_id} has not been released", type="NotReleased", non_retryable=True)
    if standing.delivery != "sending":
        return
    wait = standing.until - utc_now() if standing.until is not None else timedelta(0)
    raise ApplicationError(
        f"another attempt is sending {message_id}",
        type="BeingSent",
        next_retry_delay=max(wait, timedelta(seconds=1)),
    )


def _outbound(message: LeasedMessage, files: list[OutboundFile]) -> OutboundMessage:
    return OutboundMessage(
        message_id=message.id,
        channel=Channel(message.channel),
        account=message.account,
        to_address=message.address,
        subject=message.subject,
        text=message.text,
        html=message.html,
        thread_key=message.thread_key,
        references=tuple(message.references),
        sent_at=message.at,
        attachments=tuple(Attachment(file.name, file.content_type, file.size, file.content) for file in files),
        automatic=message.author_kind not in {"agent", "supervisor"},
    )
