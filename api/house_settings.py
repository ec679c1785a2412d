"""What an admin changes while Baton runs."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.fields import Body, left_out
from api.route import BatonRoute, Records
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.settings import Settings
from domain.settings_document import merged, settings_from_json, settings_to_json
from storage.records.policies import instant_of_change, tell_open_conversations
from storage.records.settings import keep_settings, missing_pools, settings_document

router = APIRouter(prefix="/v1/settings", tags=["settings"], route_class=BatonRoute)


class WideningAnswer(BaseModel):
    after_seconds: float = Field(examples=[60.0])
    lower_levels: int = Field(examples=[1])
    drop_skills: int = Field(examples=[0])
    extra_pools: list[str] = Field(examples=[["default"]])


class OverflowAnswer(BaseModel):
    name: str = Field(examples=["many wait"])
    pool: str = Field(examples=["billing"])
    waiting_over: int | None = Field(examples=[20])
    oldest_over_seconds: float | None = Field(examples=[None])
    to_generalists: bool = Field(examples=[False])
    generalist_skills: int = Field(examples=[4])
    lower_levels: int = Field(examples=[1])
    to_pools: list[str] = Field(examples=[["default"]])
    protect_value_over: float | None = Field(examples=[None])
    protection: float = Field(examples=[1.5])


class CustomerValueAnswer(BaseModel):
    segments: dict[str, float] = Field(examples=[{"standard": 1.0, "gold": 1.35}])
    contracts: dict[str, float] = Field(examples=[{"enterprise": 1.3}])
    average_lifetime_value: float | None = Field(examples=[1200.0])
    renewal_days: int = Field(examples=[30])
    renewal_boost: float = Field(examples=[0.5])
    at_risk_below: float = Field(examples=[0.4])
    at_risk_boost: float = Field(examples=[0.4])


class OutageAnswer(BaseModel):
    name: str = Field(examples=["payments are down"])
    intents: list[str] = Field(examples=[["payment_failed"]])
    products: list[str] = Field(examples=[["payments"]])
    active: bool = Field(examples=[True])
    effect: str = Field(examples=["raise"], description="raise: they go first; batch: they wait for the one answer")
    weight: float = Field(examples=[1.0])


class IntentAnswer(BaseModel):
    skills: dict[str, int] = Field(examples=[{"billing": 2}])
    product: str | None = Field(examples=["payments"])
    complexity: int = Field(examples=[2])
    usual_seconds: float = Field(examples=[480.0])


class SuggestionRuleAnswer(BaseModel):
    cause: str = Field(examples=["screen_sharing"])
    channels: list[Channel] = Field(examples=[["video"]])
    intents: list[str] = Field(examples=[["setup_help"]])
    turns: int = Field(examples=[4])
    after_seconds: float = Field(examples=[300.0])
    drop: float = Field(examples=[0.6])
    margin: float = Field(examples=[0.15])


class SuggestionSettingsAnswer(BaseModel):
    enabled: bool = Field(examples=[True])
    rules: list[SuggestionRuleAnswer]
    least_success: float = Field(examples=[0.2])
    lasts_seconds: float = Field(examples=[3600.0])
    most_per_episode: int = Field(examples=[2])
    callback_after_seconds: float = Field(examples=[900.0])
    meeting_link: str = Field(examples=["https://meet.example/{id}"])
    public_url: str = Field(examples=["https://support.example"])
    hours: dict[Channel, str] = Field(examples=[{"voice": "Office hours"}])


class SurveySettingsAnswer(BaseModel):
    enabled: bool = Field(examples=[False])
    after_seconds: float = Field(examples=[600.0])
    period_seconds: float = Field(examples=[2592000.0])
    answer_within_seconds: float = Field(examples=[604800.0])


class RoiSettingsAnswer(BaseModel):
    cost_per_agent_hour: float = Field(examples=[32.0])
    cost_per_escalation: float = Field(examples=[15.0])
    value_per_customer: float = Field(examples=[240.0])
    churn_share: float = Field(examples=[0.1])


class SettingsAnswer(BaseModel):
    offer_timeout_seconds: dict[Channel, float] = Field(examples=[{"voice": 20.0, "email": 300.0}])
    auto_accept: dict[Channel, bool] = Field(examples=[{"email": True}])
    interrupts: dict[Channel, bool] = Field(examples=[{"voice": False}])
    capacity_costs: dict[Channel, int] = Field(examples=[{"voice": 100, "email": 15}])
    reopen_window_seconds: float = Field(examples=[259200.0])
    wrap_up_limit_seconds: float = Field(examples=[300.0])
    wrap_up_extension_seconds: float = Field(examples=[300.0])
    idle_release_seconds: float = Field(examples=[900.0])
    owner_grace_seconds: float = Field(examples=[120.0])
    exclusion_cool_down_seconds: float = Field(examples=[60.0])
    widening: list[WideningAnswer]
    overflow: list[OverflowAnswer]
    preference_epsilon: float = Field(examples=[0.02])
    exploration: float = Field(examples=[0.02])
    longest_wait_seconds: float | None = Field(examples=[28800.0])
    urgency_weights: dict[str, float] = Field(examples=[{"wait": 0.25, "breach": 2.0}])
    routing_presets: dict[str, str] = Field(examples=[{"hotline": "live_calls"}], description="By pool")
    customer_value: CustomerValueAnswer
    outages: list[OutageAnswer]
    intents: dict[str, IntentAnswer]
    presence_grace_seconds: float = Field(examples=[45.0])
    reassign_on_away: bool = Field(examples=[False])
    max_reroutes: int = Field(examples=[5])
    default_pool: str = Field(examples=["default"])
    intent_confidence_threshold: float = Field(examples=[0.5])
    suggestions: SuggestionSettingsAnswer
    survey: SurveySettingsAnswer
    roi: RoiSettingsAnswer


class SettingsChange(Body):
    """The settings to change; what is left out stays. Their bounds are those of `domain.settings`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"offer_timeout_seconds": {"voice": 15}, "reassign_on_away": True}]}
    )

    offer_timeout_seconds: dict[Channel, JsonValue] = left_out()
    auto_accept: dict[Channel, JsonValue] = left_out()
    interrupts: dict[Channel, JsonValue] = left_out()
    capacity_costs: dict[Channel, JsonValue] = left_out()
    reopen_window_seconds: JsonValue = left_out()
    wrap_up_limit_seconds: JsonValue = left_out()
    wrap_up_extension_seconds: JsonValue = left_out()
    idle_release_seconds: JsonValue = left_out()
    owner_grace_seconds: JsonValue = left_out()
    exclusion_cool_down_seconds: JsonValue = left_out()
    widening: JsonValue = left_out()
    overflow: JsonValue = left_out()
    preference_epsilon: JsonValue = left_out()
    exploration: JsonValue = left_out()
    longest_wait_seconds: JsonValue = left_out()
    urgency_weights: JsonValue = left_out()
    routing_presets: JsonValue = left_out()
    customer_value: JsonValue = left_out()
    outages: JsonValue = left_out()
    intents: JsonValue = left_out()
    presence_grace_seconds: JsonValue = left_out()
    reassign_on_away: JsonValue = left_out()
    max_reroutes: JsonValue = left_out()
    default_pool: JsonValue = left_out()
    intent_confidence_threshold: JsonValue = left_out()
    suggestions: JsonValue = left_out()
    survey: JsonValue = left_out()
    roi: JsonValue = left_out()


