"""What calls for a supervisor now: promises that were broken, conversations that were escalated."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.cursors import Page, Pages
from api.fields import Answer
from api.problems import NotFound
from api.route import BatonRoute, Caller, Records
from storage.records.alerts import acknowledge_alert, alerts_after

router = APIRouter(prefix="/v1/alerts", tags=["queues"], route_class=BatonRoute)


class AlertAnswer(Answer):
    id: str = Field(examples=["alr_06b2m4x0a8v3c5d7e9f1g2h3j4_1"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    episode: int = Field(examples=[1])
    pool: str = Field(examples=["default"])
    agent_id: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: str = Field(examples=["sla"], description="`sla` or `escalation`")
    metric: str | None = Field(examples=["first_response"])
    reason: str = Field(examples=["sla_breached"])
    raised_at: datetime = Field(examples=["2026-01-05T09:05:00Z"])
    acknowledged_at: datetime | None = Field(examples=[None])
    acknowledged_by: str | None = Field(examples=[None])
    settled_at: datetime | None = Field(examples=[None], description="When what it was about was over")


@router.get("", summary="The alerts that stand, oldest first, or all there have been")
async def alerts(
    records: Records,
    pages: Pages,
    pool: Annotated[str | None, Query(max_length=200)] = None,
    everything: Annotated[bool, Query(description="Also those acknowledged or settled")] = False,
) -> Page[AlertAnswer]:
    of = f"alerts {pool} {everything}"
    key = pages.after(of, 2)
    after = None if key is None else (datetime.fromisoformat(key[0]), key[1])
    found = await alerts_after(records, pool, after, pages.limit + 1, standing=not everything)
    shown = found[: pages.limit]
    last = shown[-1] if len(found) > len(shown) else None
    return Page(
        data=[AlertAnswer.model_validate(row) for row in shown],
        next_cursor=None if last is None else pages.cursor(of, (last.raised_at.isoformat(), last.id)),
        has_more=last is not None,
    )


@router.post("/{id}/acknowledge", summary="Take an alert on; who is second is shown who was first")
async def acknowledge(id: str, caller: Caller, records: Records) -> AlertAnswer:  # noqa: A002 -- the path's word
    alert = await acknowledge_alert(records, id, caller.agent_id or caller.key_id)
    if alert is None:
        raise NotFound("alert")
    return AlertAnswer.model_validate(alert)
