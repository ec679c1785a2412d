"""What the ledger knows that a conversation needs to understand itself: the case, the customer, the promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import msgspec
from psycopg.rows import class_row

from domain.settings import Settings
from domain.settings_document import settings_from_json
from domain.settings_reader import Json
from domain.sla.calendar import Calendar
from domain.sla.policy import (
    DEFAULT_LADDER,
    AppliesTo,
    LadderStep,
    PauseReason,
    PolicyId,
    SlaPolicy,
    SlaTargets,
)
from storage.database import LedgerConnection
from storage.holidays_dates import expand_holidays

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_FACTS: Final = """
select c.id as conversation_id, c.customer_id, c.pool, c.subject, c.intent, c.intent_confidence, c.sentiment,
       c.language, c.owner_id, u.segment, u.languages, u.attributes ->> 'product' as product,
       case when c.state not in ('wrap_up', 'resolved') then (
            select i.corrected from intent_corrections i
            where i.conversation_id = c.id and i.episode = c.episode order by i.at desc, i.id desc limit 1)
       end as corrected_intent,
       array(select case when m.subject is null then m.text else m.subject || E'\\n' || m.text end
             from messages m where m.id = any(%(messages)s) order by m.at, m.id) as texts,
       coalesce((select m.channel from messages m
                 where m.conversation_id = c.id and m.direction = 'inbound' order by m.at desc, m.id desc limit 1),
                c.channels ->> 0) as channel,
       (select max(updated_at) from (
            select updated_at from settings union all select updated_at from sla_policies
            union all select updated_at from calendars) changes) as rules_changed_at
from conversations c join customers u on u.id = c.customer_id
where c.id = %(conversation)s
"""
_SETTINGS: Final = "select key, value from settings"
_SPOKEN: Final = "select distinct jsonb_array_elements_text(languages) from agents where active"
_POLICIES: Final = """
select p.id, p.name, p.version, p.applies_to, p.targets, p.warn_fraction, p.pause_on, p.ladder, p.rank,
       c.time_zone, c.weekly, c.holidays
from sla_policies p left join calendars c on c.id = p.calendar_id where p.active
"""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One conversation's case; `texts` are the words of the messages asked for, oldest first.

    `corrected_intent` is a person's word on the present episode, which no message overrides. `product` is the one that
    the customer is known to use.
    """

    conversation_id: str
    customer_id: str
    pool: str
    subject: str | None
    intent: str | None
    intent_confidence: float | None
    sentiment: float | None
    language: str | None
    owner_id: str | None
    segment: str
    languages: list[str]
    product: str | None
    corrected_intent: str | None
    texts: list[str]
    channel: str
    rules_changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class HouseRules:
    """The settings and the policies in force."""

    settings: Settings
    policies: tuple[SlaPolicy, ...]


async def read_case(connection: LedgerConnection, conversation_id: str, message_ids: Sequence[str]) -> CaseFacts:
    """Read one case.

    Raises:
        LookupError: there is no such conversation.
    """
    async with connection.cursor(row_factory=class_row(CaseFacts)) as cursor:
        await cursor.execute(_FACTS, {"conversation": conversation_id, "messages": list(message_ids)})
        facts = await cursor.fetchone()
    if facts is None:
        raise LookupError(f"the ledger knows no conversation {conversation_id}")
    return facts


async def read_settings(connection: LedgerConnection) -> Settings:
    """What the admin has set, defaults for the rest.

    Raises:
        InvalidInput: a stored setting cannot be read.
    """
    rows = await (await connection.execute(_SETTINGS)).fetchall()
    document: dict[str, Json] = dict(rows)
    return settings_from_json(document)


async def read_house_rules(connection: LedgerConnection, now: datetime) -> HouseRules:
    settings = await read_settings(connection)
    cursor = await connection.execute(_POLICIES)
    return HouseRules(settings, tuple(_policy(row, now) for row in await cursor.fetchall()))


async def read_spoken_languages(connection: LedgerConnection) -> frozenset[str]:
    """The languages that somebody in service speaks."""
    return frozenset(row[0] for row in await (await connection.execute(_SPOKEN)).fetchall())


def calendar_from(
    time_zone: str,
    weekly: Mapping[str, Sequence[Sequence[str]]],
    holidays: Mapping[str, str | list[str] | None],
    now: datetime,
) -> Calendar:
    """Read a stored calendar; public holidays are those of last year, this one and the next three.

    Raises:
        CalendarError: the parts make no calendar.
    """
    days: set[date] = set()
    country, subdivision, dates = holidays.get("country"), holidays.get("subdivision"), holidays.get("dates")
    if isinstance(country, str):
        years = range(now.year - 1, now.year + 4)
        days |= expand_holidays(country, subdivision if isinstance(subdivision, str) else None, years)
    if isinstance(dates, list):
        days |= {date.fromisoformat(day) for day in dates}
    mon, tue, wed, thu, fri, sat, sun = (tuple(_interval(pair) for pair in weekly.get(day, ())) for day in WEEKDAYS)
    return Calendar(
        zone=time_zone,
        weekly=(mon, tue, wed, thu, fri, sat, sun),
        holidays=tuple(sorted(days)),
    )


def _interval(pair: Sequence[str]) -> tuple[time, time | None]:
    opens, closes = pair
    return time.fromisoformat(opens), None if closes == "24:00" else time.fromisoformat(closes)


def _policy(row: Sequence[object], now: datetime) -> SlaPolicy:
    identity, name, version, applies_to, targets, warn_fraction, pause_on, ladder, rank, zone, weekly, holidays = row
    applies = _object(applies_to)
    calendar = None
    if isinstance(zone, str):
        calendar = calendar_from(zone, _object(weekly), _object(holidays), now.astimezone(UTC))
    return SlaPolicy(
        id=PolicyId(str(identity)),
        version=int(str(version)),
        name=str(name),
        applies_to=AppliesTo(
            segments=tuple(applies.get("segments") or ()),
            channels=tuple(applies.get("channels") or ()),
            intents=tuple(applies.get("intents") or ()),
        ),
        targets=SlaTargets(
            first_response=_seconds(targets, "first_response_seconds"),
            next_response=_seconds(targets, "next_response_seconds"),
            resolution=_seconds(targets, "resolution_seconds"),
            owner_silence=_seconds(targets, "owner_silence_seconds"),
        ),
        warn_fraction=float(str(warn_fraction)),
        calendar=calendar,
        pause_on=tuple(PauseReason(reason) for reason in pause_on) if isinstance(pause_on, list) else (),
        rank=int(str(rank)),
        ladder=_ladder(ladder),
    )


def _ladder(stored: object) -> tuple[LadderStep, ...]:
    return tuple(msgspec.convert(stored, list[LadderStep])) if isinstance(stored, list) else DEFAULT_LADDER


def _object(value: object) -> dict[str, list[str]]:
    return value if isinstance(value, dict) else {}


def _seconds(targets: object, key: str) -> timedelta | None:
    value = targets.get(key) if isinstance(targets, dict) else None
    return None if value is None else timedelta(seconds=float(value))