@router.get("", summary="All settings, defaults included")
async def settings(records: Records) -> SettingsAnswer:
    return _answer(settings_from_json(await settings_document(records)))


@router.patch("", summary="Change settings; maps merge by channel, everything else is replaced")
async def change_settings(body: SettingsChange, records: Records) -> SettingsAnswer:
    at = await instant_of_change(records)
    before = await settings_document(records)
    sent = body.sent()
    after = merged(before, sent)
    changed = settings_from_json(after)
    await _check_pools(records, changed)
    if after != before:
        await keep_settings(records, {key: after[key] for key in sent}, at)
        await tell_open_conversations(records, "settings changed")
    return _answer(changed)


async def _check_pools(records: Records, settings: Settings) -> None:
    named = [(settings.default_pool, pointer("default_pool"))]
    named += [(pool, pointer("routing_presets", pool)) for pool in settings.routing_presets]
    for position, step in enumerate(settings.widening):
        named += [(pool, pointer("widening", position, "extra_pools")) for pool in step.extra_pools]
    for position, rule in enumerate(settings.overflow):
        named.append((rule.pool, pointer("overflow", position, "pool")))
        named += [(pool, pointer("overflow", position, "to_pools")) for pool in rule.to_pools]
    missing = await missing_pools(records, [pool for pool, _ in named])
    if missing:
        raise InvalidInput(*(FieldProblem(where, "no such pool") for pool, where in named if pool in missing))


def _answer(settings: Settings) -> SettingsAnswer:
    return SettingsAnswer.model_validate(settings_to_json(settings))
