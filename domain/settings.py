"""What an admin can change while Baton runs: one frozen value with a default for everything.

In JSON, durations are numbers of seconds under keys that end in `_seconds`; fractions are welcome. A document may be
partial: what it leaves out keeps its default.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite
from types import MappingProxyType
from typing import Final, TypeVar

from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.intents import DEFAULT_CONFIDENCE_THRESHOLD, HIGHEST_LEVEL, LOWEST_LEVEL, PROFILES, IntentProfile
from domain.routing.business import Outage, OutageEffect, ValueRules
from domain.routing.policy import OverflowRule, RoutingPolicy, UrgencyWeights, WideningStep
from domain.routing.presets import PRESET_NAMES
from domain.suggestions.rules import RoiSettings, SuggestionSettings, SurveySettings
from domain.suggestions.settings_form import (
    read_roi,
    read_suggestions,
    read_survey,
    roi_to_json,
    suggestions_to_json,
    survey_to_json,
)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Value = TypeVar("Value")

_LONGEST: Final = timedelta(days=366)
_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
_CHANNEL_NAMES: Final = frozenset(channel.value for channel in Channel)
_CHAT_LIKE: Final = 34
_SOCIAL: Final = 25

_URGENCY: Final = {
    name: getattr(UrgencyWeights(), name) for name in ("priority", "wait", "breach", "sentiment", "business")
}
_MOST_WEIGHT: Final = 100.0

_OFFER_TIMEOUTS: Final = {
    Channel.VOICE: timedelta(seconds=20),
    Channel.VIDEO: timedelta(seconds=20),
    Channel.WEB_CHAT: timedelta(seconds=30),
    Channel.EMAIL: timedelta(minutes=5),
}
_COSTS: Final = {
    Channel.VOICE: 100,
    Channel.VIDEO: 100,
    Channel.SMS: _SOCIAL,
    Channel.MESSENGER: _SOCIAL,
    Channel.INSTAGRAM: _SOCIAL,
    Channel.X: _SOCIAL,
    Channel.EMAIL: 15,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Capacity costs are units, of which an agent holds 100 by default; thresholds and ε are probabilities."""

    offer_timeouts: Mapping[Channel, timedelta] = field(
        default_factory=lambda: {channel: _OFFER_TIMEOUTS.get(channel, timedelta(minutes=1)) for channel in Channel}
    )
    auto_accept: Mapping[Channel, bool] = field(
        default_factory=lambda: {channel: channel is Channel.EMAIL for channel in Channel}
    )
    interrupts: Mapping[Channel, bool] = field(default_factory=lambda: dict.fromkeys(Channel, False))
    """Whether a conversation of this channel may be offered to who is busy on others: calls, mostly."""
    capacity_costs: Mapping[Channel, int] = field(
        default_factory=lambda: {channel: _COSTS.get(channel, _CHAT_LIKE) for channel in Channel}
    )
    reopen_window: timedelta = timedelta(hours=72)
    """How long after a resolve a customer's message starts a new episode; then the conversation closes."""
    wrap_up_limit: timedelta = timedelta(minutes=5)
    wrap_up_extension: timedelta = timedelta(minutes=5)
    """What the one extension of a wrap-up adds."""
    idle_release: timedelta = timedelta(minutes=15)
    """How long a conversation may wait for its customer before its agent's units are given back."""
    owner_grace: timedelta = timedelta(minutes=2)
    """How long a conversation that wakes waits for its owner before anybody may take it."""
    exclusion_cool_down: timedelta = timedelta(minutes=1)
    """When nobody else is eligible, how long those who declined stay excluded."""
    widening: tuple[WideningStep, ...] = (
        WideningStep(after=timedelta(minutes=1), lower_levels=1),
        WideningStep(after=timedelta(minutes=3), lower_levels=2),
        WideningStep(after=timedelta(minutes=5), lower_levels=4, drop_skills=1),
        WideningStep(after=timedelta(minutes=10), lower_levels=4, drop_skills=9),
    )
    overflow: tuple[OverflowRule, ...] = ()
    preference_epsilon: float = 0.02
    """How much success probability a customer may lose so that an agent gets what they want."""
    exploration: float = 0.02
    """How much success probability uncertainty may add to an estimate, so that new agents get cases too."""
    longest_wait: timedelta | None = timedelta(hours=8)
    """Past it a conversation goes before all that have not waited so long, whatever anybody else is worth."""
    urgency_weights: Mapping[str, float] = field(default_factory=lambda: dict(_URGENCY))
    """What each part of the urgency weighs, by the names of `UrgencyWeights`."""
    routing_presets: Mapping[str, str] = field(default_factory=dict)
    """Pools that are of one kind, each with the name of the preset it is routed by (`domain.routing.presets`)."""
    customer_value: ValueRules = field(default_factory=ValueRules)
    outages: tuple[Outage, ...] = ()
    intents: Mapping[str, IntentProfile] = field(default_factory=dict)
    """Intents of the house's own, or shipped ones that ask for something else here."""
    presence_grace: timedelta = timedelta(seconds=45)
    """How long an agent's console may be silent before the agent counts as gone."""
    reassign_on_away: bool = False
    """Whether the conversations of an agent who leaves go back to the queue."""
    max_reroutes: int = 5
    """Reroutes by the SLA ladder in one episode; then a supervisor is called instead."""
    default_pool: str = "default"
    intent_confidence_threshold: float = DEFAULT_CONFIDENCE_THRESHOLD
    """Below it, a case goes to people whose skill is triage."""
    suggestions: SuggestionSettings = field(default_factory=SuggestionSettings)
    survey: SurveySettings = field(default_factory=SurveySettings)
    roi: RoiSettings = field(default_factory=RoiSettings)

    @property
    def profiles(self) -> Mapping[str, IntentProfile]:
        """What every intent asks for: the shipped ones, and over them the house's own."""
        return {**PROFILES, **self.intents}

    def profile(self, intent: str | None) -> IntentProfile | None:
        """What one intent asks for; None for none, and for one that nobody has described."""
        if intent is None:
            return None
        return self.intents.get(intent) or PROFILES.get(intent)


