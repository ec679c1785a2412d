"""The shape every answer about a conversation has."""

from datetime import datetime
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.context import ApiOptions
from domain.channels import Channel
from storage.records.conversations import ConversationRecord, with_parts
from storage.tables import ClockRow, Conversation, Thread
from workflows.messages import workflow_id

ConversationState = Literal[
    "new",
    "queued",
    "offered",
    "assigned",
    "pending_customer",
    "on_hold",
    "wrap_up",
    "resolved",
    "closed",
    "merged",
]


class ThreadAnswer(BaseModel):
    id: str = Field(examples=["thr_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    channel: str = Field(examples=[Channel.EMAIL.value])
    account: str = Field(examples=["support"])
    address: str = Field(examples=["mia@example.org"])
    last_inbound_at: datetime | None


class ClockAnswer(BaseModel):
    metric: str = Field(examples=["first_response"])
    target_seconds: float = Field(examples=[3600.0])
    due_at: datetime | None
    state: str = Field(examples=["running"], description="running, paused, met or breached")
    breached_at: datetime | None


class WaitingForAnswer(BaseModel):
    what: str = Field(examples=["an agent"])
    until: datetime | None


class ConversationAnswer(BaseModel):
    id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    state: str = Field(examples=["assigned"])
    episode: int = Field(examples=[1])
    customer_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    subject: str | None = Field(examples=["Invoice 1042"])
    intent: str | None = Field(examples=["billing"])
    intent_confidence: float | None = Field(examples=[0.93])
    sentiment: float | None = Field(examples=[-0.2])
    language: str | None = Field(examples=["en"])
    priority: int = Field(examples=[3])
    pool: str = Field(examples=["default"])
    agent_id: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"], description="Who is responsible now")
    owner_id: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"], description="Whom the customer knows")
    channels: list[str] = Field(examples=[["email"]])
    threads: list[ThreadAnswer]
    clocks: list[ClockAnswer]
    waiting_for: WaitingForAnswer | None
    merged_into: str | None = Field(examples=[None])
    opened_at: datetime
    queued_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    end_reason: str | None = Field(examples=[None])
    workflow_url: str | None = Field(
        examples=["http://localhost:8233/namespaces/default/workflows/conversation%2Fcon_1"]
    )


async def conversation_answer(
    records: AsyncSession, options: ApiOptions, conversation: Conversation
) -> ConversationAnswer:
    (record,) = await with_parts(records, [conversation])
    return answer_of(record, options)


def answer_of(record: ConversationRecord, options: ApiOptions) -> ConversationAnswer:
    row = record.row
    return ConversationAnswer(
        id=row.id,
        state=row.state,
        episode=row.episode,
        customer_id=row.customer_id,
        subject=row.subject,
        intent=row.intent,
        intent_confidence=row.intent_confidence,
        sentiment=row.sentiment,
        language=row.language,
        priority=row.priority,
        pool=row.pool,
        agent_id=row.agent_id,
        owner_id=row.owner_id,
        channels=row.channels,
        threads=[_thread(thread) for thread in record.threads],
        clocks=[_clock(clock) for clock in record.clocks],
        waiting_for=None
        if row.waiting_for is None
        else WaitingForAnswer(what=row.waiting_for, until=row.waiting_until),
        merged_into=row.merged_into,
        opened_at=row.opened_at,
        queued_at=row.queued_at,
        resolved_at=row.resolved_at,
        closed_at=row.closed_at,
        end_reason=row.end_reason,
        workflow_url=_workflow_url(row.id, options),
    )


def _thread(thread: Thread) -> ThreadAnswer:
    return ThreadAnswer(
        id=thread.id,
        channel=thread.channel,
        account=thread.account,
        address=thread.address,
        last_inbound_at=thread.last_inbound_at,
    )


def _clock(clock: ClockRow) -> ClockAnswer:
    return ClockAnswer(
        metric=clock.metric,
        target_seconds=clock.target_seconds,
        due_at=clock.due_at,
        state=clock.state,
        breached_at=clock.breached_at,
    )


def _workflow_url(conversation_id: str, options: ApiOptions) -> str | None:
    if options.temporal_ui_url is None:
        return None
    workflow = quote(workflow_id(conversation_id), safe="")
    return f"{options.temporal_ui_url.rstrip('/')}/namespaces/{quote(options.temporal_namespace)}/workflows/{workflow}"
