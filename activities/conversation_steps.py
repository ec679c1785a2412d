"""The ledger's side of a conversation: understand the case, write the step."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from temporalio import activity

from activities.journey_terms import JourneyGuide
from domain.channels import Channel
from domain.conversation.journey_commands import JourneyCommand
from domain.conversation.merging import new_needs
from domain.conversation.refusals import Refusal
from domain.conversation.terms import Assessment, Rules
from domain.conversation.understanding import base_priority, known_intent, settled_intent
from domain.intents import IntentPrediction, profile_for
from domain.language_need import languages_needed
from domain.settings import Settings
from domain.sla.policy import choose_policy
from domain.suggestions.links import LinkMaker, link_key
from intelligence.triage import MessageTriage
from storage.database import Database, LedgerConnection
from storage.ledger.case_facts import CaseFacts, HouseRules, read_case, read_house_rules, read_spoken_languages
from storage.ledger.handovers import lacks_a_skill, read_merge
from storage.ledger.journey import JourneyHouse
from storage.ledger.steps import write_step
from workflows.encoding import command
from workflows.ports import ActivityName, AssessCase, AssessMerge, MergedCase, StepOutcome, StepWrite

PUSHED_CHANNELS: Final = frozenset({Channel.EMAIL.value})
"""Replies on these are carried out by us; on all others the customer's side, or an integration, pulls them."""

SPOKEN_KNOWN_FOR: Final = 30.0
"""Seconds for which the languages that agents speak are remembered."""


class ConversationSteps:
    def __init__(self, database: Database, triage: MessageTriage, secret: bytes = b"") -> None:
        """`secret` signs the links customers are sent; without one there are reply words only."""
        self._database = database
        self._link_key = link_key(secret) if secret else None
        self._journey = JourneyGuide(database)
        self._triage = triage
        self._rules: HouseRules | None = None
        self._rules_of: datetime | None = None
        self._spoken: frozenset[str] = frozenset()
        self._spoken_until = 0.0

    @activity.defn(name=ActivityName.ASSESS)
    async def assess(self, asked: AssessCase) -> Assessment:
        async with self._database.ledger.connection() as connection:
            facts = await read_case(connection, asked.conversation_id, asked.message_ids)
            if self._rules is None or facts.rules_changed_at != self._rules_of:
                self._rules = await read_house_rules(connection, datetime.now(UTC))
                self._rules_of = facts.rules_changed_at
            if time.monotonic() >= self._spoken_until:
                self._spoken = await read_spoken_languages(connection)
                self._spoken_until = time.monotonic() + SPOKEN_KNOWN_FOR
        case = await self._understood(facts, self._rules)
        journey = await self._journey.terms(
            self._rules.settings,
            facts.customer_id,
            facts.conversation_id,
            (case.intent, case.channel),
            asked.message_ids,
        )
        return replace(case, journey=journey)

    @activity.defn(name=ActivityName.ASSESS_MERGE)
    async def assess_merge(self, asked: AssessMerge) -> MergedCase:
        async with self._database.ledger.connection() as connection:
            found = await read_merge(connection, asked.merge_id)
            needed = found.handover.skills if found.handover else ()
            unfit = asked.agent_id is not None and await lacks_a_skill(
                connection, asked.agent_id, new_needs(asked.skills, needed)
            )
        theirs = await self.assess(AssessCase(found.loser_id, ()))
        case = await self.assess(AssessCase(asked.conversation_id, ()))
        return MergedCase(case, found.handover, theirs.promise, unfit)

    async def _understood(self, facts: CaseFacts, rules: HouseRules) -> Assessment:
        heard = None
        if facts.texts:
            heard = await asyncio.to_thread(self._triage.triage, "\n".join(facts.texts))
        known = known_intent((facts.intent, facts.intent_confidence), facts.corrected_intent)
        if heard is None:
            return assessment(facts, rules, known, facts.sentiment, facts.language, self._spoken)
        intent = settled_intent(known, (heard.intent.intent, heard.intent.confidence))
        language = heard.language or facts.language
        return assessment(facts, rules, intent, heard.sentiment.score, language, self._spoken)

    @activity.defn(name=ActivityName.WRITE_STEP)
    async def write_step(self, written: StepWrite) -> StepOutcome:
        commands = tuple(command(one) for one in written.commands)
        try:
            async with self._database.ledger.connection() as connection:
                house = JourneyHouse()
                if any(isinstance(one, JourneyCommand) for one in commands):
                    house = await self._house(connection)
                to_deliver = await write_step(connection, written.state, commands, written.at, PUSHED_CHANNELS, house)
        except Refusal as refusal:
            return StepOutcome(refused=refusal.code.value, detail=refusal.detail)
        return StepOutcome(to_deliver=to_deliver)

    async def _house(self, connection: LedgerConnection) -> JourneyHouse:
        if self._rules is None:
            self._rules = await read_house_rules(connection, datetime.now(UTC))
        settings = self._rules.settings.suggestions
        links = LinkMaker(self._link_key, settings.public_url) if self._link_key else LinkMaker(b"", "")
        return JourneyHouse(links, settings.meeting_link)


def assessment(
    facts: CaseFacts,
    house: HouseRules,
    intent: tuple[str | None, float | None],
    sentiment: float | None,
    language: str | None,
    spoken: frozenset[str],
) -> Assessment:
    """Put a case together out of what is known, what was heard and what is promised."""
    settings = house.settings
    name, confidence = intent
    prediction = IntentPrediction(name, confidence or 0.0, (), "")
    profile = profile_for(prediction, settings.profiles, settings.intent_confidence_threshold)
    policy = choose_policy(house.policies, facts.segment, facts.channel, name)
    return Assessment(
        channel=facts.channel,
        pool=facts.pool,
        segment=facts.segment,
        intent=name,
        intent_confidence=confidence,
        sentiment=sentiment,
        language=language,
        product=profile.product or facts.product,
        priority=base_priority(facts.segment, sentiment),
        skills=profile.required_skills,
        languages=languages_needed(facts.languages, language, spoken),
        subject=facts.subject,
        promise=policy.terms() if policy else None,
        rules=_rules(settings, Channel(facts.channel)),
        known_owner=facts.owner_id,
    )


def _rules(settings: Settings, channel: Channel) -> Rules:
    return Rules(
        offer_timeout=settings.offer_timeouts[channel],
        auto_accept=settings.auto_accept[channel],
        units=settings.capacity_costs[channel],
        wrap_up_limit=settings.wrap_up_limit,
        wrap_up_extension=settings.wrap_up_extension,
        reopen_window=settings.reopen_window,
        exclusion_cooldown=settings.exclusion_cool_down,
        idle_release=settings.idle_release,
        max_reroutes=settings.max_reroutes,
        owner_grace=settings.owner_grace,
    )
