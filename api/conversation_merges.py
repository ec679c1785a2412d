"""Two conversations made one, and taken apart again; the ledger decides, the workflows follow."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import Principal
from api.context import ApiContext
from api.conversation_shape import ConversationAnswer, conversation_answer
from api.fields import Flag
from api.problems import Conflict, Forbidden, HttpError, NotFound
from api.route import BatonRoute, Caller, Context, Work
from api.sight import seen_conversation
from domain.conversation.refusals import RefusalCode
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ledger.merging import MergeRefusal, MergeRefused, merge
from storage.ledger.splitting import Split, SplitRefusal, SplitRefused, split_thread, undo_merge
from storage.records.conversations import find_conversation
from storage.tables import Conversation
from storage.unit_of_work import UnitOfWork

router = APIRouter(prefix="/v1/conversations/{id}", route_class=BatonRoute, tags=["desk"])

_Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]

_WORDS: Final = {
    SplitRefusal.NOT_MERGED: "no merge is left here that could be undone",
    SplitRefusal.LAST_THREAD: "a conversation keeps at least one thread",
    SplitRefusal.ENDED: "the conversation is closed or merged",
}


class Merging(BaseModel):
    model_config = ConfigDict(extra="forbid")

    into: _Id = Field(
        examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"],
        description="The other one. Which of the two lives on is decided by who has an agent, then by age",
    )
    force: Flag = Field(
        default=False,
        description="Merge although both customers have proven addresses of one kind; for supervisors and admins",
    )


@router.post("/merge", summary="Make one conversation of two")
async def merge_into(id: str, asked: Merging, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    """Answers with the survivor. Two that are one already stay so."""
    records = await work.session()
    one = await seen_conversation(records, caller, id)
    try:
        other = await seen_conversation(records, caller, asked.into)
    except NotFound as error:
        raise InvalidInput(FieldProblem(pointer("into"), "there is no such conversation")) from error
    _demand_responsible(caller, one, other)
    if asked.force and not caller.is_supervising:
        raise Forbidden("that two people are one is for a supervisor to say")
    await work.commit()
    try:
        merged = await merge(
            context.database,
            id,
            asked.into,
            cause=_cause(caller),
            by=_actor(caller),
            at=datetime.now(UTC),
            one_person=asked.force,
        )
    except MergeRefused as error:
        if error.code is MergeRefusal.CONFLICT:
            kinds = ", ".join(conflict.kind for conflict in error.against)
            raise Conflict(error.code, f"both customers have proven addresses of their own: {kinds}") from error
        if error.code is MergeRefusal.SAME:
            raise InvalidInput(FieldProblem(pointer("into"), "a conversation is not merged into itself")) from error
        raise Conflict(RefusalCode.CONVERSATION_ENDED, "a closed conversation stays as it is") from error
    return await _shown(context, work, merged.survivor_id)


@router.post("/unmerge", status_code=201, summary="Undo the merge it ended by, or else the last one into it")
async def unmerge(id: str, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    """Answers with the new conversation that the threads of then are in."""
    records = await work.session()
    conversation = await seen_conversation(records, caller, id)
    parties = [conversation]
    if conversation.merged_into is not None:
        parties.append(await seen_conversation(records, caller, conversation.merged_into))
    _demand_responsible(caller, *parties)
    await work.commit()
    try:
        split = await undo_merge(context.database, id, by=_actor(caller), owner=caller.agent_id, at=datetime.now(UTC))
    except SplitRefused as error:
        raise _refused(error) from error
    return await _taken_apart(context, work, split)


@router.post("/threads/{thread_id}/split", status_code=201, summary="Make one thread a conversation of its own")
async def split(id: str, thread_id: str, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    """Answers with the new conversation."""
    _demand_responsible(caller, await seen_conversation(await work.session(), caller, id))
    await work.commit()
    try:
        done = await split_thread(
            context.database, id, thread_id, by=_actor(caller), owner=caller.agent_id, at=datetime.now(UTC)
        )
    except SplitRefused as error:
        raise _refused(error) from error
    return await _taken_apart(context, work, done)


def _actor(caller: Principal) -> str:
    """Who acts: the agent, or the key of a supervisor who is none."""
    return caller.agent_id or caller.key_id


def _cause(caller: Principal) -> str:
    return "supervisor" if caller.is_supervising else "agent"


def _demand_responsible(caller: Principal, *conversations: Conversation) -> None:
    """An agent joins and parts what is theirs: one of the two at least, now or as its owner."""
    theirs = {name for one in conversations for name in (one.agent_id, one.owner_id)}
    if not caller.is_supervising and caller.agent_id not in theirs:
        raise Forbidden("you are responsible for none of these conversations", RefusalCode.NOT_YOURS)


def _refused(error: SplitRefused) -> HttpError:
    if error.code is SplitRefusal.UNKNOWN_THREAD:
        return NotFound("thread")
    return Conflict(error.code, _WORDS[error.code])


async def _taken_apart(context: ApiContext, work: UnitOfWork, done: Split) -> ConversationAnswer:
    return await _shown(context, work, done.into_id)


async def _shown(context: ApiContext, work: UnitOfWork, conversation_id: str) -> ConversationAnswer:
    """How it stands now, even where the caller's eyes do not reach any longer."""
    records = await work.session()
    conversation = await find_conversation(records, conversation_id, None)
    if conversation is None:
        raise NotFound("conversation")
    return await conversation_answer(records, context.options, conversation)
