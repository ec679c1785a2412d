"""Service calendars: when an SLA clock runs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from api.cursors import Page, Pages
from api.fields import Answer, Body, Name, TimeZone, Weekly, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Records
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.sla.calendar import next_opening
from storage.holidays_dates import UnknownHolidaysError
from storage.ids import new_id
from storage.ledger.case_facts import calendar_from
from storage.records.listing import rows_after
from storage.records.policies import instant_of_change, locked_calendar, tell_open_conversations
from storage.records.writing import Taken, write
from storage.tables import Calendar

router = APIRouter(prefix="/v1/calendars", tags=["calendars"], route_class=BatonRoute)


class Holidays(Body):
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    subdivision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,10}$")] | None = None
    dates: Annotated[list[date], Field(max_length=1000)] = Field(default_factory=list)


class NewCalendar(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Office hours",
                    "time_zone": "Europe/Paris",
                    "weekly": {"mon": [["09:00", "12:00"], ["13:00", "17:00"]], "tue": [["09:00", "24:00"]]},
                    "holidays": {"country": "FR", "dates": ["2026-12-24"]},
                }
            ]
        }
    )

    name: Name
    time_zone: TimeZone
    weekly: Weekly
    holidays: Holidays = Field(default_factory=Holidays)


class CalendarChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"weekly": {"mon": [["08:00", "18:00"]]}}]})

    name: Name = left_out()
    time_zone: TimeZone = left_out()
    weekly: Weekly = left_out()
    holidays: Holidays = left_out()


class CalendarAnswer(Answer):
    id: str = Field(examples=["cal_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    name: str = Field(examples=["Office hours"])
    time_zone: str = Field(examples=["Europe/Paris"])
    weekly: dict[str, list[tuple[str, str]]] = Field(examples=[{"mon": [["09:00", "17:00"]]}])
    holidays: dict[str, JsonValue] = Field(examples=[{"country": "FR", "dates": ["2026-12-24"]}])
    updated_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


@router.get("", summary="All calendars")
async def calendars(records: Records, pages: Pages) -> Page[CalendarAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[Calendar]:
        return await rows_after(records, Calendar, "id", after, limit)

    return await listed(pages, "calendars", rows, lambda row: row.id, CalendarAnswer.model_validate)


@router.post("", status_code=201, summary="Add a calendar")
async def add_calendar(body: NewCalendar, records: Records) -> CalendarAnswer:
    _check(body.time_zone, body.weekly, body.holidays)
    at = await instant_of_change(records)
    row = Calendar(id=new_id("cal"), updated_at=at, **body.model_dump(mode="json"))
    return await _written(records, row)


@router.get("/{id}", summary="One calendar")
async def calendar(id: str, records: Records) -> CalendarAnswer:  # noqa: A002 -- the path's own word
    row = await records.get(Calendar, id)
    if row is None:
        raise NotFound("calendar")
    return CalendarAnswer.model_validate(row)


@router.patch("/{id}", summary="Change a calendar; running clocks are computed anew")
async def change_calendar(id: str, body: CalendarChange, records: Records) -> CalendarAnswer:  # noqa: A002 -- as above
    at = await instant_of_change(records)
    row = await locked_calendar(records, id)
    if row is None:
        raise NotFound("calendar")
    after = NewCalendar.model_validate(
        {"name": row.name, "time_zone": row.time_zone, "weekly": row.weekly, "holidays": row.holidays, **body.sent()}
    )
    _check(after.time_zone, after.weekly, after.holidays)
    row.sqlmodel_update({**after.model_dump(mode="json"), "updated_at": at})
    answer = await _written(records, row)
    await tell_open_conversations(records, f"calendar {id} changed")
    return answer


async def _written(records: Records, row: Calendar) -> CalendarAnswer:
    name = row.name
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"there is a calendar named {name}") from error
    return CalendarAnswer.model_validate(row)


def _check(time_zone: str, weekly: Weekly, holidays: Holidays) -> None:
    hours: Mapping[str, Sequence[Sequence[str]]] = {day: list(spans) for day, spans in weekly.items()}
    closed: dict[str, str | list[str] | None] = {
        "country": holidays.country,
        "subdivision": holidays.subdivision,
        "dates": [day.isoformat() for day in holidays.dates],
    }
    now = datetime.now(UTC)
    try:
        next_opening(calendar_from(time_zone, hours, closed, now), now)
    except UnknownHolidaysError as error:
        raise InvalidInput(FieldProblem(pointer("holidays"), str(error))) from error
    except ValueError as error:
        raise InvalidInput(FieldProblem(pointer("weekly"), str(error))) from error
