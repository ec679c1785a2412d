import json
from datetime import timedelta
from typing import Any

import pytest

from domain.channels import Channel
from domain.errors import InvalidInput, pointer
from domain.routing.from_settings import policy_of
from domain.routing.policy import WideningStep
from domain.routing.presets import live_calls
from domain.settings import DEFAULTS
from domain.settings_document import merged, settings_from_json, settings_to_json


def wrong(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        settings_from_json(document)
    return {problem.pointer: problem.detail for problem in refused.value.problems}


def test_an_empty_document_is_all_defaults() -> None:
    assert settings_from_json({}) == DEFAULTS


def test_what_is_written_reads_back_the_same() -> None:
    changed = settings_from_json(
        {
            "offer_timeout_seconds": {"voice": 0.25},
            "widening": [{"after_seconds": 1.5, "lower_levels": 1, "extra_pools": ["second"]}],
            "overflow": [{"name": "busy", "pool": "default", "waiting_over": 10, "to_pools": ["second"]}],
            "reassign_on_away": True,
        }
    )
    assert settings_from_json(json.loads(json.dumps(settings_to_json(changed)))) == changed


def test_a_channel_that_is_not_named_keeps_its_default() -> None:
    settings = settings_from_json({"capacity_costs": {"email": 20}})
    assert settings.capacity_costs[Channel.EMAIL] == 20
    assert settings.capacity_costs[Channel.VOICE] == DEFAULTS.capacity_costs[Channel.VOICE]


def test_durations_are_seconds_with_fractions() -> None:
    settings = settings_from_json({"reopen_window_seconds": 0.5, "wrap_up_limit_seconds": 3})
    assert settings.reopen_window == timedelta(milliseconds=500)
    assert settings.wrap_up_limit == timedelta(seconds=3)


def test_every_mistake_is_pointed_at_not_only_the_first() -> None:
    assert set(
        wrong(
            {
                "no_such": 1,
                "auto_accept": {"fax": True, "email": "yes"},
                "capacity_costs": {"voice": 0},
                "widening": [{"after_seconds": -1}, 4, {"after": 1}],
                "preference_epsilon": 1.5,
                "max_reroutes": True,
                "default_pool": "",
                "reopen_window_seconds": 10**400,
                "idle_release_seconds": 0,
            }
        )
    ) == {
        "/no_such",
        "/auto_accept/fax",
        "/auto_accept/email",
        "/capacity_costs/voice",
        "/widening/0/after_seconds",
        "/widening/1",
        "/widening/2/after",
        "/preference_epsilon",
        "/max_reroutes",
        "/default_pool",
        "/reopen_window_seconds",
        "/idle_release_seconds",
    }


def test_widening_may_only_widen() -> None:
    steps = [{"after_seconds": 60, "lower_levels": 2}, {"after_seconds": 120, "lower_levels": 1}]
    assert set(wrong({"widening": steps})) == {"/widening"}


def test_a_patch_merges_maps_and_replaces_the_rest() -> None:
    before = settings_to_json(DEFAULTS)
    after = settings_from_json(
        merged(before, {"auto_accept": {"sms": True}, "widening": [{"after_seconds": 5, "drop_skills": 1}]})
    )
    assert after.auto_accept[Channel.SMS]
    assert after.auto_accept[Channel.EMAIL]
    assert after.widening == (WideningStep(after=timedelta(seconds=5), drop_skills=1),)


def test_a_pointer_escapes_what_json_pointer_gives_a_meaning() -> None:
    assert pointer("a/b", "~", 0) == "/a~1b/~0/0"


def test_a_preset_stands_in_for_the_usual_weights_and_a_changed_weight_counts_over_it() -> None:
    settings = settings_from_json(
        {
            "routing_presets": {"hotline": "live_calls", "back_office": None},
            "urgency_weights": {"sentiment": 2},
            "longest_wait_seconds": 600,
        }
    )
    assert settings.routing_presets == {"hotline": "live_calls"}
    usual, hotline = policy_of(settings, "default"), policy_of(settings, "hotline")
    assert usual.urgency.breach == DEFAULTS.urgency_weights["breach"]
    assert hotline.urgency.breach == live_calls().urgency.breach
    assert hotline.urgency.priority == live_calls().urgency.priority
    assert (hotline.urgency.sentiment, hotline.longest_wait) == (2.0, timedelta(minutes=10))
    assert len({policy_of(settings, pool).version for pool in (None, "default", "hotline")}) == 2
    assert settings_from_json(json.loads(json.dumps(settings_to_json(settings)))) == settings
    assert wrong({"routing_presets": {"hotline": "fastest"}})
