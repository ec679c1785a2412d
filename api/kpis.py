"""`GET /v1/kpis`: how well it went in a range of time, over all and by group, as JSON or as a table."""

import asyncio
import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Annotated, Final
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.route import BatonRoute, Context
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.kpis.compute import KpiReport, Kpis
from domain.kpis.figures import DurationSummary, Ratio, ScoreSummary
from domain.kpis.records import TimeRange, whole_days
from domain.kpis.scope import Dimension
from storage.records.kpis import kpi_records, kpi_report

router = APIRouter(tags=["supervision"], route_class=BatonRoute)

_USUAL: Final = timedelta(days=30)
_LONGEST: Final = timedelta(days=367)
_YEARS: Final = range(1990, 2201)
_FORMULA_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_FIGURES: Final = ("value", "numerator", "denominator", "mean", "p50", "p90", "count")


class Rate(BaseModel):
    """A ratio and its two parts; null without a denominator."""

    value: float | None = Field(examples=[0.75])
    numerator: float = Field(examples=[3])
    denominator: float = Field(examples=[4])


class Seconds(BaseModel):
    """How long something took, in seconds."""

    mean: float | None = Field(examples=[420.5])
    p50: float | None = Field(examples=[300.0])
    p90: float | None = Field(examples=[900.0])
    count: int = Field(examples=[12])


class Scores(BaseModel):
    """How something was rated: `value` is the mean."""

    value: float | None = Field(examples=[None])
    mean: float | None = Field(examples=[None])
    p50: float | None = Field(examples=[None])
    p90: float | None = Field(examples=[None])
    count: int = Field(examples=[0])


class Attainments(BaseModel):
    """Clocks met ÷ clocks ended, per promise."""

    first_response: Rate
    next_response: Rate
    resolution: Rate
    owner_silence: Rate


class DerivedEffortFigures(BaseModel):
    """What a resolved conversation asked of its customer, from the log; never mixed into what customers answered."""

    switches: Rate
    repeats: Rate
    transfers: Rate
    reopens: Rate
    wait_seconds: Seconds


class KpiFigures(BaseModel):
    """Every KPI of one set of conversations."""

    conversations: int = Field(examples=[4])
    resolved: int = Field(examples=[4])
    channel_deflection_rate: Rate
    context_preservation_score: Rate
    context_preservation_per_conversation: Scores
    cross_channel_resolution_seconds: Seconds
    cross_channel_resolution_business_seconds: Seconds
    customer_effort_score: Scores
    effort_answer_rate: Rate
    derived_effort: DerivedEffortFigures
    agent_utilization_efficiency: Rate
    occupancy: Rate
    expertise_match: Rate
    first_contact_resolution: Rate
    first_response_seconds: Seconds
    first_response_business_seconds: Seconds
    next_response_seconds: Seconds
    next_response_business_seconds: Seconds
    resolution_seconds: Seconds
    resolution_business_seconds: Seconds
    sla_attainment: Attainments
    speed_of_answer_seconds: Seconds
    abandonment_rate: Rate
    handle_seconds: Seconds
    reroute_rate: Rate
    transfer_rate: Rate
    decline_rate: Rate
    offer_timeout_rate: Rate
    misroute_rate: Rate
    suggestion_acceptance: Rate
    suggestion_success: Rate


class KpiRange(BaseModel):
    """From `from` until just before `to`."""

    model_config = ConfigDict(populate_by_name=True)

    start: datetime = Field(alias="from", examples=["2026-01-01T00:00:00Z"])
    end: datetime = Field(alias="to", examples=["2026-02-01T00:00:00Z"])
    zone: str = Field(examples=["Europe/Berlin"])


class KpiGroupFigures(BaseModel):
    key: dict[Dimension, str | None] = Field(examples=[{"channel": "email"}])
    kpis: KpiFigures


class KpiAnswer(BaseModel):
    range: KpiRange
    kpis: KpiFigures
    groups: list[KpiGroupFigures]


