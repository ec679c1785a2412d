"""Conversations as they are read: the list, the one, its timeline, and why it went to whom."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue

from api.conversation_shape import ConversationAnswer, ConversationState, answer_of, conversation_answer
from api.cursors import Page, Pages
from api.fields import Answer
from api.route import BatonRoute, Caller, Context, Learned, Records
from api.sight import seen_conversation, viewer_of
from domain.routing.waiting import WaitingAccount
from storage.ledger.why_waiting import why_waiting
from storage.records.conversations import (
    ConversationFilter,
    ConversationOrder,
    list_conversations,
    list_decisions,
    with_parts,
)
from storage.records.timeline import TimelineEntry, list_timeline
from storage.tables import Conversation, RoutingDecision

router = APIRouter(prefix="/v1/conversations", route_class=BatonRoute, tags=["desk"])

_Id = Annotated[str | None, Query(max_length=200)]


class AuthorAnswer(BaseModel):
    kind: str = Field(examples=["customer"], description="customer, agent, supervisor or system")
    id: str | None = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])


class AttachmentAnswer(BaseModel):
    id: str | None = Field(default=None, examples=["att_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    name: str = Field(examples=["invoice.pdf"])
    content_type: str = Field(examples=["application/pdf"])
    size: int = Field(examples=[52311])


class TimelineAnswer(BaseModel):
    """A message, a note or an event; what does not belong to its kind is null."""

    id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: Literal["message", "note", "event"]
    at: datetime
    channel: str | None = Field(examples=["email"])
    thread_id: str | None = Field(examples=["thr_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    direction: str | None = Field(examples=["inbound"])
    author: AuthorAnswer | None
    subject: str | None = Field(examples=["Invoice 1042"])
    text: str | None = Field(examples=["I was charged twice."])
    html: str | None = Field(examples=[None])
    attachments: list[AttachmentAnswer]
    delivery: str | None = Field(examples=["received"])
    delivery_error: str | None = Field(examples=[None])
    event: str | None = Field(examples=[None], description="What happened, for an event")
    agent_id: str | None = Field(examples=[None], description="The agent an event is about")
    data: dict[str, JsonValue] | None = Field(examples=[None])


class PartAnswer(Answer):
    name: str = Field(examples=["breach"])
    value: float = Field(examples=[0.8])


class ExclusionAnswer(Answer):
    reason: str = Field(examples=["capacity"])
    agents: int = Field(examples=[3])


class ChangeAnswer(Answer):
    at: datetime | None = Field(description="Null when it takes somebody, and not time alone")
    what: str = Field(examples=["widening: skill levels are lowered by 1"])


class WaitingAnswer(Answer):
    """Why the conversation is still in the queue, and what would change that."""

    sentence: str = Field(examples=["Waits for 40 s, one of 3 in its pool; of 2 agents present: 2 have no room."])
    reason: str | None = Field(examples=["all_full"], description="Null when it could be offered at the next pass")
    waited_seconds: float = Field(examples=[40.0], description="Since it first asked for somebody; nothing rewrites it")
    widening_step: int = Field(examples=[0])
    overflow: list[str] = Field(examples=[["many wait"]], description="The overflow rules that hold in its pool")
    urgency: float = Field(examples=[1.62])
    urgency_parts: list[PartAnswer] = Field(description="They add up to the urgency")
    present: int = Field(examples=[2], description="Agents who are present in the pools that it reaches")
    exclusions: list[ExclusionAnswer]
    waits_for: str | None = Field(examples=[None], description="The agent it is worth waiting for")
    changes: list[ChangeAnswer] = Field(description="The next first; those that somebody must make last")
    policy_version: str = Field(examples=["settings-4b0f2c"])


class DecisionAnswer(BaseModel):
    id: str = Field(examples=["dec_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    offer_id: str | None = Field(examples=["off_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    offer_state: str | None = Field(examples=["accepted"])
    pool: str = Field(examples=["default"])
    at: datetime
    policy_version: str = Field(examples=["settings-4b0f2c"])
    model_version: str = Field(examples=["success-1042"])
    agent_id: str = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    runner_up: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    sentence: str = Field(examples=["billing, 0.83 likely to resolve (team 0.71), waited 12 s; nobody else could."])
    record: dict[str, JsonValue] = Field(
        description="Candidates with their score parts, exclusions with their reasons, the parts of the urgency, the"
        " widening step, the estimate of success",
        examples=[{"score": 2.1, "widening_step": 0, "candidates": [], "exclusions": [], "urgency_parts": []}],
    )


class RoutingAnswer(Page[DecisionAnswer]):
    waiting: WaitingAnswer | None = Field(description="While it waits in a queue")


@router.get("", summary="The conversations the caller may see")
async def conversations(
    caller: Caller,
    context: Context,
    records: Records,
    pages: Pages,
    state: Annotated[list[ConversationState] | None, Query(description="Any of these; may be repeated")] = None,
    pool: _Id = None,
    agent: _Id = None,
    customer: _Id = None,
    sort: ConversationOrder = ConversationOrder.OPENED_NEWEST_FIRST,
) -> Page[ConversationAnswer]:
    wanted = ConversationFilter(tuple(sorted(state or ())), pool, agent, customer)
    of = f"conversations {wanted} {sort}"
    key = pages.after(of, 2)
    after = None if key is None else (datetime.fromisoformat(key[0]), key[1])
    found = await list_conversations(records, wanted, viewer_of(caller), sort, after, pages.limit + 1)
    shown = found[: pages.limit]
    more = len(found) > len(shown)
    return Page(
        data=[answer_of(record, context.options) for record in await with_parts(records, shown)],
        next_cursor=pages.cursor(of, _list_key(shown[-1], sort)) if more else None,
        has_more=more,
    )


@router.get("/{id}", summary="One conversation: state, clocks, threads, owner, what it waits for")
async def conversation(id: str, caller: Caller, context: Context, records: Records) -> ConversationAnswer:  # noqa: A002 -- the path's word
    return await conversation_answer(records, context.options, await seen_conversation(records, caller, id))


@router.get("/{id}/timeline", summary="Messages, notes and lifecycle events across channels, in one order")
async def timeline(
    id: str,  # noqa: A002 -- the path's word
    caller: Caller,
    records: Records,
    pages: Pages,
    order: Annotated[Literal["asc", "desc"], Query(description="By time")] = "asc",
) -> Page[TimelineAnswer]:
    await seen_conversation(records, caller, id)
    of = f"timeline {id} {order}"
    key = pages.after(of, 3)
    after = None if key is None else (datetime.fromisoformat(key[0]), key[1], key[2])
    found = await list_timeline(records, id, after, pages.limit + 1, newest_first=order == "desc")
    shown = found[: pages.limit]
    more = len(found) > len(shown)
    return Page(
        data=[_timeline_answer(entry) for entry in shown],
        next_cursor=pages.cursor(of, _timeline_key(shown[-1])) if more else None,
        has_more=more,
    )


@router.get("/{id}/routing", summary="Why it went to whom, the newest decision first, and why it waits")
async def routing(
    id: str,  # noqa: A002 -- the path's word
    caller: Caller,
    context: Context,
    learned: Learned,
    records: Records,
    pages: Pages,
) -> RoutingAnswer:
    await seen_conversation(records, caller, id)
    of = f"routing {id}"
    key = pages.after(of, 2)
    after = None if key is None else (datetime.fromisoformat(key[0]), key[1])
    found = await list_decisions(records, id, after, pages.limit + 1)
    shown = found[: pages.limit]
    more = len(found) > len(shown)
    last = shown[-1][0] if more else None
    waiting = await why_waiting(context.database, id, learned)
    return RoutingAnswer(
        waiting=None if waiting is None else _waiting_answer(waiting),
        data=[_decision_answer(decision, state) for decision, state in shown],
        next_cursor=None if last is None else pages.cursor(of, (last.at.isoformat(), last.id)),
        has_more=more,
    )


def _list_key(row: Conversation, sort: ConversationOrder) -> tuple[str, str]:
    by_opening = sort in {ConversationOrder.OPENED, ConversationOrder.OPENED_NEWEST_FIRST}
    return (row.opened_at if by_opening else row.updated_at).isoformat(), row.id


def _timeline_key(entry: TimelineEntry) -> tuple[str, str, str]:
    at, kind, entry_id = entry.key
    return at.isoformat(), kind, entry_id


def _timeline_answer(entry: TimelineEntry) -> TimelineAnswer:
    return TimelineAnswer.model_validate(
        {
            "id": entry.id,
            "kind": entry.kind,
            "at": entry.at,
            "channel": entry.channel,
            "thread_id": entry.thread_id,
            "direction": entry.direction,
            "author": None if entry.author_kind is None else AuthorAnswer(kind=entry.author_kind, id=entry.author_id),
            "subject": entry.subject,
            "text": entry.text,
            "html": entry.html,
            "attachments": entry.attachments or [],
            "delivery": entry.delivery,
            "delivery_error": entry.delivery_error,
            "event": entry.event,
            "agent_id": entry.agent_id,
            "data": entry.data,
        }
    )


def _waiting_answer(waiting: WaitingAccount) -> WaitingAnswer:
    return WaitingAnswer(
        sentence=waiting.sentence,
        reason=waiting.reason,
        waited_seconds=waiting.waited.total_seconds(),
        widening_step=waiting.widening_step,
        overflow=list(waiting.overflow),
        urgency=waiting.urgency,
        urgency_parts=[PartAnswer.model_validate(part) for part in waiting.urgency_parts],
        present=waiting.present,
        exclusions=[ExclusionAnswer.model_validate(count) for count in waiting.exclusions],
        waits_for=waiting.waits_for,
        changes=[ChangeAnswer.model_validate(change) for change in waiting.changes],
        policy_version=waiting.policy_version,
    )


def _decision_answer(decision: RoutingDecision, offer_state: str | None) -> DecisionAnswer:
    return DecisionAnswer(
        id=decision.id,
        offer_id=decision.offer_id,
        offer_state=offer_state,
        pool=decision.pool,
        at=decision.at,
        policy_version=decision.policy_version,
        model_version=decision.model_version,
        agent_id=str(decision.record["agent_id"]),
        runner_up=None if decision.record["runner_up"] is None else str(decision.record["runner_up"]),
        sentence=str(decision.record["sentence"]),
        record=decision.record,
    )
