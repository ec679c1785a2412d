"""Everything about a conversation's customer in one call, and the rest of their history page by page."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, Literal, TypeVar

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, JsonValue

from api.access import Principal
from api.context import ApiContext
from api.cursors import Page, Pages, Paging
from api.problems import NotFound
from api.route import BatonRoute, Caller, Context
from api.sight import viewer_of
from domain.customers.patterns import Complexity, IntentPattern
from domain.customers.preferences import LearnedChannel, LearnedHours
from storage.database import LedgerConnection
from storage.records.customer_context import (
    CONVERSATIONS_SHOWN,
    EVENTS_SHOWN,
    MESSAGES_SHOWN,
    Found,
    Row,
    channels_of,
    find_context,
    hours_of,
    patterns_of,
)
from storage.records.customer_history import HistoryKey, conversations_before, events_before, messages_before
from storage.records.sight import Viewer

router = APIRouter(prefix="/v1/conversations/{id}/context", route_class=BatonRoute, tags=["desk"])

_CONVERSATION: Final = "con_06b2m4x0a8v3c5d7e9f1g2h3j4"
_CUSTOMER: Final = "cus_06b2m4x0a8v3c5d7e9f1g2h3j4"
_AGENT: Final = "agt_06b2m4x0a8v3c5d7e9f1g2h3j4"


class AuthorAnswer(BaseModel):
    kind: str = Field(examples=["customer"], description="customer, agent, supervisor or system")
    id: str | None = Field(examples=[_CUSTOMER])


class CustomerAnswer(BaseModel):
    id: str = Field(examples=[_CUSTOMER])
    display_name: str = Field(examples=["Mia Rossi"])
    segment: str = Field(examples=["gold"])
    lifetime_value: float | None = Field(examples=[12400.0])
    contract: str | None = Field(examples=["Enterprise, 3 years"])
    renewal_on: str | None = Field(examples=["2027-01-31"], description="A day")
    health_score: float | None = Field(examples=[0.42], description="0 (about to leave) to 1")
    health_at: datetime | None
    time_zone: str | None = Field(examples=["Europe/Rome"])
    languages: list[str] = Field(examples=[["it", "en"]])
    preferred_channels: list[str] = Field(examples=[["email"]])
    preferred_hours: dict[str, JsonValue] | None = Field(examples=[None])
    attributes: dict[str, JsonValue] = Field(examples=[{"plan": "pro"}])
    created_at: datetime


class IdentityAnswer(BaseModel):
    id: str = Field(examples=["idn_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: str = Field(examples=["email"])
    address: str = Field(examples=["mia@example.org"])
    verified: bool = Field(examples=[True])
    blocked: bool = Field(examples=[False], description="Its messages are kept and reach nobody")


class PastConversation(BaseModel):
    id: str = Field(examples=[_CONVERSATION])
    state: str = Field(examples=["closed"])
    episode: int = Field(examples=[1])
    subject: str | None = Field(examples=["Invoice 1042"])
    intent: str | None = Field(examples=["billing"])
    channels: list[str] = Field(examples=[["email"]])
    owner_id: str | None = Field(examples=[_AGENT])
    opened_at: datetime
    resolved_at: datetime | None
    end_reason: str | None = Field(examples=["resolved"])
    merged_into: str | None = Field(examples=[None])


class PastMessage(BaseModel):
    id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    conversation_id: str = Field(examples=[_CONVERSATION])
    kind: Literal["message", "note"]
    at: datetime
    channel: str = Field(examples=["email"])
    direction: str = Field(examples=["inbound"])
    author: AuthorAnswer
    subject: str | None = Field(examples=["Invoice 1042"])
    text: str = Field(examples=["I was charged twice."], description="Its first 2000 characters")
    text_cut: bool = Field(examples=[False], description="There is more of it in the timeline")
    delivery: str = Field(examples=["received"])
    blocked: bool = Field(examples=[False])


class CustomerEventAnswer(BaseModel):
    id: str = Field(examples=["cev_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    source: str = Field(examples=["shop"])
    external_id: str = Field(examples=["order-1042"])
    kind: str = Field(examples=["purchase"])
    product: str = Field(examples=["Coffee machine"])
    at: datetime
    amount: float | None = Field(examples=[249.9])
    currency: str | None = Field(examples=["EUR"])
    quantity: int = Field(examples=[1])


class ProductAnswer(BaseModel):
    product: str = Field(examples=["Coffee machine"])
    purchased: int = Field(examples=[2])
    uses: int = Field(examples=[40])
    subscription: str | None = Field(examples=[None], description="The latest event of its subscription")
    first_at: datetime
    last_at: datetime


class LearnedChannelAnswer(BaseModel):
    channel: str = Field(examples=["sms"])
    written: int = Field(examples=[31])
    answers: int = Field(examples=[20], description="Of these, answers to us")
    sent: int = Field(examples=[28])
    share: float = Field(examples=[0.71], description="Of what they wrote, shrunk towards no preference")
    preferred: bool = Field(examples=[True])


class LearnedHoursAnswer(BaseModel):
    start: str = Field(examples=["18:00"])
    end: str = Field(examples=["21:00"])
    messages: int = Field(examples=[25])
    share: float = Field(examples=[0.5])


class LearnedLanguageAnswer(BaseModel):
    language: str = Field(examples=["it"])
    conversations: int = Field(examples=[4])


class PreferencesAnswer(BaseModel):
    """Stated ones are the customer's fields; these are learned from their latest 500 messages."""

    channels: list[LearnedChannelAnswer]
    hours: list[LearnedHoursAnswer]
    hours_zone: str = Field(examples=["Europe/Rome"], description="The customer's zone, UTC while it is unknown")
    languages: list[LearnedLanguageAnswer]


