"""`GET /v1/kpis/roi`: what a period gained over a baseline, at rates that everybody can see."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.kpis import KpiRange, instant_of
from api.route import BatonRoute, Context, Records
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.kpis.compute import Kpis
from domain.kpis.records import TimeRange
from domain.kpis.roi import RoiRates, roi_view
from domain.settings_document import settings_from_json
from storage.database import Database
from storage.records.kpis import kpi_records, kpi_report
from storage.records.settings import settings_document

router = APIRouter(tags=["supervision"], route_class=BatonRoute)


class Rates(BaseModel):
    """The settings under `roi`; zero until an admin has said what an hour, an escalation and a customer are worth."""

    cost_per_agent_hour: float = Field(examples=[32.0])
    cost_per_escalation: float = Field(examples=[15.0])
    value_per_customer: float = Field(examples=[240.0])
    churn_share: float = Field(examples=[0.1])


class Change(BaseModel):
    """A figure now and then; null where a period has nothing."""

    now: float | None = Field(examples=[0.82])
    then: float | None = Field(examples=[0.74])
    change: float | None = Field(examples=[0.08])


class RoiAnswer(BaseModel):
    range: KpiRange
    baseline: KpiRange
    rates: Rates
    agent_hours_saved: float | None = Field(examples=[41.5])
    agent_cost_saved: float | None = Field(examples=[1328.0])
    escalations_avoided: float | None = Field(examples=[12.0])
    escalation_cost_avoided: float | None = Field(examples=[180.0])
    customers_kept: float | None = Field(examples=[3.2])
    value_of_customers_kept: float | None = Field(examples=[768.0])
    changes: dict[str, Change]


_Day = Annotated[str, Query(max_length=40, examples=["2026-02-01"])]


@router.get("/v1/kpis/roi", summary="What a period gained over a baseline")
async def roi(
    context: Context,
    records: Records,
    from_: Annotated[str, Query(alias="from", max_length=40, examples=["2026-02-01"])],
    to: _Day,
    baseline_from: _Day,
    baseline_to: _Day,
    zone: Annotated[str, Query(max_length=64, examples=["Europe/Berlin"])] = "UTC",
) -> RoiAnswer:
    """Agent hours saved, escalation cost avoided and customers kept, at the volume of the period asked for.

    Losses are negative. Each rate is a setting and stands in the answer, so that anybody can recompute it.
    """
    period = _range("to", instant_of("from", from_, zone, is_end=False), instant_of("to", to, zone, is_end=True))
    baseline = _range(
        "baseline_to",
        instant_of("baseline_from", baseline_from, zone, is_end=False),
        instant_of("baseline_to", baseline_to, zone, is_end=True),
    )
    rates = settings_from_json(await settings_document(records)).roi
    now = await _kpis(context.database, period)
    then = await _kpis(context.database, baseline)
    view = roi_view(
        now,
        then,
        RoiRates(rates.cost_per_agent_hour, rates.cost_per_escalation, rates.value_per_customer, rates.churn_share),
    )
    return RoiAnswer(
        range=KpiRange(start=period.start, end=period.end, zone=zone),
        baseline=KpiRange(start=baseline.start, end=baseline.end, zone=zone),
        rates=Rates(
            cost_per_agent_hour=rates.cost_per_agent_hour,
            cost_per_escalation=rates.cost_per_escalation,
            value_per_customer=rates.value_per_customer,
            churn_share=rates.churn_share,
        ),
        agent_hours_saved=None if view.agent_time_saved is None else view.agent_time_saved.total_seconds() / 3600,
        agent_cost_saved=view.agent_cost_saved,
        escalations_avoided=view.escalations_avoided,
        escalation_cost_avoided=view.escalation_cost_avoided,
        customers_kept=view.customers_kept,
        value_of_customers_kept=view.value_of_customers_kept,
        changes=_changes(now, then),
    )


def _range(parameter: str, start: datetime, end: datetime) -> TimeRange:
    if end <= start:
        raise InvalidInput(FieldProblem(pointer("query", parameter), "the range ends before it begins"))
    return TimeRange(start, end)


async def _kpis(database: Database, range_: TimeRange) -> Kpis:
    return kpi_report(range_, await kpi_records(database, range_, datetime.now(UTC))).overall


def _changes(now: Kpis, then: Kpis) -> dict[str, Change]:
    """Every rate, and the means of what takes time, in seconds."""

    def figures(kpis: Kpis) -> dict[str, float | None]:
        means = {
            "cross_channel_resolution_seconds": kpis.cross_channel_resolution_time.wall.mean,
            "first_response_seconds": kpis.first_response_time.wall.mean,
            "speed_of_answer_seconds": kpis.speed_of_answer.mean,
            "handle_seconds": kpis.handle_time.mean,
        }
        return {
            "channel_deflection_rate": kpis.channel_deflection_rate.value,
            "context_preservation_score": kpis.context_preservation_score.value,
            "customer_effort_score": kpis.customer_effort_score.mean,
            "agent_utilization_efficiency": kpis.agent_utilization_efficiency.value,
            "first_contact_resolution": kpis.first_contact_resolution.value,
            "abandonment_rate": kpis.abandonment_rate.value,
            "reroute_rate": kpis.reroute_rate.value,
            "transfer_rate": kpis.transfer_rate.value,
            "misroute_rate": kpis.misroute_rate.value,
            "suggestion_acceptance": kpis.suggestion_acceptance.value,
            "suggestion_success": kpis.suggestion_success.value,
            **{name: None if mean is None else mean.total_seconds() for name, mean in means.items()},
        }

    before = figures(then)
    return {
        name: Change(
            now=value,
            then=before[name],
            change=None if value is None or (past := before[name]) is None else value - past,
        )
        for name, value in figures(now).items()
    }
