"""The settings of suggestions, survey and ROI view in JSON, as `domain.settings_document` reads and writes them."""

from domain.channels import Channel
from domain.settings_reader import Json, SettingsReader
from domain.suggestions.rules import (
    SUGGESTED_CHANNELS,
    Cause,
    RoiSettings,
    SuggestionRule,
    SuggestionSettings,
    SurveySettings,
)

_MOST: SuggestionSettings = SuggestionSettings()


def read_suggestions(read: SettingsReader) -> SuggestionSettings:
    usual = _MOST
    return SuggestionSettings(
        enabled=read.one("enabled", usual.enabled, read.boolean),
        rules=read.many("rules", usual.rules, _rule),
        least_success=read.one("least_success", usual.least_success, read.probability),
        lasts=read.one("lasts_seconds", usual.lasts, read.positive_duration),
        most_per_episode=read.one("most_per_episode", usual.most_per_episode, read.count),
        callback_after=read.one("callback_after_seconds", usual.callback_after, read.duration),
        meeting_link=read.one("meeting_link", usual.meeting_link, read.address),
        public_url=read.one("public_url", usual.public_url, read.address),
        hours=read.one("hours", usual.hours, lambda value: _hours(read, value)),
    )


def suggestions_to_json(settings: SuggestionSettings) -> dict[str, Json]:
    return {
        "enabled": settings.enabled,
        "rules": [
            {
                "cause": rule.cause.value,
                "channels": [channel.value for channel in rule.channels],
                "intents": list(rule.intents),
                "turns": rule.turns,
                "after_seconds": rule.after.total_seconds(),
                "drop": rule.drop,
                "margin": rule.margin,
            }
            for rule in settings.rules
        ],
        "least_success": settings.least_success,
        "lasts_seconds": settings.lasts.total_seconds(),
        "most_per_episode": settings.most_per_episode,
        "callback_after_seconds": settings.callback_after.total_seconds(),
        "meeting_link": settings.meeting_link,
        "public_url": settings.public_url,
        "hours": {channel.value: calendar for channel, calendar in settings.hours},
    }


def read_survey(read: SettingsReader) -> SurveySettings:
    usual = SurveySettings()
    return SurveySettings(
        enabled=read.one("enabled", usual.enabled, read.boolean),
        after=read.one("after_seconds", usual.after, read.duration),
        period=read.one("period_seconds", usual.period, read.positive_duration),
        answer_within=read.one("answer_within_seconds", usual.answer_within, read.positive_duration),
    )


def survey_to_json(settings: SurveySettings) -> dict[str, Json]:
    return {
        "enabled": settings.enabled,
        "after_seconds": settings.after.total_seconds(),
        "period_seconds": settings.period.total_seconds(),
        "answer_within_seconds": settings.answer_within.total_seconds(),
    }


def read_roi(read: SettingsReader) -> RoiSettings:
    usual = RoiSettings()
    return RoiSettings(
        cost_per_agent_hour=read.one("cost_per_agent_hour", usual.cost_per_agent_hour, read.weight),
        cost_per_escalation=read.one("cost_per_escalation", usual.cost_per_escalation, read.weight),
        value_per_customer=read.one("value_per_customer", usual.value_per_customer, read.weight),
        churn_share=read.one("churn_share", usual.churn_share, read.probability),
    )


def roi_to_json(settings: RoiSettings) -> dict[str, Json]:
    return {
        "cost_per_agent_hour": settings.cost_per_agent_hour,
        "cost_per_escalation": settings.cost_per_escalation,
        "value_per_customer": settings.value_per_customer,
        "churn_share": settings.churn_share,
    }


def _rule(row: SettingsReader) -> SuggestionRule:
    usual = SuggestionRule(Cause.LONG_WAIT, ())
    causes = [cause.value for cause in Cause if cause is not Cause.AGENT]
    return SuggestionRule(
        cause=Cause(row.one("cause", causes[0], lambda value: row.one_of(value, causes))),
        channels=row.one("channels", usual.channels, lambda value: _channels(row, value)),
        intents=row.one("intents", (), row.names),
        turns=row.one("turns", usual.turns, row.count),
        after=row.one("after_seconds", usual.after, row.duration),
        drop=row.one("drop", usual.drop, row.weight),
        margin=row.one("margin", usual.margin, row.probability),
    )


def _channels(read: SettingsReader, value: Json) -> tuple[Channel, ...]:
    known = [channel.value for channel in SUGGESTED_CHANNELS]
    return tuple(Channel(read.one_of(name, known)) for name in read.names(value))


def _hours(read: SettingsReader, value: Json) -> tuple[tuple[Channel, str], ...]:
    channels = [channel.value for channel in SUGGESTED_CHANNELS]
    return tuple(
        (Channel(read.one_of(name, channels)), read.name(calendar)) for name, calendar in read.object(value).items()
    )