DEFAULTS: Final = Settings()


def settings_from_json(document: Mapping[str, Json]) -> Settings:
    """Read a document; every mistake in it is named, not only the first.

    Raises:
        InvalidInput: an unknown key, a wrong type, a value out of its bounds.
    """
    read = _Reader(document)
    settings = Settings(
        offer_timeouts=read.per_channel("offer_timeout_seconds", DEFAULTS.offer_timeouts, read.positive_duration),
        auto_accept=read.per_channel("auto_accept", DEFAULTS.auto_accept, read.boolean),
        interrupts=read.per_channel("interrupts", DEFAULTS.interrupts, read.boolean),
        capacity_costs=read.per_channel("capacity_costs", DEFAULTS.capacity_costs, read.units),
        reopen_window=read.one("reopen_window_seconds", DEFAULTS.reopen_window, read.duration),
        wrap_up_limit=read.one("wrap_up_limit_seconds", DEFAULTS.wrap_up_limit, read.duration),
        wrap_up_extension=read.one("wrap_up_extension_seconds", DEFAULTS.wrap_up_extension, read.duration),
        idle_release=read.one("idle_release_seconds", DEFAULTS.idle_release, read.positive_duration),
        owner_grace=read.one("owner_grace_seconds", DEFAULTS.owner_grace, read.duration),
        exclusion_cool_down=read.one("exclusion_cool_down_seconds", DEFAULTS.exclusion_cool_down, read.duration),
        widening=read.many("widening", DEFAULTS.widening, read.widening_step),
        overflow=read.many("overflow", DEFAULTS.overflow, read.overflow_rule),
        preference_epsilon=read.one("preference_epsilon", DEFAULTS.preference_epsilon, read.probability),
        exploration=read.one("exploration", DEFAULTS.exploration, read.probability),
        longest_wait=read.one("longest_wait_seconds", DEFAULTS.longest_wait, _or_null(read.positive_duration)),
        urgency_weights=read.one("urgency_weights", DEFAULTS.urgency_weights, read.urgency_weights),
        routing_presets=read.one("routing_presets", DEFAULTS.routing_presets, read.presets),
        customer_value=read.inner("customer_value", DEFAULTS.customer_value, read.value_rules),
        outages=read.many("outages", DEFAULTS.outages, read.outage),
        intents=read.one("intents", DEFAULTS.intents, read.intents),
        presence_grace=read.one("presence_grace_seconds", DEFAULTS.presence_grace, read.positive_duration),
        reassign_on_away=read.one("reassign_on_away", DEFAULTS.reassign_on_away, read.boolean),
        max_reroutes=read.one("max_reroutes", DEFAULTS.max_reroutes, read.count),
        default_pool=read.one("default_pool", DEFAULTS.default_pool, read.name),
        intent_confidence_threshold=read.one(
            "intent_confidence_threshold", DEFAULTS.intent_confidence_threshold, read.probability
        ),
        suggestions=read.inner("suggestions", DEFAULTS.suggestions, read_suggestions),
        survey=read.inner("survey", DEFAULTS.survey, read_survey),
        roi=read.inner("roi", DEFAULTS.roi, read_roi),
    )
    read.check_widening(settings.widening)
    read.finish()
    return settings


