"""The settings of routing in JSON, as `domain.settings_document` reads and writes all of them."""

from collections.abc import Mapping
from datetime import timedelta

from domain.errors import InvalidInput
from domain.intents import HIGHEST_LEVEL, LOWEST_LEVEL, IntentProfile
from domain.routing.business import Outage, OutageEffect, ValueRules
from domain.routing.policy import OverflowRule, WideningStep
from domain.routing.presets import PRESET_NAMES
from domain.settings import DEFAULTS
from domain.settings_reader import Json, SettingsReader, WrongValue, or_null


def read_widening_step(step: SettingsReader) -> WideningStep:
    return WideningStep(
        after=step.one("after_seconds", timedelta(0), step.duration),
        lower_levels=step.one("lower_levels", 0, step.count),
        drop_skills=step.one("drop_skills", 0, step.count),
        extra_pools=step.one("extra_pools", (), step.names),
    )


def read_overflow_rule(rule: SettingsReader) -> OverflowRule:
    return OverflowRule(
        name=rule.one("name", "overflow", rule.name),
        pool=rule.one("pool", DEFAULTS.default_pool, rule.name),
        waiting_over=rule.one("waiting_over", None, or_null(rule.count)),
        oldest_over=rule.one("oldest_over_seconds", None, or_null(rule.duration)),
        to_generalists=rule.one("to_generalists", False, rule.boolean),
        generalist_skills=rule.one("generalist_skills", 4, rule.count),
        lower_levels=rule.one("lower_levels", 1, rule.count),
        to_pools=rule.one("to_pools", (), rule.names),
        protect_value_over=rule.one("protect_value_over", None, or_null(rule.weight)),
        protection=rule.one("protection", 1.5, rule.weight),
    )


def read_value_rules(rules: SettingsReader) -> ValueRules:
    known = DEFAULTS.customer_value
    return ValueRules(
        segments={**known.segments, **rules.one("segments", known.segments, _weights)},
        contracts=rules.one("contracts", known.contracts, _weights),
        average_lifetime_value=rules.one("average_lifetime_value", known.average_lifetime_value, or_null(rules.weight)),
        renewal_days=rules.one("renewal_days", known.renewal_days, rules.count),
        renewal_boost=rules.one("renewal_boost", known.renewal_boost, rules.bounded_weight),
        at_risk_below=rules.one("at_risk_below", known.at_risk_below, rules.probability),
        at_risk_boost=rules.one("at_risk_boost", known.at_risk_boost, rules.bounded_weight),
    )


def read_outage(rule: SettingsReader) -> Outage:
    return Outage(
        name=rule.one("name", "outage", rule.name),
        intents=rule.one("intents", (), rule.names),
        products=rule.one("products", (), rule.names),
        active=rule.one("active", True, rule.boolean),
        effect=rule.one("effect", OutageEffect.RAISE, _outage_effect),
        weight=rule.one("weight", 1.0, rule.bounded_weight),
    )


def _outage_effect(value: Json) -> OutageEffect:
    if value not in tuple(OutageEffect):
        raise WrongValue("raise or batch")
    return OutageEffect(value)


def read_urgency_weights(value: Json) -> Mapping[str, float]:
    given = SettingsReader.object(value)
    unknown = sorted(given.keys() - DEFAULTS.urgency_weights.keys())
    if unknown:
        raise WrongValue(f"{', '.join(unknown)}: the parts are {', '.join(DEFAULTS.urgency_weights)}")
    return {
        name: SettingsReader.bounded_weight(given[name]) if name in given else DEFAULTS.urgency_weights[name]
        for name in DEFAULTS.urgency_weights
    }


def read_presets(value: Json) -> Mapping[str, str]:
    given = {
        SettingsReader.name(pool): preset for pool, preset in SettingsReader.object(value).items() if preset is not None
    }
    for preset in given.values():
        if preset not in PRESET_NAMES:
            raise WrongValue(f"for each pool one of {', '.join(PRESET_NAMES)}, or null for none")
    return {pool: str(preset) for pool, preset in given.items()}


def _weights(value: Json) -> Mapping[str, float]:
    return {
        SettingsReader.name(name): SettingsReader.bounded_weight(weight)
        for name, weight in SettingsReader.object(value).items()
    }


def read_intents(value: Json) -> Mapping[str, IntentProfile]:
    profiles: dict[str, IntentProfile] = {}
    for name, given in SettingsReader.object(value).items():
        read = SettingsReader(SettingsReader.object(given))
        try:
            profiles[SettingsReader.name(name)] = IntentProfile(
                intent=name,
                required_skills=read.one("skills", (), _skill_needs),
                product=read.one("product", None, or_null(read.name)),
                complexity=read.one("complexity", 2, read.count),
                usual_time=read.one("usual_seconds", timedelta(minutes=8), read.positive_duration),
            )
            read.finish()
        except InvalidInput as invalid:
            raise WrongValue(f"{name}{invalid.problems[0].pointer}: {invalid.problems[0].detail}") from invalid
        except ValueError as error:
            raise WrongValue(str(error)) from error
    return profiles


def _skill_needs(value: Json) -> tuple[tuple[str, int], ...]:
    levels: dict[str, int] = {}
    for skill, level in SettingsReader.object(value).items():
        if isinstance(level, bool) or not isinstance(level, int) or not LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
            raise WrongValue("levels are whole numbers from 1 to 5")
        levels[SettingsReader.name(skill)] = level
    return tuple(levels.items())


def widening_step_to_json(step: WideningStep) -> Json:
    return {
        "after_seconds": step.after.total_seconds(),
        "lower_levels": step.lower_levels,
        "drop_skills": step.drop_skills,
        "extra_pools": list(step.extra_pools),
    }


def overflow_rule_to_json(rule: OverflowRule) -> Json:
    return {
        "name": rule.name,
        "pool": rule.pool,
        "waiting_over": rule.waiting_over,
        "oldest_over_seconds": None if rule.oldest_over is None else rule.oldest_over.total_seconds(),
        "to_generalists": rule.to_generalists,
        "generalist_skills": rule.generalist_skills,
        "lower_levels": rule.lower_levels,
        "to_pools": list(rule.to_pools),
        "protect_value_over": rule.protect_value_over,
        "protection": rule.protection,
    }


def value_rules_to_json(rules: ValueRules) -> Json:
    return {
        "segments": dict(rules.segments),
        "contracts": dict(rules.contracts),
        "average_lifetime_value": rules.average_lifetime_value,
        "renewal_days": rules.renewal_days,
        "renewal_boost": rules.renewal_boost,
        "at_risk_below": rules.at_risk_below,
        "at_risk_boost": rules.at_risk_boost,
    }


def outage_to_json(outage: Outage) -> Json:
    return {
        "name": outage.name,
        "intents": list(outage.intents),
        "products": list(outage.products),
        "active": outage.active,
        "effect": outage.effect.value,
        "weight": outage.weight,
    }


def intent_to_json(profile: IntentProfile) -> Json:
    return {
        "skills": dict(profile.required_skills),
        "product": profile.product,
        "complexity": profile.complexity,
        "usual_seconds": profile.usual_time.total_seconds(),
    }
