"""The queues, as a supervisor watches them."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.fields import Answer
from api.route import BatonRoute, Records
from storage.records.queues import queue_standings

router = APIRouter(prefix="/v1/queues", tags=["queues"], route_class=BatonRoute)


class QueueAnswer(Answer):
    pool: str = Field(examples=["default"])
    waiting: int = Field(examples=[3], description="Conversations that wait, an offer pending or not")
    oldest_wait_seconds: float | None = Field(examples=[41.5])
    next_breach_at: datetime | None = Field(
        examples=["2026-01-05T09:05:00Z"], description="The earliest promise not kept yet; past once it is broken"
    )
    offers_pending: int = Field(examples=[1])
    alerts: int = Field(examples=[1], description="Calls for a supervisor that nobody has acknowledged")
    agents_by_presence: dict[str, int] = Field(examples=[{"online": 4, "away": 1}])
    capacity: int = Field(examples=[400], description="Units of the agents who are online")
    free_units: int = Field(examples=[132])


class QueuesAnswer(BaseModel):
    data: list[QueueAnswer]


@router.get("", summary="How every pool stands now")
async def queues(records: Records) -> QueuesAnswer:
    return QueuesAnswer(data=[QueueAnswer.model_validate(standing) for standing in await queue_standings(records)])
