"""All settings as a JSON document.

Durations are numbers of seconds under keys that end in `_seconds`; fractions are welcome. A document may be partial:
what it leaves out keeps its default.
"""

from collections.abc import Mapping

from domain.routing.policy import RoutingPolicy
from domain.routing.settings_form import (
    intent_to_json,
    outage_to_json,
    overflow_rule_to_json,
    read_intents,
    read_outage,
    read_overflow_rule,
    read_presets,
    read_urgency_weights,
    read_value_rules,
    read_widening_step,
    value_rules_to_json,
    widening_step_to_json,
)
from domain.settings import DEFAULTS, Settings
from domain.settings_reader import Json, SettingsReader, or_null
from domain.suggestions.settings_form import (
    read_roi,
    read_suggestions,
    read_survey,
    roi_to_json,
    suggestions_to_json,
    survey_to_json,
)


def settings_from_json(document: Mapping[str, Json]) -> Settings:
    """Read a document; every mistake in it is named, not only the first.

    Raises:
        InvalidInput: an unknown key, a wrong type, a value out of its bounds.
    """
    read = SettingsReader(document)
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
        widening=read.many("widening", DEFAULTS.widening, read_widening_step),
        overflow=read.many("overflow", DEFAULTS.overflow, read_overflow_rule),
        preference_epsilon=read.one("preference_epsilon", DEFAULTS.preference_epsilon, read.probability),
        exploration=read.one("exploration", DEFAULTS.exploration, read.probability),
        longest_wait=read.one("longest_wait_seconds", DEFAULTS.longest_wait, or_null(read.positive_duration)),
        urgency_weights=read.one("urgency_weights", DEFAULTS.urgency_weights, read_urgency_weights),
        routing_presets=read.one("routing_presets", DEFAULTS.routing_presets, read_presets),
        customer_value=read.inner("customer_value", DEFAULTS.customer_value, read_value_rules),
        outages=read.many("outages", DEFAULTS.outages, read_outage),
        intents=read.one("intents", DEFAULTS.intents, read_intents),
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
    read.check("widening", lambda: RoutingPolicy(widening=settings.widening))
    read.finish()
    return settings


def settings_to_json(settings: Settings) -> dict[str, Json]:
    """The whole of it, in the form `settings_from_json` reads."""
    return {
        "offer_timeout_seconds": {
            channel.value: span.total_seconds() for channel, span in settings.offer_timeouts.items()
        },
        "auto_accept": {channel.value: chosen for channel, chosen in settings.auto_accept.items()},
        "interrupts": {channel.value: chosen for channel, chosen in settings.interrupts.items()},
        "capacity_costs": {channel.value: units for channel, units in settings.capacity_costs.items()},
        "reopen_window_seconds": settings.reopen_window.total_seconds(),
        "wrap_up_limit_seconds": settings.wrap_up_limit.total_seconds(),
        "wrap_up_extension_seconds": settings.wrap_up_extension.total_seconds(),
        "idle_release_seconds": settings.idle_release.total_seconds(),
        "owner_grace_seconds": settings.owner_grace.total_seconds(),
        "exclusion_cool_down_seconds": settings.exclusion_cool_down.total_seconds(),
        "widening": [widening_step_to_json(step) for step in settings.widening],
        "overflow": [overflow_rule_to_json(rule) for rule in settings.overflow],
        "preference_epsilon": settings.preference_epsilon,
        "exploration": settings.exploration,
        "longest_wait_seconds": None if settings.longest_wait is None else settings.longest_wait.total_seconds(),
        "urgency_weights": dict(settings.urgency_weights),
        "routing_presets": dict(settings.routing_presets),
        "customer_value": value_rules_to_json(settings.customer_value),
        "outages": [outage_to_json(outage) for outage in settings.outages],
        "intents": {name: intent_to_json(profile) for name, profile in settings.intents.items()},
        "presence_grace_seconds": settings.presence_grace.total_seconds(),
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
