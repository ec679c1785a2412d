"""What is done to a conversation from the desk; its workflow decides, and answers once it is written."""

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Body, Request
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.access import Principal
from api.context import ApiContext
from api.conversation_calls import ConversationRequest, ask_conversation, request_id_of
from api.conversation_shape import ConversationAnswer, conversation_answer
from api.idempotency import idempotency_key
from api.problems import Conflict, Forbidden, IdempotencyKeyReused, NotFound
from api.route import BatonRoute, Caller, Context, Work
from api.sight import seen_conversation
from channels.html import safe_html
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import EndReason
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ids import new_id
from storage.ledger.drafts import AnotherDraft, DraftFile, DraftThread, NewDraft, store_draft, withdraw_draft
from storage.records.conversations import conversation_has_ended, find_conversation
from storage.tables import Agent, Message, Pool, WrapUpCode
from storage.unit_of_work import UnitOfWork
from workflows.messages import (
    Claim,
    Close,
    EndWrapUp,
    Escalate,
    ExtendWrapUp,
    Hold,
    Reassign,
    Reopen,
    Reply,
    Resolve,
    Resume,
    Transfer,
)

router = APIRouter(prefix="/v1/conversations/{id}", route_class=BatonRoute, tags=["desk"])

_LONGEST_TEXT: Final = 100_000
_MOST_FILES: Final = 20
_LONGEST_HOLD_SECONDS: Final = 7 * 24 * 3600

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_Words = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_TEXT, pattern=r"^[^\x00]*$")]
_Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000, pattern=r"^[^\x00]*$")]


ClosingReason = Literal["spam", "bounce_storm", "customer_ended", "no_answer_wanted", "abandoned"]
"""Every end reason but `resolved`, which needs a wrap-up code."""


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAttachment(_Asked):
    name: _Name = Field(examples=["invoice.pdf"])
    content_type: _Name = Field(examples=["application/pdf"])
    content: Base64Bytes = Field(examples=["aGVsbG8="], description="Base64")


class NewMessage(_Asked):
    text: _Words = Field(examples=["I have refunded the second charge."])
    thread_id: _Name | None = Field(default=None, description="Where the customer wrote last, if left out")
    html: _Words | None = Field(default=None, examples=["<p>I have refunded the second charge.</p>"])
    attachments: list[NewAttachment] = Field(default_factory=list, max_length=_MOST_FILES)
    internal: bool = Field(default=False, description="A note among colleagues that no customer sees")


