"""An agent puts right what the model took the customer to want."""

from datetime import datetime
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.fields import Body, Name
from api.problems import Conflict
from api.route import BatonRoute, Caller, Records
from api.sight import seen_conversation
from domain.conversation.refusals import RefusalCode
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.settings_document import settings_from_json
from storage.records.intent_corrections import correct_intent
from storage.records.settings import settings_document
from storage.tables import Message

router = APIRouter(prefix="/v1/conversations/{id}", route_class=BatonRoute, tags=["desk"])

_INBOUND: Final = "inbound"


class RightIntent(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"intent": "refund_request"}]})

    intent: Name = Field(examples=["refund_request"], description="One that Baton ships with, or of your own settings")
    message_id: Name | None = Field(
        default=None, description="The message that says it; the first of the present episode, if left out"
    )


class CorrectionAnswer(BaseModel):
    id: str = Field(examples=["cor_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    message_id: str | None = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"], description="What is learned from")
    predicted: str | None = Field(examples=["billing_question"])
    intent: str = Field(examples=["refund_request"])
    at: datetime


@router.post("/intent", status_code=201, summary="Put the intent right: it is routed anew, and the model learns of it")
async def correct(id: str, asked: RightIntent, caller: Caller, records: Records) -> CorrectionAnswer:  # noqa: A002 -- the path's word
    await seen_conversation(records, caller, id)
    if asked.intent not in settings_from_json(await settings_document(records)).profiles:
        raise InvalidInput(FieldProblem(pointer("intent"), "there is no such intent"))
    if asked.message_id is not None:
        message = await records.get(Message, asked.message_id)
        if message is None or message.conversation_id != id or message.direction != _INBOUND:
            raise InvalidInput(FieldProblem(pointer("message_id"), "the customer has written no such message here"))
    stored = await correct_intent(records, id, asked.intent, asked.message_id, caller.agent_id or caller.key_id)
    if stored is None:
        raise Conflict(RefusalCode.CONVERSATION_ENDED, "the conversation is closed or merged")
    return CorrectionAnswer(
        id=stored.id,
        conversation_id=id,
        message_id=stored.message_id,
        predicted=stored.predicted,
        intent=asked.intent,
        at=stored.at,
    )
