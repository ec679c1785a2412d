"""A queue ticket as the engine reads it: the case, whose it is, and what the business knows of it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from domain.channels import CALLS
from domain.routing.business import CustomerStanding, business_boost, value_weight
from domain.routing.calling_hours import calling_hours
from domain.routing.experience import Experience
from domain.routing.from_settings import expected_work, made_urgent
from domain.routing.model import CustomerHours, SkillNeed, WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.settings import Settings
from domain.sla.calendar import Calendar, CalendarError
from storage.ledger.case_facts import calendar_from

# Whether it is still kept for its owner changes with time, with the owner's presence, and before a breach.
# A warm transfer leaves the conversation with its agent until the next one accepts: that agent is not the next one.
# Who called is on the line, at whatever hour; who wrote and is to be called has hours.
COLUMNS: Final = """
t.xmin::text as version, t.conversation_id, t.ticket, t.episode, t.queued_at, t.channel, t.units, t.priority,
t.urgent, t.segment, t.intent, t.product, t.sentiment, t.languages, t.required_skills, t.next_breach_at,
t.excluded, t.exclusions_clear_at, t.only_agent, t.affinity_agent, t.affinity_at, t.owner_until, t.offer_seconds,
t.auto_accept, a.agent_id as held_by,
coalesce(t.owner_until > clock_timestamp(), false)
    and coalesce(t.next_breach_at > clock_timestamp() + interval '30 seconds', true)
    and exists (select from agents o where o.id = t.affinity_agent and o.active and o.presence = 'online')
    as kept_for_owner,
cu.lifetime_value::float8 as lifetime_value, cu.contract, cu.health_score, cu.renewal_on, cu.time_zone,
cu.preferred_hours,
case when t.channel in ('voice', 'video') then coalesce((
    select m.channel = t.channel from messages m
    where m.conversation_id = t.conversation_id and m.direction = 'inbound' order by m.at desc, m.id desc limit 1
), true) else false end as on_the_line,
c.customer_id
"""
JOINED: Final = """
join conversations c on c.id = t.conversation_id
join customers cu on cu.id = c.customer_id
left join assignments a on a.conversation_id = t.conversation_id and a.ended_at is null
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One row of `COLUMNS`. `version` changes with every update of the ticket."""

    version: str
    conversation_id: str
    ticket: int
    episode: int
    queued_at: datetime
    channel: str
    units: int
    priority: int
    urgent: bool
    segment: str
    intent: str | None
    product: str | None
    sentiment: float | None
    languages: list[str]
    required_skills: list[tuple[str, int]]
    next_breach_at: datetime | None
    excluded: list[str]
    exclusions_clear_at: datetime | None
    only_agent: str | None
    affinity_agent: str | None
    affinity_at: datetime | None
    owner_until: datetime | None
    offer_seconds: float
    auto_accept: bool
    held_by: str | None
    kept_for_owner: bool
    lifetime_value: float | None
    contract: str | None
    health_score: float | None
    renewal_on: date | None
    time_zone: str | None
    preferred_hours: dict[str, list[list[str]]] | None
    on_the_line: bool
    customer_id: str

    @property
    def keeps_hours(self) -> bool:
        """Whether the customer's local hours decide when this may be given to somebody."""
        return self.channel in CALLS and not self.on_the_line and self.time_zone is not None

    @property
    def depends_on_time(self) -> bool:
        """Whether the case looks different as time goes by, so that every pass has to read it again."""
        return self.keeps_hours or self.owner_until is not None

    @property
    def named_agent(self) -> str | None:
        """The one agent it may be offered to, if it is not for all."""
        return self.affinity_agent if self.kept_for_owner and self.only_agent is None else self.only_agent

    def case(
        self, pool: str, settings: Settings, policy: RoutingPolicy, experience: Experience, now: datetime
    ) -> WaitingCase:
        """The ticket as a case that waits in `pool`; what its intent asks for is the settings' to say."""
        standing = CustomerStanding(
            self.segment, self.lifetime_value, self.contract, self.health_score, self.renewal_on
        )
        profile = settings.profile(self.intent)
        about = (self.intent, self.product)
        waiting = WaitingCase(
            conversation_id=self.conversation_id,
            ticket=self.ticket,
            pool=pool,
            queued_at=self.queued_at,
            channel=self.channel,
            units=self.units,
            required_skills=tuple(SkillNeed(skill, level) for skill, level in self.required_skills),
            languages=frozenset(self.languages),
            priority=self.priority,
            segment=self.segment,
            value_weight=value_weight(standing, settings.customer_value),
            intent=self.intent,
            product=self.product,
            sentiment=self.sentiment,
            next_breach_at=self.next_breach_at,
            excluded=frozenset(self.excluded) | ({self.held_by} if self.held_by is not None else frozenset()),
            exclusions_clear_at=self.exclusions_clear_at,
            only_agent=self.named_agent,
            affinity_agent=self.affinity_agent,
            affinity_at=self.affinity_at,
            business_boost=business_boost(standing, settings.customer_value, settings.outages, about, now.date()),
            customer_hours=self._customer_hours(now),
            expected_handle=expected_work(settings, experience, self.channel, self.intent, self.customer_id),
            expected_patience=experience.patience(self.channel, self.intent),
            hard=profile is not None and profile.is_hard,
        )
        return made_urgent(waiting, policy) if self.urgent else waiting

    def _customer_hours(self, now: datetime) -> CustomerHours | None:
        if not self.keeps_hours:
            return None
        try:
            return calling_hours(self._preferred(now), self.time_zone, now)
        except CalendarError:
            # Hours that nobody can read keep nobody from being called.
            return None

    def _preferred(self, now: datetime) -> Calendar | None:
        if self.preferred_hours is None or self.time_zone is None:
            return None
        return calendar_from(self.time_zone, self.preferred_hours, {}, now)
