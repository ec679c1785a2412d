"""The terms of a customer's journey, put together for one assessment; what is learned is kept fresh for a process."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.settings import Settings
from domain.sla.calendar import Calendar
from domain.suggestions.advice import ENOUGH_SEEN, Reachable
from domain.suggestions.answers import read_answer
from domain.suggestions.learned import WEIGHT, ChannelScores
from domain.suggestions.reach import Customer, ways_to
from storage.database import Database, LedgerConnection
from storage.ledger.case_facts import calendar_from
from storage.ledger.journey_facts import (
    ReachFacts,
    read_calendars,
    read_outcomes,
    read_reach,
    read_stayed,
    short_messages,
)

FRESH_FOR: Final = timedelta(seconds=60)


class JourneyGuide:
    """One for all conversations of a worker process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._read_for: tuple[str, ...] = ()
        self._scores = ChannelScores()
        self._stay: Mapping[tuple[str | None, str], float] = {}
        self._calendars: Mapping[str, Calendar] = {}

    async def terms(
        self,
        settings: Settings,
        customer_id: str,
        conversation_id: str,
        case: tuple[str | None, str],
        message_ids: Sequence[str],
    ) -> JourneyTerms | None:
        """The terms of a case of (intent, channel); None where nothing is to be suggested, asked or answered."""
        now = datetime.now(UTC)
        async with self._database.ledger.connection() as connection:
            await self._refresh(connection, settings, now)
            said = await short_messages(connection, message_ids) if message_ids else []
            facts = None
            if settings.suggestions.enabled:
                facts = await read_reach(connection, customer_id, conversation_id, case[0], now)
        words = tuple((message_id, word) for message_id, text in said if (word := read_answer(text)) is not None)
        suggestions = None if facts is None else self._suggestions(settings, facts, case, now)
        survey = None
        if settings.survey.enabled:
            survey = SurveyTerms(settings.survey.after, settings.survey.period, settings.survey.answer_within)
        if suggestions is None and survey is None and not words:
            return None
        return JourneyTerms(suggestions, survey, words)

    def _suggestions(
        self, settings: Settings, facts: ReachFacts, case: tuple[str | None, str], now: datetime
    ) -> SuggestionTerms | None:
        ways = ways_to(customer_of(facts, now), settings.suggestions, facts.accounts, self._calendars)
        if not ways:
            return None
        reachable = []
        for way in ways:
            score = self._scores.score(case[0], way.channel, returning=facts.came_back)
            reachable.append(
                Reachable(
                    way.channel,
                    settings.capacity_costs[way.channel],
                    settings.offer_timeouts[way.channel],
                    settings.auto_accept[way.channel],
                    way.hours,
                    score.success,
                    score.observed,
                )
            )
        house = settings.suggestions
        return SuggestionTerms(
            tuple(rule for rule in house.rules if any(one.channel in rule.channels for one in reachable)),
            tuple(reachable),
            house.least_success,
            house.lasts,
            house.most_per_episode,
            house.callback_after,
            self._stay.get(case),
        )

    async def _refresh(self, connection: LedgerConnection, settings: Settings, now: datetime) -> None:
        named = tuple(calendar for _, calendar in settings.suggestions.hours)
        async with self._lock:
            if time.monotonic() < self._fresh_until and named == self._read_for:
                return
            self._scores = ChannelScores(await read_outcomes(connection))
            self._stay = {
                (one.intent, one.channel): (one.resolved + WEIGHT / 2) / (one.seen + WEIGHT)
                for one in await read_stayed(connection, now)
                if one.seen >= ENOUGH_SEEN
            }
            self._calendars = await read_calendars(connection, named, now)
            self._read_for = named
            self._fresh_until = time.monotonic() + FRESH_FOR.total_seconds()


def customer_of(facts: ReachFacts, now: datetime) -> Customer:
    calls = None
    if facts.preferred_hours:
        calls = calendar_from(facts.time_zone or "UTC", facts.preferred_hours, {}, now)
    return Customer(tuple(facts.preferred_channels), tuple(facts.proven), tuple(facts.asked), calls)