class MessageAnswer(BaseModel):
    id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    thread_id: str | None = Field(examples=["thr_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: Literal["message", "note"]
    direction: str = Field(examples=["outbound"])
    channel: str = Field(examples=["email"])
    author_id: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    text: str = Field(examples=["I have refunded the second charge."])
    at: datetime
    delivery: str = Field(examples=["queued"])


class TransferTarget(_Asked):
    """Exactly one of the three."""

    agent_id: _Name | None = Field(default=None, examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    pool: _Name | None = Field(default=None, examples=[None])
    skills: dict[_Name, Annotated[int, Field(ge=1, le=5)]] | None = Field(default=None, examples=[None])

    @model_validator(mode="after")
    def _one_target(self) -> "TransferTarget":
        if sum(bool(target) for target in (self.agent_id, self.pool, self.skills)) != 1:
            raise ValueError("exactly one of agent_id, pool and skills is needed")
        return self


class Transferring(_Asked):
    to: TransferTarget
    kind: Literal["warm", "cold"] = Field(examples=["warm"], description="Warm: you stay responsible until the accept")
    note: _Note = Field(default="", examples=["The customer wants to talk about the contract."])


class Resolving(_Asked):
    wrap_up_code: _Name = Field(examples=["solved"])
    note: _Note | None = Field(default=None, examples=["Refunded."])


class Holding(_Asked):
    limit_seconds: Annotated[float, Field(gt=0, le=_LONGEST_HOLD_SECONDS, allow_inf_nan=False)] | None = Field(
        default=None, examples=[300], description="After so long the hold ends by itself; never, if left out"
    )


class Escalating(_Asked):
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$")
    ] = Field(examples=["The customer asks for a manager"])
    pool: _Name | None = Field(default=None, examples=["second_line"], description="Whose people take over from here")


class Closing(_Asked):
    reason: ClosingReason = Field(examples=["spam"], description="Why it ends without a resolution")
    note: _Note | None = Field(default=None, examples=["Advertising"])


class Reassigning(_Asked):
    agent_id: _Name | None = Field(default=None, description="Back to the queue, if left out")
    reason: _Note = Field(min_length=1, examples=["Alex went home."])


@router.post("/claim", summary="Take a waiting conversation from the queue")
async def claim(id: str, request: Request, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    if caller.agent_id is None:
        raise Forbidden("this key acts for no agent")
    await _seen(work, caller, id)
    return await _done(context, work, id, Claim(caller.agent_id), request_id_of(request, caller))


@router.post("/messages", status_code=201, summary="Reply to the customer, or leave a note among colleagues")
async def write(
    id: str,  # noqa: A002 -- the path's word
    asked: NewMessage,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> MessageAnswer:
    await _seen(work, caller, id)
    await work.commit()
    draft = NewDraft(
        message_id=_message_id(request, caller),
        conversation_id=id,
        author_kind=_author_kind(caller),
        author_id=_actor(caller),
        text=asked.text,
        html=None if asked.html is None else safe_html(asked.html),
        thread_id=asked.thread_id,
        internal=asked.internal,
        files=tuple(DraftFile(file.name, file.content_type, file.content) for file in asked.attachments),
    )
    thread = await _stored(context, draft)
    await _release(context, caller, draft, thread, request_id_of(request, caller))
    return await _message_answer(work, draft.message_id)


@router.post("/transfer", summary="Pass the conversation to an agent, a pool or whoever has the skills")
async def transfer(
    id: str,  # noqa: A002 -- the path's word
    asked: Transferring,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    await _demand_target(work, asked.to)
    message = Transfer(
        agent_id=_actor(caller),
        warm=asked.kind == "warm",
        note=asked.note,
        to_agent=asked.to.agent_id,
        to_pool=asked.to.pool,
        to_skills=tuple(sorted((asked.to.skills or {}).items())),
        by_supervisor=caller.is_supervising,
    )
    return await _done_with_note(context, work, request, caller, message, id, asked.note)


@router.post("/hold", summary="Put it on hold, for good or for a while: the resolution clock pauses")
async def hold(
    id: str,  # noqa: A002 -- the path's word
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
    asked: Annotated[Holding | None, Body(openapi_examples={"a while": {"value": {"limit_seconds": 300}}})] = None,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    limit = None if asked is None or asked.limit_seconds is None else timedelta(seconds=asked.limit_seconds)
    message = Hold(_actor(caller), by_supervisor=caller.is_supervising, limit=limit)
    return await _done(context, work, id, message, request_id_of(request, caller))


@router.post("/resume", summary="Take it off hold")
async def resume(id: str, request: Request, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    await _seen(work, caller, id)
    asked = Resume(_actor(caller), by_supervisor=caller.is_supervising)
    return await _done(context, work, id, asked, request_id_of(request, caller))


@router.post("/resolve", summary="Resolve it; the wrap-up begins")
async def resolve(
    id: str,  # noqa: A002 -- the path's word
    asked: Resolving,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    code = await (await work.session()).get(WrapUpCode, asked.wrap_up_code)
    if code is None or not code.active:
        raise InvalidInput(FieldProblem(pointer("wrap_up_code"), "there is no such wrap-up code"))
    message = Resolve(_actor(caller), asked.wrap_up_code, asked.note, by_supervisor=caller.is_supervising)
    return await _done_with_note(context, work, request, caller, message, id, asked.note)


@router.post("/wrap-up/end", summary="End the wrap-up: the capacity is free again")
async def end_wrap_up(id: str, request: Request, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    await _seen(work, caller, id)
    asked = EndWrapUp(_actor(caller), by_supervisor=caller.is_supervising)
    return await _done(context, work, id, asked, request_id_of(request, caller))


@router.post("/wrap-up/extend", summary="Ask for more wrap-up time, once")
async def extend_wrap_up(id: str, request: Request, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    await _seen(work, caller, id)
    asked = ExtendWrapUp(_actor(caller), by_supervisor=caller.is_supervising)
    return await _done(context, work, id, asked, request_id_of(request, caller))


@router.post("/reopen", summary="Take a resolved conversation up again: its next episode begins")
async def reopen(id: str, request: Request, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    await _seen(work, caller, id)
    asked = Reopen(_actor(caller), by_supervisor=caller.is_supervising)
    return await _done(context, work, id, asked, request_id_of(request, caller))


@router.post("/reassign", summary="Take it from whoever has it, for an agent or back to the queue")
async def reassign(
    id: str,  # noqa: A002 -- the path's word
    asked: Reassigning,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    if asked.agent_id is not None:
        await _demand_agent(work, asked.agent_id, pointer("agent_id"))
    message = Reassign(_actor(caller), asked.reason, asked.agent_id)
    return await _done(context, work, id, message, request_id_of(request, caller))


@router.post("/escalate", summary="Raise its priority, call the supervisors, hand it to people with more authority")
async def escalate(
    id: str,  # noqa: A002 -- the path's word
    asked: Escalating,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    if asked.pool is not None:
        await _demand_pool(work, asked.pool, pointer("pool"))
    message = Escalate(_actor(caller), asked.reason, asked.pool, by_supervisor=caller.is_supervising)
    return await _done(context, work, id, message, request_id_of(request, caller))


@router.post("/close", summary="End it without a resolution: spam, bounces, a chat its customer ended")
async def close(
    id: str,  # noqa: A002 -- the path's word
    asked: Closing,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> ConversationAnswer:
    await _seen(work, caller, id)
    await work.commit()
    draft = None
    if asked.note:
        draft = _note(request, caller, id, asked.note)
        await _stored(context, draft)
    message = Close(
        _actor(caller),
        EndReason(asked.reason),
        by_supervisor=caller.is_supervising,
        note_id=None if draft is None else draft.message_id,
    )
    try:
        return await _done(context, work, id, message, request_id_of(request, caller))
    except (Conflict, Forbidden):
        if draft is not None:
            await withdraw_draft(context.database, draft.message_id)
        raise


def _actor(caller: Principal) -> str:
    """Who acts: the agent, or the key of a supervisor who is none."""
    return caller.agent_id or caller.key_id


async def _seen(work: UnitOfWork, caller: Principal, conversation_id: str) -> None:
    await seen_conversation(await work.session(), caller, conversation_id)


async def _demand_agent(work: UnitOfWork, agent_id: str, where: str) -> None:
    agent = await (await work.session()).get(Agent, agent_id)
    if agent is None or not agent.active:
        raise InvalidInput(FieldProblem(where, "there is no such agent"))


async def _demand_target(work: UnitOfWork, to: TransferTarget) -> None:
    if to.agent_id is not None:
        await _demand_agent(work, to.agent_id, pointer("to", "agent_id"))
    if to.pool is not None:
        await _demand_pool(work, to.pool, pointer("to", "pool"))


async def _demand_pool(work: UnitOfWork, pool: str, where: str) -> None:
    if await (await work.session()).get(Pool, pool) is None:
        raise InvalidInput(FieldProblem(where, "there is no such pool"))


async def _done(
    context: ApiContext, work: UnitOfWork, conversation_id: str, asked: ConversationRequest, update_id: str
) -> ConversationAnswer:
    """Ask, and show what has become of it, even where the caller's eyes do not reach any longer."""
    await work.commit()
    await ask_conversation(context, conversation_id, asked, update_id)
    records = await work.session()
    conversation = await find_conversation(records, conversation_id, None)
    if conversation is None:
        raise NotFound("conversation")
    return await conversation_answer(records, context.options, conversation)


async def _done_with_note(
    context: ApiContext,
    work: UnitOfWork,
    request: Request,
    caller: Principal,
    asked: ConversationRequest,
    conversation_id: str,
    note: str | None,
) -> ConversationAnswer:
    """The words are stored first and filed on the timeline once the conversation has agreed to the rest."""
    update_id = request_id_of(request, caller)
    if not note:
        return await _done(context, work, conversation_id, asked, update_id)
    await work.commit()
    draft = _note(request, caller, conversation_id, note)
    thread = await _stored(context, draft)
    try:
        answer = await _done(context, work, conversation_id, asked, update_id)
        await work.commit()
    except (Conflict, Forbidden):
        await withdraw_draft(context.database, draft.message_id)
        raise
    await _release(context, caller, draft, thread, f"{update_id}/note")
    return answer


def _note(request: Request, caller: Principal, conversation_id: str, text: str) -> NewDraft:
    return NewDraft(
        message_id=_message_id(request, caller),
        conversation_id=conversation_id,
        author_kind=_author_kind(caller),
        author_id=_actor(caller),
        text=text,
        html=None,
        thread_id=None,
        internal=True,
    )


async def _stored(context: ApiContext, draft: NewDraft) -> DraftThread:
    try:
        thread = await store_draft(context.database, draft)
    except AnotherDraft as error:
        raise IdempotencyKeyReused from error
    if thread is None and await conversation_has_ended(context.database, draft.conversation_id):
        raise Conflict(RefusalCode.CONVERSATION_ENDED, "the conversation is closed or merged")
    if thread is None:
        raise InvalidInput(FieldProblem(pointer("thread_id"), "the conversation has no such thread"))
    return thread


async def _release(
    context: ApiContext, caller: Principal, draft: NewDraft, thread: DraftThread, update_id: str
) -> None:
    """Have the conversation send or file the draft; what it refuses is withdrawn."""
    reply = Reply(
        message_id=draft.message_id,
        agent_id=draft.author_id,
        thread_id=thread.id,
        channel=thread.channel,
        internal=draft.internal,
        by_supervisor=caller.is_supervising,
    )
    try:
        await ask_conversation(context, draft.conversation_id, reply, update_id)
    except (Conflict, Forbidden):
        await withdraw_draft(context.database, draft.message_id)
        raise


def _author_kind(caller: Principal) -> str:
    return "supervisor" if caller.is_supervising else "agent"


def _message_id(request: Request, caller: Principal) -> str:
    """With an idempotency key always the same: a request that is sent again finds its draft."""
    key = idempotency_key(request)
    if key is None:
        return new_id("msg")
    digest = hashlib.sha256(f"{caller.key_id}\n{key}\n{request.url.path}".encode()).digest()
    return f"msg_{digest.hex()[:32]}"


async def _message_answer(work: UnitOfWork, message_id: str) -> MessageAnswer:
    message = await (await work.session()).get(Message, message_id)
    if message is None:
        raise NotFound("message")
    return MessageAnswer(
        id=message.id,
        conversation_id=message.conversation_id,
        thread_id=message.thread_id,
        kind="note" if message.direction == "internal" else "message",
        direction=message.direction,
        channel=message.channel,
        author_id=message.author_id,
        text=message.text,
        at=message.at,
        delivery=message.delivery,
    )
