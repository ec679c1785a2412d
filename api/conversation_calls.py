"""The one place that asks a conversation's workflow to do something, and says what its answer means over HTTP."""

import asyncio
import hashlib
from typing import Final

import structlog
from fastapi import Request
from temporalio.client import (
    Client,
    RPCError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCStatusCode

from api.access import Principal
from api.context import ApiContext
from api.idempotency import idempotency_key
from api.problems import Conflict, HttpError, Unavailable, refused
from domain.conversation.refusals import RefusalCode
from storage.ids import new_id
from storage.records.conversations import conversation_has_ended
from workflows.messages import (
    AcceptOffer,
    Claim,
    Close,
    ConversationView,
    DeclineOffer,
    EndWrapUp,
    Escalate,
    ExtendWrapUp,
    Hold,
    Reassign,
    Reopen,
    Reply,
    Resolve,
    Resume,
    SuggestChannel,
    Transfer,
    UpdateName,
    workflow_id,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ConversationRequest = (
    AcceptOffer
    | DeclineOffer
    | Claim
    | Reply
    | Transfer
    | Hold
    | Resume
    | Resolve
    | EndWrapUp
    | ExtendWrapUp
    | Reopen
    | Reassign
    | Escalate
    | Close
    | SuggestChannel
)

_UPDATES: Final[dict[type[ConversationRequest], UpdateName]] = {
    AcceptOffer: UpdateName.ACCEPT_OFFER,
    DeclineOffer: UpdateName.DECLINE_OFFER,
    Claim: UpdateName.CLAIM,
    Reply: UpdateName.REPLY,
    Transfer: UpdateName.TRANSFER,
    Hold: UpdateName.HOLD,
    Resume: UpdateName.RESUME,
    Resolve: UpdateName.RESOLVE,
    EndWrapUp: UpdateName.END_WRAP_UP,
    ExtendWrapUp: UpdateName.EXTEND_WRAP_UP,
    Reopen: UpdateName.REOPEN,
    Reassign: UpdateName.REASSIGN,
    Escalate: UpdateName.ESCALATE,
    Close: UpdateName.CLOSE,
    SuggestChannel: UpdateName.SUGGEST_CHANNEL,
}
_REFUSALS: Final = frozenset(code.value for code in RefusalCode)


def request_id_of(request: Request, principal: Principal) -> str:
    """What a repeat of this request is known by: the same for the same caller, key and operation."""
    key = idempotency_key(request)
    if key is None:
        return new_id("upd")
    return hashlib.sha256(f"{principal.key_id}\n{key}\n{request.url.path}".encode()).hexdigest()


async def ask_conversation(
    context: ApiContext, conversation_id: str, asked: ConversationRequest, update_id: str
) -> ConversationView:
    """Have the conversation do it; returns how it stands then.

    Raises:
        HttpError: refused (409 under the refusal's code, 403 for what is somebody else's), or out of reach (503).
    """
    try:
        async with asyncio.timeout(context.options.update_timeout.total_seconds()):
            client = await _client(context)
            view: ConversationView = await client.get_workflow_handle(workflow_id(conversation_id)).execute_update(
                _UPDATES[type(asked)], asked, id=update_id, result_type=ConversationView
            )
            return view
    except WorkflowUpdateFailedError as error:
        raise await _failure(context, conversation_id, error.cause) from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise await _no_workflow(context, conversation_id) from error
        raise Unavailable("the conversation can't be reached now") from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Unavailable("the conversation has not answered in time; ask again under the same key") from error


async def _client(context: ApiContext) -> Client:
    try:
        return await context.temporal()
    except Exception as error:
        raise Unavailable("the conversation can't be reached now") from error


async def _failure(context: ApiContext, conversation_id: str, cause: BaseException) -> HttpError:
    if isinstance(cause, ApplicationError) and cause.type in _REFUSALS:
        return refused(RefusalCode(cause.type), cause.message)
    # The run has ended under the request: closed, merged, or gone on in a new one.
    log.warning("update failed", conversation_id=conversation_id, cause=str(cause))
    return await _no_workflow(context, conversation_id)


async def _no_workflow(context: ApiContext, conversation_id: str) -> HttpError:
    if await conversation_has_ended(context.database, conversation_id):
        return Conflict(RefusalCode.CONVERSATION_ENDED, "the conversation is closed or merged")
    # Its first signal may still be on its way.
    return Unavailable("the conversation does not take requests yet")