def settings_to_json(settings: Settings) -> dict[str, Json]:
    """The whole of it, in the form `settings_from_json` reads."""
    return {
        "offer_timeout_seconds": {channel.value: _seconds(span) for channel, span in settings.offer_timeouts.items()},
        "auto_accept": {channel.value: chosen for channel, chosen in settings.auto_accept.items()},
        "interrupts": {channel.value: chosen for channel, chosen in settings.interrupts.items()},
        "capacity_costs": {channel.value: units for channel, units in settings.capacity_costs.items()},
        "reopen_window_seconds": _seconds(settings.reopen_window),
        "wrap_up_limit_seconds": _seconds(settings.wrap_up_limit),
        "wrap_up_extension_seconds": _seconds(settings.wrap_up_extension),
        "idle_release_seconds": _seconds(settings.idle_release),
        "owner_grace_seconds": _seconds(settings.owner_grace),
        "exclusion_cool_down_seconds": _seconds(settings.exclusion_cool_down),
        "widening": [_widening_step(step) for step in settings.widening],
        "overflow": [_overflow_rule(rule) for rule in settings.overflow],
        "preference_epsilon": settings.preference_epsilon,
        "exploration": settings.exploration,
        "longest_wait_seconds": None if settings.longest_wait is None else _seconds(settings.longest_wait),
        "urgency_weights": dict(settings.urgency_weights),
        "routing_presets": dict(settings.routing_presets),
        "customer_value": _value_rules(settings.customer_value),
        "outages": [_outage(outage) for outage in settings.outages],
        "intents": {name: _profile(profile) for name, profile in settings.intents.items()},
        "presence_grace_seconds": _seconds(settings.presence_grace),
        "reassign_on_away": settings.reassign_on_away,
        "max_reroutes": settings.max_reroutes,
        "default_pool": settings.default_pool,
        "intent_confidence_threshold": settings.intent_confidence_threshold,
        "suggestions": suggestions_to_json(settings.suggestions),
        "survey": survey_to_json(settings.survey),
        "roi": roi_to_json(settings.roi),
    }