class KpiQuestion:
    """`?from=&to=&zone=&group_by=` of one request."""

    def __init__(
        self,
        from_: Annotated[
            str | None,
            Query(
                alias="from",
                max_length=40,
                description="A day in `zone`, or an instant; 30 days before `to` when it is missing",
                examples=["2026-01-01"],
            ),
        ] = None,
        to: Annotated[
            str | None,
            Query(
                max_length=40,
                description="A day in `zone`, itself included, or an instant, itself not; now when it is missing",
                examples=["2026-01-31"],
            ),
        ] = None,
        zone: Annotated[str, Query(max_length=64, description="An IANA time zone", examples=["Europe/Berlin"])] = "UTC",
        group_by: Annotated[
            list[str] | None,
            Query(
                description="channel, intent, segment, pool, agent; several by comma", examples=[["channel,segment"]]
            ),
        ] = None,
    ) -> None:
        if zone not in _zones():
            raise _invalid("zone", "this is not an IANA time zone")
        self.now = datetime.now(UTC)
        self.zone = zone
        end = self.now if to is None else instant_of("to", to, zone, is_end=True)
        start = end - _USUAL if from_ is None else instant_of("from", from_, zone, is_end=False)
        if end <= start:
            raise _invalid("to", "the range ends before it begins")
        if end - start > _LONGEST:
            raise _invalid("from", f"a range is {_LONGEST.days} days at most")
        self.range = TimeRange(start, end)
        self.group_by = _dimensions(group_by or [])


Question = Annotated[KpiQuestion, Depends()]


@router.get("/v1/kpis", summary="The KPIs of a range of time")
async def kpis(context: Context, question: Question) -> KpiAnswer:
    """Every figure over what was resolved in the range, computed from what was recorded; see docs for definitions."""
    report = await _report(context, question)
    return KpiAnswer(
        range=KpiRange(start=report.range.start, end=report.range.end, zone=question.zone),
        kpis=_figures(report.overall),
        groups=[
            KpiGroupFigures(key=dict(zip(report.group_by, group.key, strict=True)), kpis=_figures(group.kpis))
            for group in report.groups
        ],
    )


@router.get(
    "/v1/kpis.csv",
    summary="The KPIs of a range of time as a table",
    response_model=None,
    response_class=Response,
    responses={
        200: {
            "description": "One row per group and KPI; the rows over all come first and name no group",
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "scope,channel,kpi,value,numerator,denominator,mean,p50,p90,count\r\n"
                    "all,,abandonment_rate,0.25,1,4,,,,\r\n",
                }
            },
        }
    },
)
async def kpis_as_table(context: Context, question: Question) -> Response:
    """The same figures as `GET /v1/kpis`; no cell begins like a spreadsheet formula."""
    return Response(
        _table(await _report(context, question)),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="kpis.csv"'},
    )


async def _report(context: Context, question: KpiQuestion) -> KpiReport:
    records = await kpi_records(context.database, question.range, question.now)
    # A year's records take a while: other requests go on meanwhile.
    return await asyncio.to_thread(kpi_report, question.range, records, question.group_by)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _invalid(parameter: str, detail: str) -> InvalidInput:
    return InvalidInput(FieldProblem(pointer("query", parameter), detail))


def instant_of(parameter: str, written: str, zone: str, *, is_end: bool) -> datetime:
    """The instant of a bound; a day is its beginning in the zone, or its end when it ends the range.

    Raises:
        InvalidInput: no day and no instant, or no such zone.
    """
    if zone not in _zones():
        raise _invalid("zone", "this is not an IANA time zone")
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return _exact_instant(parameter, written)
    if day.year not in _YEARS:
        raise _invalid(parameter, "this year is out of bounds")
    whole = whole_days(day, day, zone)
    return whole.end if is_end else whole.start


def _exact_instant(parameter: str, written: str) -> datetime:
    try:
        instant = datetime.fromisoformat(written)
    except ValueError as error:
        raise _invalid(parameter, "write a day (2026-01-31) or an instant (2026-01-31T12:00:00Z)") from error
    if instant.tzinfo is None:
        raise _invalid(parameter, "an instant needs its offset (2026-01-31T12:00:00Z)")
    if instant.year not in _YEARS:
        raise _invalid(parameter, "this year is out of bounds")
    return instant.astimezone(UTC)


def _dimensions(asked: list[str]) -> tuple[Dimension, ...]:
    names = [name for part in asked for name in part.split(",")]
    known = {dimension.value: dimension for dimension in Dimension}
    if any(name not in known for name in names):
        raise _invalid("group_by", f"one can group by {', '.join(known)}")
    if len(set(names)) < len(names):
        raise _invalid("group_by", "one groups by each only once")
    return tuple(known[name] for name in names)