class CountedAnswer(BaseModel):
    name: str = Field(examples=["email"])
    episodes: int = Field(examples=[3])


class ResolverAnswer(BaseModel):
    agent_id: str = Field(examples=[_AGENT])
    display_name: str = Field(examples=["Alex"])
    episodes: int = Field(examples=[3])


class PatternAnswer(BaseModel):
    """How the customer's issues of one intent went, over the episodes resolved so far."""

    intent: str | None = Field(examples=["billing"])
    episodes: int = Field(examples=[4])
    conversations: int = Field(examples=[3])
    reopen_share: float = Field(examples=[0.25])
    mean_resolution_seconds: float | None = Field(examples=[5400.0], description="To the first resolve")
    mean_handle_seconds: float = Field(examples=[900.0])
    complexity: Complexity = Field(examples=["usual"])
    complexity_points: float = Field(examples=[0.8])
    channels: list[CountedAnswer] = Field(description="Where they were resolved, the most frequent first")
    resolved_by: list[ResolverAnswer]


class EvidenceAnswer(BaseModel):
    kind: str = Field(examples=["typed_address"])
    subject: str = Field(examples=["email:mia@example.org"])


class SuggestedLinkAnswer(BaseModel):
    id: str = Field(examples=["isg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    customer_id: str = Field(examples=[_CUSTOMER], description="Who this customer may be")
    display_name: str = Field(examples=["Mia R."])
    score: float = Field(examples=[0.6])
    evidence: list[EvidenceAnswer]
    found_at: datetime


class StatisticsAnswer(BaseModel):
    conversations: int = Field(examples=[4])
    open_conversations: int = Field(examples=[1])
    first_contact_at: datetime | None
    inbound_messages: int = Field(examples=[9])
    outbound_messages: int = Field(examples=[7])
    resolutions: int = Field(examples=[3])
    mean_resolution_seconds: float | None = Field(examples=[5400.0], description="Of first episodes; null before one")
    breaches: int = Field(examples=[0])


class MoreAnswer(BaseModel):
    """Cursors for the lists below `/context`; null where the context call has it all."""

    conversations: str | None = Field(examples=[None])
    messages: str | None = Field(examples=["WyIyMDI2LTAxLTA1VDA5OjAwOjAwWiJd"])
    events: str | None = Field(examples=[None])


class ContextAnswer(BaseModel):
    customer: CustomerAnswer
    identities: list[IdentityAnswer]
    suggestions: list[SuggestedLinkAnswer] = Field(description="Who they may be too, the likeliest first")
    preferences: PreferencesAnswer
    products: list[ProductAnswer] = Field(description="The latest used or bought first")
    events: list[CustomerEventAnswer] = Field(description=f"The newest first, {EVENTS_SHOWN} at most")
    patterns: list[PatternAnswer] = Field(description="By intent, the most frequent first")
    conversations: list[PastConversation] = Field(description=f"The newest first, {CONVERSATIONS_SHOWN} at most")
    messages: list[PastMessage] = Field(
        description=f"The latest {MESSAGES_SHOWN} across all conversations and channels, the oldest first"
    )
    statistics: StatisticsAnswer
    more: MoreAnswer


@router.get("", summary="Everything about the conversation's customer in one call", response_model=ContextAnswer)
async def customer_context(id: str, caller: Caller, context: Context, pages: Pages) -> Response:  # noqa: A002 -- the path's word
    async with context.database.ledger.connection() as connection:
        found = await find_context(connection, id, viewer_of(caller))
    if found is None:
        raise NotFound("conversation")
    # Checked and written once: FastAPI would do both again.
    return Response(_context_answer(found, id, pages).model_dump_json(), media_type="application/json")


@router.get("/messages", summary="The customer's messages across all conversations, the newest first")
async def context_messages(id: str, caller: Caller, context: Context, pages: Pages) -> Page[PastMessage]:  # noqa: A002 -- the path's word
    return await _page(_MESSAGES, id, caller, context, pages)


@router.get("/conversations", summary="The customer's conversations, the newest first")
async def context_conversations(id: str, caller: Caller, context: Context, pages: Pages) -> Page[PastConversation]:  # noqa: A002 -- the path's word
    return await _page(_CONVERSATIONS, id, caller, context, pages)


@router.get("/events", summary="What the customer bought and used, the newest first")
async def context_events(id: str, caller: Caller, context: Context, pages: Pages) -> Page[CustomerEventAnswer]:  # noqa: A002 -- the path's word
    return await _page(_EVENTS, id, caller, context, pages)


Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Part(Generic[Shape]):
    """A list below the context, in the order of the column `at`."""

    name: str
    at: str
    before: Callable[[LedgerConnection, str, Viewer | None, HistoryKey | None, int], Awaitable[list[Row] | None]]
    shape: type[Shape]


_MESSAGES: Final = _Part("messages", "at", messages_before, PastMessage)
_CONVERSATIONS: Final = _Part("conversations", "opened_at", conversations_before, PastConversation)
_EVENTS: Final = _Part("events", "at", events_before, CustomerEventAnswer)


async def _page(
    part: _Part[Shape], conversation_id: str, caller: Principal, context: ApiContext, pages: Paging
) -> Page[Shape]:
    key = pages.after(_list_of(part, conversation_id), 2)
    before = None if key is None else (datetime.fromisoformat(key[0]), key[1])
    async with context.database.ledger.connection() as connection:
        found = await part.before(connection, conversation_id, viewer_of(caller), before, pages.limit + 1)
    if found is None:
        raise NotFound("conversation")
    shown = found[: pages.limit]
    more = len(found) > len(shown)
    return Page(
        data=[part.shape.model_validate(row) for row in shown],
        next_cursor=_cursor(pages, part, conversation_id, shown[-1]) if more else None,
        has_more=more,
    )


def _list_of(part: _Part[Shape], conversation_id: str) -> str:
    return f"context {part.name} {conversation_id}"


def _cursor(pages: Paging, part: _Part[Shape], conversation_id: str, last: Row) -> str:
    return pages.cursor(_list_of(part, conversation_id), (str(last[part.at]), str(last["id"])))


def _context_answer(found: Found, conversation_id: str, pages: Pages) -> ContextAnswer:
    conversations, messages, events = found["conversations"], found["messages"], found["events"]
    shown_messages = messages[-MESSAGES_SHOWN:]
    return ContextAnswer.model_validate(
        {
            "customer": found["customer"],
            "identities": found["identities"],
            "suggestions": found["suggestions"],
            "preferences": {
                "channels": [_learned_channel(one) for one in channels_of(found)],
                "hours": [_learned_hours(one) for one in hours_of(found)],
                "hours_zone": found["customer"]["time_zone"] or "UTC",
                "languages": found["spoken"],
            },
            "products": found["products"],
            "events": events[:EVENTS_SHOWN],
            "patterns": [_pattern(one, found["agents"]) for one in patterns_of(found)],
            "conversations": conversations[:CONVERSATIONS_SHOWN],
            "messages": shown_messages,
            "statistics": found["statistics"],
            "more": {
                "conversations": _cursor(pages, _CONVERSATIONS, conversation_id, conversations[CONVERSATIONS_SHOWN - 1])
                if len(conversations) > CONVERSATIONS_SHOWN
                else None,
                "messages": _cursor(pages, _MESSAGES, conversation_id, shown_messages[0])
                if len(messages) > MESSAGES_SHOWN
                else None,
                "events": _cursor(pages, _EVENTS, conversation_id, events[EVENTS_SHOWN - 1])
                if len(events) > EVENTS_SHOWN
                else None,
            },
        }
    )


# Plain values: the whole answer is checked once.
def _learned_channel(one: LearnedChannel) -> dict[str, object]:
    return {
        "channel": one.channel,
        "written": one.written,
        "answers": one.answers,
        "sent": one.sent,
        "share": one.share,
        "preferred": one.is_preferred,
    }


def _learned_hours(one: LearnedHours) -> dict[str, object]:
    return {"start": f"{one.start:02}:00", "end": f"{one.end:02}:00", "messages": one.messages, "share": one.share}


def _pattern(one: IntentPattern, agents: dict[str, str]) -> dict[str, object]:
    return {
        "intent": one.intent,
        "episodes": one.episodes,
        "conversations": one.conversations,
        "reopen_share": one.reopen_share,
        "mean_resolution_seconds": None if one.mean_resolution is None else one.mean_resolution.total_seconds(),
        "mean_handle_seconds": one.mean_handle.total_seconds(),
        "complexity": one.complexity,
        "complexity_points": one.points,
        "channels": [{"name": name, "episodes": episodes} for name, episodes in one.channels],
        "resolved_by": [
            {"agent_id": agent_id, "display_name": agents.get(agent_id, agent_id), "episodes": episodes}
            for agent_id, episodes in one.agents
        ],
    }