def merged(document: Mapping[str, Json], patch: Mapping[str, Json]) -> dict[str, Json]:
    """`document` with what `patch` says: maps merge key by key, everything else is replaced (as in RFC 7396)."""
    result = dict(document)
    for key, value in patch.items():
        before = result.get(key)
        result[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def _seconds(span: timedelta) -> float:
    return span.total_seconds()


def _widening_step(step: WideningStep) -> Json:
    return {
        "after_seconds": _seconds(step.after),
        "lower_levels": step.lower_levels,
        "drop_skills": step.drop_skills,
        "extra_pools": list(step.extra_pools),
    }


def _overflow_rule(rule: OverflowRule) -> Json:
    return {
        "name": rule.name,
        "pool": rule.pool,
        "waiting_over": rule.waiting_over,
        "oldest_over_seconds": None if rule.oldest_over is None else _seconds(rule.oldest_over),
        "to_generalists": rule.to_generalists,
        "generalist_skills": rule.generalist_skills,
        "lower_levels": rule.lower_levels,
        "to_pools": list(rule.to_pools),
        "protect_value_over": rule.protect_value_over,
        "protection": rule.protection,
    }


def _value_rules(rules: ValueRules) -> Json:
    return {
        "segments": dict(rules.segments),
        "contracts": dict(rules.contracts),
        "average_lifetime_value": rules.average_lifetime_value,
        "renewal_days": rules.renewal_days,
        "renewal_boost": rules.renewal_boost,
        "at_risk_below": rules.at_risk_below,
        "at_risk_boost": rules.at_risk_boost,
    }


def _outage(outage: Outage) -> Json:
    return {
        "name": outage.name,
        "intents": list(outage.intents),
        "products": list(outage.products),
        "active": outage.active,
        "effect": outage.effect.value,
        "weight": outage.weight,
    }


def _profile(profile: IntentProfile) -> Json:
    return {
        "skills": dict(profile.required_skills),
        "product": profile.product,
        "complexity": profile.complexity,
        "usual_seconds": _seconds(profile.usual_time),
    }


class _Wrong(Exception):  # noqa: N818 -- caught within this module
    """One value that can't be meant; where it stands is known by who catches it."""


class _Reader:
    """Reads one document key by key and keeps what was wrong, each with its pointer."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self._document = document
        self._known: set[str] = set()
        self._problems: list[FieldProblem] = []

    def finish(self) -> None:
        self._problems += [
            FieldProblem(pointer(key), "no such setting") for key in self._document if key not in self._known
        ]
        if self._problems:
            raise InvalidInput(*self._problems)

    def one(self, key: str, default: Value, read: Callable[[Json], Value]) -> Value:
        self._known.add(key)
        return self._at((key,), self._document[key], default, read) if key in self._document else default

    def per_channel(
        self, key: str, default: Mapping[Channel, Value], read: Callable[[Json], Value]
    ) -> Mapping[Channel, Value]:
        given: Mapping[str, Json] = self.one(key, _NOTHING, _object)
        for name in given:
            if name not in _CHANNEL_NAMES:
                self._problems.append(FieldProblem(pointer(key, name), "no such channel"))
        return {
            channel: self._at((key, channel), given[channel], before, read) if channel in given else before
            for channel, before in default.items()
        }

    def many(self, key: str, default: tuple[Value, ...], read: Callable[["_Reader"], Value]) -> tuple[Value, ...]:
        if key not in self._document:
            self._known.add(key)
            return default
        nothing: list[Json] = []
        rows = self.one(key, nothing, _array)
        values: list[Value] = []
        for position, row in enumerate(rows):
            try:
                inner = _Reader(_object(row))
                values.append(read(inner))
                inner.finish()
            except _Wrong as wrong:
                self._problems.append(FieldProblem(pointer(key, position), str(wrong)))
            except InvalidInput as invalid:
                self._problems += [
                    FieldProblem(pointer(key, position) + problem.pointer, problem.detail)
                    for problem in invalid.problems
                ]
        return tuple(values)

    def inner(self, key: str, default: Value, read: Callable[["_Reader"], Value]) -> Value:
        """A document within the document; what it leaves out keeps its default."""
        inner = _Reader(self.one(key, _NOTHING, _object))
        value = read(inner)
        try:
            inner.finish()
        except InvalidInput as invalid:
            self._problems += [FieldProblem(pointer(key) + one.pointer, one.detail) for one in invalid.problems]
            return default
        return value

    def check_widening(self, steps: tuple[WideningStep, ...]) -> None:
        if any(problem.pointer.startswith(pointer("widening")) for problem in self._problems):
            return
        try:
            RoutingPolicy(widening=steps)
        except ValueError as error:
            self._problems.append(FieldProblem(pointer("widening"), str(error)))

    def _at(self, where: tuple[str, ...], value: Json, default: Value, read: Callable[[Json], Value]) -> Value:
        try:
            return read(value)
        except _Wrong as wrong:
            self._problems.append(FieldProblem(pointer(*where), str(wrong)))
            return default

    @staticmethod
    def widening_step(step: "_Reader") -> WideningStep:
        return WideningStep(
            after=step.one("after_seconds", timedelta(0), step.duration),
            lower_levels=step.one("lower_levels", 0, step.count),
            drop_skills=step.one("drop_skills", 0, step.count),
            extra_pools=step.one("extra_pools", (), step.names),
        )

    @staticmethod
    def overflow_rule(rule: "_Reader") -> OverflowRule:
        return OverflowRule(
            name=rule.one("name", "overflow", rule.name),
            pool=rule.one("pool", DEFAULTS.default_pool, rule.name),
            waiting_over=rule.one("waiting_over", None, _or_null(rule.count)),
            oldest_over=rule.one("oldest_over_seconds", None, _or_null(rule.duration)),
            to_generalists=rule.one("to_generalists", False, rule.boolean),
            generalist_skills=rule.one("generalist_skills", 4, rule.count),
            lower_levels=rule.one("lower_levels", 1, rule.count),
            to_pools=rule.one("to_pools", (), rule.names),
            protect_value_over=rule.one("protect_value_over", None, _or_null(rule.weight)),
            protection=rule.one("protection", 1.5, rule.weight),
        )

    @staticmethod
    def value_rules(rules: "_Reader") -> ValueRules:
        known = DEFAULTS.customer_value
        return ValueRules(
            segments={**known.segments, **rules.one("segments", known.segments, rules.weights)},
            contracts=rules.one("contracts", known.contracts, rules.weights),
            average_lifetime_value=rules.one(
                "average_lifetime_value", known.average_lifetime_value, _or_null(rules.weight)
            ),
            renewal_days=rules.one("renewal_days", known.renewal_days, rules.count),
            renewal_boost=rules.one("renewal_boost", known.renewal_boost, rules.bounded_weight),
            at_risk_below=rules.one("at_risk_below", known.at_risk_below, rules.probability),
            at_risk_boost=rules.one("at_risk_boost", known.at_risk_boost, rules.bounded_weight),
        )

    @staticmethod
    def outage(rule: "_Reader") -> Outage:
        return Outage(
            name=rule.one("name", "outage", rule.name),
            intents=rule.one("intents", (), rule.names),
            products=rule.one("products", (), rule.names),
            active=rule.one("active", True, rule.boolean),
            effect=rule.one("effect", OutageEffect.RAISE, rule.outage_effect),
            weight=rule.one("weight", 1.0, rule.bounded_weight),
        )

    @staticmethod
    def outage_effect(value: Json) -> OutageEffect:
        if value not in tuple(OutageEffect):
            raise _Wrong("raise or batch")
        return OutageEffect(value)

    @staticmethod
    def urgency_weights(value: Json) -> Mapping[str, float]:
        given = _object(value)
        unknown = sorted(given.keys() - _URGENCY.keys())
        if unknown:
            raise _Wrong(f"{', '.join(unknown)}: the parts are {', '.join(_URGENCY)}")
        return {name: _Reader.bounded_weight(given[name]) if name in given else _URGENCY[name] for name in _URGENCY}

    @staticmethod
    def presets(value: Json) -> Mapping[str, str]:
        given = {_Reader.name(pool): preset for pool, preset in _object(value).items() if preset is not None}
        for preset in given.values():
            if preset not in PRESET_NAMES:
                raise _Wrong(f"for each pool one of {', '.join(PRESET_NAMES)}, or null for none")
        return {pool: str(preset) for pool, preset in given.items()}

    @staticmethod
    def weights(value: Json) -> Mapping[str, float]:
        return {_Reader.name(name): _Reader.bounded_weight(weight) for name, weight in _object(value).items()}

    @staticmethod
    def intents(value: Json) -> Mapping[str, IntentProfile]:
        profiles: dict[str, IntentProfile] = {}
        for name, given in _object(value).items():
            read = _Reader(_object(given))
            try:
                profiles[_Reader.name(name)] = IntentProfile(
                    intent=name,
                    required_skills=read.one("skills", (), read.skill_needs),
                    product=read.one("product", None, _or_null(read.name)),
                    complexity=read.one("complexity", 2, read.count),
                    usual_time=read.one("usual_seconds", timedelta(minutes=8), read.positive_duration),
                )
                read.finish()
            except InvalidInput as invalid:
                raise _Wrong(f"{name}{invalid.problems[0].pointer}: {invalid.problems[0].detail}") from invalid
            except ValueError as error:
                raise _Wrong(str(error)) from error
        return profiles

    @staticmethod
    def skill_needs(value: Json) -> tuple[tuple[str, int], ...]:
        levels: dict[str, int] = {}
        for skill, level in _object(value).items():
            if isinstance(level, bool) or not isinstance(level, int) or not LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
                raise _Wrong("levels are whole numbers from 1 to 5")
            levels[_Reader.name(skill)] = level
        return tuple(levels.items())

    @staticmethod
    def bounded_weight(value: Json) -> float:
        number = _number(value)
        if not 0 <= number <= _MOST_WEIGHT:
            raise _Wrong(f"a number from 0 to {_MOST_WEIGHT:g}")
        return number

    @staticmethod
    def duration(value: Json) -> timedelta:
        seconds = _number(value)
        if not 0 <= seconds <= _LONGEST.total_seconds():
            raise _Wrong(f"a number of seconds from 0 to {_LONGEST.total_seconds():.0f}")
        return timedelta(seconds=seconds)

    @staticmethod
    def positive_duration(value: Json) -> timedelta:
        span = _Reader.duration(value)
        if not span:
            raise _Wrong("longer than nothing")
        return span

    @staticmethod
    def probability(value: Json) -> float:
        number = _number(value)
        if not 0 <= number <= 1:
            raise _Wrong("a number from 0 to 1")
        return number

    @staticmethod
    def weight(value: Json) -> float:
        number = _number(value)
        if number < 0:
            raise _Wrong("a number, not negative")
        return number

    @staticmethod
    def boolean(value: Json) -> bool:
        if not isinstance(value, bool):
            raise _Wrong("true or false")
        return value

    @staticmethod
    def count(value: Json) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:  # noqa: PLR2004 -- a bound
            raise _Wrong("a whole number from 0 to 1000000")
        return value

    @staticmethod
    def units(value: Json) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:  # noqa: PLR2004 -- a bound
            raise _Wrong("a whole number of units from 1 to 10000")
        return value

    @staticmethod
    def name(value: Json) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > 200 or "\x00" in value:  # noqa: PLR2004 -- a bound
            raise _Wrong("a name of 1 to 200 characters")
        return value

    @staticmethod
    def names(value: Json) -> tuple[str, ...]:
        return tuple(_Reader.name(one) for one in _array(value))

    @staticmethod
    def one_of(value: Json, names: Collection[str]) -> str:
        if not isinstance(value, str) or value not in names:
            raise _Wrong(f"one of {', '.join(names)}")
        return value

    @staticmethod
    def address(value: Json) -> str:
        """An http address, or nothing."""
        if value == "":
            return ""
        address = _Reader.name(value)
        if not address.startswith(("http://", "https://")) or any(sign.isspace() for sign in address):
            raise _Wrong("an address that begins with https://")
        return address

    @staticmethod
    def object(value: Json) -> Mapping[str, Json]:
        return _object(value)


SettingsReader = _Reader


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise _Wrong("a number of a usual size") from error
    if not isfinite(number):
        raise _Wrong("a number")
    return number


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise _Wrong("an object")
    return MappingProxyType(value)


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise _Wrong("a list")
    return value


def _or_null(read: Callable[[Json], Value]) -> Callable[[Json], Value | None]:
    return lambda value: None if value is None else read(value)
