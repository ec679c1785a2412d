"""Channels suggested to a customer: by an agent in a conversation, and by a help page before there is one."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.context import ApiContext
from api.conversation_calls import ask_conversation, request_id_of
from api.fields import Answer, Body, Text
from api.problems import NotFound
from api.route import BatonRoute, Caller, Context, Records, Work
from api.sight import seen_conversation
from domain.channels import Channel
from domain.settings import Settings
from domain.settings_document import settings_from_json
from domain.sla.calendar import is_open
from domain.suggestions.reach import Customer, ways_to
from domain.suggestions.rules import SUGGESTED_CHANNELS, Cause
from domain.suggestions.waits import ENOUGH_WAITS, ExpectedWait, where_to_begin
from storage.ledger.case_facts import calendar_from
from storage.ledger.journey_facts import channels_of_ours, read_calendars, read_reach, read_waits
from storage.records.settings import settings_document
from storage.records.suggestions import suggestion_of_channel, suggestions_of
from storage.tables import SuggestionRow
from workflows.messages import SuggestChannel

router = APIRouter(prefix="/v1", route_class=BatonRoute)

_SWITCHES = Literal["video", "voice", "email"]


class Suggesting(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"channel": "video", "reason": "Let us look together."}]})

    channel: _SWITCHES = Field(description="Where the customer is to be led")
    reason: Text = Field(default="", description="For colleagues; the customer is told in Baton's own words")


class SuggestionAnswer(Answer):
    id: str = Field(examples=["sug_06b2m4x0a8v3c5d7e9f1g2h3j4_1"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    episode: int = Field(examples=[1])
    channel: str = Field(examples=["video"])
    from_channel: str = Field(examples=["web_chat"])
    cause: Cause = Field(examples=["screen_sharing"])
    reason: str | None = Field(examples=[None])
    by_agent: str | None = Field(examples=[None])
    state: Literal["offered", "accepted", "declined", "ignored"] = Field(examples=["accepted"])
    via: str | None = Field(description="word or link, once answered", examples=["word"])
    offered_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    callback_at: datetime | None
    thread_id: str | None = Field(description="The thread that the accept opened", examples=[None])
    resolved_there: bool | None = Field(description="Known when the episode has ended", examples=[True])


class SuggestionList(BaseModel):
    data: list[SuggestionAnswer]


class WaitAnswer(BaseModel):
    channel: Channel
    median_seconds: float | None = Field(description="null when too few were answered lately", examples=[95.0])
    p90_seconds: float | None = Field(examples=[310.0])
    answered: int = Field(description="In the last 24 hours", examples=[42])
    waiting: int = Field(description="Right now", examples=[3])


class BeginningAnswer(BaseModel):
    channel: Channel | None = Field(description="null when nothing speaks for one", examples=["video"])
    reason: Cause | None = Field(examples=["screen_sharing"])
    intent: str | None = Field(description="As given, or as read out of the text", examples=["setup_help"])
    open_channels: list[Channel] = Field(description="Open now, the usual first", examples=[["web_chat", "video"]])
    waits: list[WaitAnswer]


@router.get("/conversations/{id}/suggestions", tags=["desk"], summary="The channels suggested in a conversation")
async def suggestions(id: str, caller: Caller, records: Records) -> SuggestionList:  # noqa: A002 -- the path's word
    await seen_conversation(records, caller, id)
    rows = await suggestions_of(records, id)
    return SuggestionList(data=[SuggestionAnswer.model_validate(row) for row in rows])


@router.post(
    "/conversations/{id}/suggestions", status_code=201, tags=["desk"], summary="Suggest another channel to the customer"
)
async def suggest(
    id: str,  # noqa: A002 -- the path's word
    asked: Suggesting,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> SuggestionAnswer:
    """The customer is told where they are, and answers by one word or the link.

    Refused under `cannot_suggest` when the channel is against their preference, closed, or was suggested before.
    """
    await seen_conversation(await work.session(), caller, id)
    await work.commit()
    message = SuggestChannel(
        caller.agent_id or caller.key_id, Channel(asked.channel), asked.reason, by_supervisor=caller.is_supervising
    )
    await ask_conversation(context, id, message, request_id_of(request, caller))
    row: SuggestionRow | None = await suggestion_of_channel(await work.session(), id, asked.channel)
    if row is None:
        raise NotFound("suggestion")
    return SuggestionAnswer.model_validate(row)


@router.get("/suggest-channel", tags=["help page"], summary="Where a customer should begin")
async def suggest_channel(
    context: Context,
    records: Records,
    intent: Annotated[str | None, Query(max_length=100, examples=["setup_help"])] = None,
    text: Annotated[str | None, Query(max_length=2000, description="Read when no intent is given")] = None,
    customer: Annotated[str | None, Query(max_length=100, description="A customer's id, if it is known")] = None,
) -> BeginningAnswer:
    """For a help page or a widget, asked by the site's own server: what is open, how long people waited lately, advice.

    Waits are medians of the last 24 hours with their counts, and null where too little was seen to say anything.
    """
    if intent is None and text and context.intent_of is not None:
        intent = await context.intent_of(text)
    settings = settings_from_json(await settings_document(records))
    open_channels, waits = await _standing(context, settings, intent, customer)
    rules = settings.suggestions.rules if settings.suggestions.enabled else ()
    advice = where_to_begin(rules, open_channels, waits, intent)
    return BeginningAnswer(
        channel=advice.channel,
        reason=advice.cause,
        intent=intent,
        open_channels=list(open_channels),
        waits=[
            WaitAnswer(
                channel=wait.channel,
                median_seconds=None if wait.median is None else wait.median.total_seconds(),
                p90_seconds=None if wait.p90 is None else wait.p90.total_seconds(),
                answered=wait.answered,
                waiting=wait.waiting,
            )
            for wait in waits
        ],
    )


async def _standing(
    context: ApiContext, settings: Settings, intent: str | None, customer_id: str | None
) -> tuple[tuple[Channel, ...], tuple[ExpectedWait, ...]]:
    """The channels that are open to this customer now, those with an account of ours first, and the recent waits."""
    now = datetime.now(UTC)
    named = [calendar for _, calendar in settings.suggestions.hours]
    async with context.database.ledger.connection() as connection:
        accounts = await channels_of_ours(connection)
        calendars = await read_calendars(connection, named, now)
        waits = await read_waits(connection, now, ENOUGH_WAITS)
        # Somebody unknown may use every way there is: they will prove their address by using it.
        known = Customer(proven=("email", "phone"))
        if customer_id is not None:
            facts = await read_reach(connection, customer_id, None, intent, now)
            if facts is None:
                raise NotFound("customer")
            calls = None
            if facts.preferred_hours:
                calls = calendar_from(facts.time_zone or "UTC", facts.preferred_hours, {}, now)
            known = Customer(tuple(facts.preferred_channels), tuple(facts.proven), (), calls)
    led_to = [
        way.channel
        for way in ways_to(known, settings.suggestions, accounts, calendars)
        if all(is_open(hours, now) for hours in way.hours)
    ]
    ours = [Channel(name) for name in accounts]
    usual = [channel for channel in ours if channel not in SUGGESTED_CHANNELS]
    wanted = known.preferred_channels
    kept = [channel for channel in usual if not wanted or channel in wanted]
    return tuple(dict.fromkeys([*kept, *led_to])), waits