def _figures(kpis: Kpis) -> KpiFigures:
    attained = {attainment.metric.value: _rate(attainment.kept) for attainment in kpis.sla_attainment}
    return KpiFigures(
        conversations=kpis.conversations,
        resolved=kpis.resolved,
        channel_deflection_rate=_rate(kpis.channel_deflection_rate),
        context_preservation_score=_rate(kpis.context_preservation_score),
        context_preservation_per_conversation=_scores(kpis.context_preservation_per_conversation),
        cross_channel_resolution_seconds=_seconds(kpis.cross_channel_resolution_time.wall),
        cross_channel_resolution_business_seconds=_seconds(kpis.cross_channel_resolution_time.business),
        customer_effort_score=_scores(kpis.customer_effort_score),
        effort_answer_rate=_rate(kpis.effort_answer_rate),
        derived_effort=DerivedEffortFigures(
            switches=_rate(kpis.derived_effort.switches),
            repeats=_rate(kpis.derived_effort.repeats),
            transfers=_rate(kpis.derived_effort.transfers),
            reopens=_rate(kpis.derived_effort.reopens),
            wait_seconds=_seconds(kpis.derived_effort.wait),
        ),
        agent_utilization_efficiency=_rate(kpis.agent_utilization_efficiency),
        occupancy=_rate(kpis.occupancy),
        expertise_match=_rate(kpis.mean_expertise_match),
        first_contact_resolution=_rate(kpis.first_contact_resolution),
        first_response_seconds=_seconds(kpis.first_response_time.wall),
        first_response_business_seconds=_seconds(kpis.first_response_time.business),
        next_response_seconds=_seconds(kpis.next_response_time.wall),
        next_response_business_seconds=_seconds(kpis.next_response_time.business),
        resolution_seconds=_seconds(kpis.resolution_time.wall),
        resolution_business_seconds=_seconds(kpis.resolution_time.business),
        sla_attainment=Attainments(**attained),
        speed_of_answer_seconds=_seconds(kpis.speed_of_answer),
        abandonment_rate=_rate(kpis.abandonment_rate),
        handle_seconds=_seconds(kpis.handle_time),
        reroute_rate=_rate(kpis.reroute_rate),
        transfer_rate=_rate(kpis.transfer_rate),
        decline_rate=_rate(kpis.decline_rate),
        offer_timeout_rate=_rate(kpis.offer_timeout_rate),
        misroute_rate=_rate(kpis.misroute_rate),
        suggestion_acceptance=_rate(kpis.suggestion_acceptance),
        suggestion_success=_rate(kpis.suggestion_success),
    )


def _rate(ratio: Ratio) -> Rate:
    return Rate(value=ratio.value, numerator=ratio.numerator, denominator=ratio.denominator)


def _seconds(summary: DurationSummary) -> Seconds:
    mean, p50, p90 = (None if one is None else one.total_seconds() for one in (summary.mean, summary.p50, summary.p90))
    return Seconds(mean=mean, p50=p50, p90=p90, count=summary.count)


def _scores(summary: ScoreSummary) -> Scores:
    return Scores(value=summary.mean, mean=summary.mean, p50=summary.p50, p90=summary.p90, count=summary.count)


def _table(report: KpiReport) -> str:
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(["scope", *report.group_by, "kpi", *_FIGURES])
    for name, figures in _lines(report.overall):
        rows.writerow(["all", *("" for _ in report.group_by), name, *figures])
    for group in report.groups:
        key = [_harmless(value or "") for value in group.key]
        for name, figures in _lines(group.kpis):
            rows.writerow(["group", *key, name, *figures])
    return written.getvalue()


def _lines(kpis: Kpis) -> Iterator[tuple[str, list[float | None]]]:
    told: Mapping[str, object] = dict(_figures(kpis))
    for name, figure in told.items():
        if isinstance(figure, Attainments | DerivedEffortFigures):
            for metric, kept in dict(figure).items():
                yield f"{name}.{metric}", _cells(kept)
        elif isinstance(figure, BaseModel):
            yield name, _cells(figure)
        elif isinstance(figure, int):
            yield name, [figure, *(None for _ in _FIGURES[1:])]


def _cells(figure: BaseModel) -> list[float | None]:
    return [getattr(figure, part, None) for part in _FIGURES]


def table_rows(kpis: Kpis) -> Iterator[tuple[str, Mapping[str, float | None]]]:
    """The figures of the table, each by the names of its columns."""
    for name, figures in _lines(kpis):
        yield name, dict(zip(_FIGURES, figures, strict=True))


def _harmless(cell: str) -> str:
    """A cell that a spreadsheet does not take for a formula (CWE-1236)."""
    return f"'{cell}" if cell.startswith(_FORMULA_BEGINNINGS) else cell
