"""What is promised and asked for in the month: its days, its promises week by week, what channels cost."""

from datetime import UTC, datetime, timedelta

from domain.channels import Channel
from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.conversation.terms import Rules, SkillNeeds
from domain.kpis.records import TimeRange
from domain.sla.policy import PauseReason, PolicyId, SlaTargets, SlaTerms
from domain.suggestions.advice import Reachable
from domain.suggestions.rules import SuggestionSettings
from storage.ledger.journey import JourneyHouse

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def month_after(instant: datetime) -> TimeRange:
    """Thirty days from the beginning of the first month after an instant: a seed gives the same month at any time."""
    start = (instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + 32 * DAY).replace(day=1)
    return TimeRange(start, start + 30 * DAY)


MONTH = month_after(datetime.now(UTC) + 3 * DAY)
START = MONTH.start
UNITS = {"web_chat": 34, "email": 15, "sms": 25, "voice": 100, "video": 100}
INTENTS = ("setup_help", "refund_request", "login_problem", "delivery_status")
NEEDS: dict[str, SkillNeeds] = {"refund_request": (("billing", 3),), "login_problem": (("accounts", 2),)}
PAUSES = (PauseReason.PENDING_CUSTOMER, PauseReason.ON_HOLD)
SLOW = SlaTerms(PolicyId("sla_a"), 1, SlaTargets(10 * MINUTE, 20 * MINUTE, 4 * HOUR, 8 * MINUTE), 0.8, None, PAUSES)
QUICK = SlaTerms(PolicyId("sla_b"), 2, SlaTargets(5 * MINUTE, 9 * MINUTE, HOUR, 6 * MINUTE), 0.5, None, PAUSES)
NONE_BUT_FIRST = SlaTerms(PolicyId("sla_c"), 1, SlaTargets(15 * MINUTE, None, None, None), 0.8, None, ())
PROMISES: tuple[dict[str, SlaTerms | None], ...] = (
    {"standard": SLOW, "gold": QUICK},
    {"standard": QUICK, "gold": NONE_BUT_FIRST},
    {"standard": None, "gold": SLOW},
    {"standard": SLOW, "gold": QUICK},
)
"""What is promised to whom, one week after the other."""
HOUSE = JourneyHouse(meeting_link="https://meet.example/{id}")


def rules_on(channel: str) -> Rules:
    return Rules(30 * SECOND, False, UNITS[channel], 3 * MINUTE, 3 * MINUTE, 72 * HOUR, 2 * MINUTE, 15 * MINUTE, 2)


def journey_terms() -> JourneyTerms:
    """Every other channel can be led to, and everybody may be asked how easy it was."""
    ways = tuple(
        Reachable(way, UNITS[way.value], 30 * SECOND, False) for way in (Channel.VIDEO, Channel.VOICE, Channel.EMAIL)
    )
    suggestions = SuggestionTerms(SuggestionSettings().rules, ways, 0.2, HOUR, 2, 15 * MINUTE)
    return JourneyTerms(suggestions, SurveyTerms(10 * MINUTE, 30 * DAY, 7 * DAY))
