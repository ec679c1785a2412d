"""Messages that an integration posts in Baton's own form: stored, acknowledged, and relayed afterwards."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from api.access import Principal
from api.door_accounts import DoorAccounts, accounts_at_door
from api.inbound import intake_of
from api.problems import Forbidden
from api.route import BatonRoute
from api.taking_in import TakesIn
from channels.adapter import Attachment
from channels.generic.inbound import PostedMessage, inbound_message
from channels.own_form import InvalidMessage
from domain.channels import SENDER_AUTHENTICATED_BY_PLATFORM, Channel
from domain.errors import FieldProblem, InvalidInput
from storage.ledger.accounts import DoorAccount

router = APIRouter(prefix="/v1", tags=["messages"], route_class=BatonRoute)


def _written_time(value: object) -> object:
    if isinstance(value, datetime | str):
        return value
    raise ValueError("a time is written as RFC 3339 says")


class PostedSender(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: str = Field(examples=["+4930901820"])
    display_name: str | None = Field(None, examples=["Mia Lund"])
    verified: StrictBool | None = Field(None, description="Left out, the channel decides")


class PostedAttachment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["invoice.txt"])
    content_type: str = Field("application/octet-stream", max_length=255, examples=["text/plain"])
    content: str = Field(description="Base64", examples=["VG90YWw6IDQy"])


class PostedInbound(BaseModel):
    """One inbound message."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel = Field(examples=["sms"])
    account: str = Field(examples=["hotline"])
    provider_message_id: str = Field(description="Sent again, it is known by this", examples=["SM7a1f"])
    sender: PostedSender = Field(alias="from")
    thread_key: str | None = Field(None, description="What the platform groups by", examples=["call-118"])
    subject: str | None = None
    text: str = Field(examples=["My parcel has not arrived."])
    html: str | None = None
    attachments: list[PostedAttachment] = Field(default_factory=list)
    sent_at: Annotated[AwareDatetime, BeforeValidator(_written_time)] = Field(examples=["2026-03-02T09:30:00Z"])


class Acknowledged(BaseModel):
    """Stored for good; `duplicate` when it had been stored before."""

    message_id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    customer_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j6"])
    duplicate: bool = Field(examples=[False])


async def poster(request: Request) -> Principal:
    """Who is posting, whom the route has admitted; asynchronous, because FastAPI sends anything else to a thread."""
    principal: Principal = request.state.principal
    return principal


@router.post("/messages", status_code=202, summary="Hand one inbound message over")
async def take_message(
    posted: PostedInbound,
    caller: Annotated[Principal, Depends(poster)],
    intakes: TakesIn,
    accounts: Annotated[DoorAccounts, Depends(accounts_at_door)],
) -> Acknowledged:
    account = await _account(caller, posted, accounts)
    written = PostedMessage(
        channel=posted.channel,
        account=posted.account,
        provider_message_id=posted.provider_message_id,
        sender_address=posted.sender.address,
        text=posted.text,
        sent_at=posted.sent_at,
        sender_display_name=posted.sender.display_name,
        sender_verified=_verified(posted, account),
        thread_key=posted.thread_key,
        subject=posted.subject,
        html=posted.html,
        attachments=_attachments(posted.attachments),
    )
    try:
        message = inbound_message(written, datetime.now(UTC))
    except InvalidMessage as error:
        raise InvalidInput(*(FieldProblem(fault.pointer, fault.reason) for fault in error.faults)) from error
    taken = await intakes.take_in(intake_of(message))
    return Acknowledged(
        message_id=taken.message_id,
        conversation_id=taken.conversation_id,
        customer_id=taken.customer_id,
        duplicate=taken.duplicate,
    )


async def _account(caller: Principal, posted: PostedInbound, accounts: DoorAccounts) -> DoorAccount | None:
    """The account the message is for; a key that is bound to one account may post to no other."""
    if caller.channel_account is None:
        return await accounts.named(posted.channel, posted.account)
    account = await accounts.by_id(caller.channel_account)
    if account is None or (account.channel, account.name) != (posted.channel, posted.account):
        raise Forbidden("this key is for another channel account")
    return account


def _verified(posted: PostedInbound, account: DoorAccount | None) -> bool | None:
    """What the poster's word for the sender counts, by the account's `trust_from`; None leaves it to the channel."""
    trust = account.settings.get("trust_from", "always") if account is not None else "always"
    if trust == "always":
        return posted.sender.verified
    if trust == "authenticated" and posted.channel in SENDER_AUTHENTICATED_BY_PLATFORM:
        return posted.sender.verified
    return False


def _attachments(posted: list[PostedAttachment]) -> tuple[Attachment, ...]:
    attachments: list[Attachment] = []
    for position, attachment in enumerate(posted):
        try:
            content = base64.b64decode(attachment.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(FieldProblem(f"/attachments/{position}/content", "must be Base64")) from error
        attachments.append(Attachment(attachment.name, attachment.content_type, len(content), content))
    return tuple(attachments)
