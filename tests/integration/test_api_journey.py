"""Advice before a conversation, the ROI view, and the settings of the journey, over ASGI."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg.types.json import Jsonb
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext
from storage.database import Database
from tests.conftest import ADAPTER_KEY, ADMIN_KEY, SUPERVISOR_KEY

ADAPTER = {"Authorization": f"Bearer {ADAPTER_KEY}"}
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
SUPERVISOR = {"Authorization": f"Bearer {SUPERVISOR_KEY}"}
NOW = datetime.now(UTC)


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


async def intent_of(text: str) -> str | None:
    return "setup_help" if "printer" in text else None


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2, intent_of=intent_of))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        yield client


async def answered(database: Database, channel: str, waits: list[timedelta]) -> None:
    """Conversations of a channel that queued and were answered after these waits."""
    async with database.ledger.connection() as connection:
        await connection.execute(
            "insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,"
            " channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at) values"
            " ('agt_1', 'Bea', 'default', 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'online', now(), true, now(),"
            " now()) on conflict do nothing"
        )
        for number, wait in enumerate(waits):
            name, queued = f"{channel}_{number}", NOW - timedelta(hours=1)
            await connection.execute(
                "insert into customers (id, display_name, segment, languages, preferred_channels, attributes,"
                " created_at, updated_at) values (%s, 'C', 'standard', '[]', %s, '{}', now(), now())",
                (f"cus_{name}", Jsonb(["email"])),
            )
            await connection.execute(
                "insert into conversations (id, customer_id, merge_scope, state, step, episode, priority, pool,"
                " channels, opened_at, updated_at)"
                " values (%s, %s, 'x', 'closed', 1, 1, 3, 'default', '[]', now(), now())",
                (f"con_{name}", f"cus_{name}"),
            )
            await connection.execute(
                "insert into events (at, kind, conversation_id, episode, data) values (%s, 'queued', %s, 1, '{}')",
                (queued, f"con_{name}"),
            )
            await connection.execute(
                "insert into assignments (id, conversation_id, episode, agent_id, channel, units, how, full_history,"
                " started_at, ended_at) values (%s, %s, 1, 'agt_1', %s, 1, 'offer', true, %s, now())",
                (f"asg_{name}", f"con_{name}", channel, queued + wait),
            )


async def account(database: Database, channel: str) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute(
            "insert into channel_accounts (id, channel, name, settings, active, created_at)"
            " values (%s, %s, 'main', '{}', true, now())",
            (f"acc_{channel}", channel),
        )


async def test_waits_are_told_with_their_counts_and_null_where_too_little_was_seen(
    http: httpx.AsyncClient, database: Database
) -> None:
    await answered(database, "web_chat", [timedelta(minutes=minutes) for minutes in (8, 9, 10, 11, 12)])
    await answered(database, "sms", [timedelta(minutes=1)])
    told = (await http.get("/v1/suggest-channel", headers=ADAPTER)).json()
    assert told["waits"] == [
        {"channel": "sms", "median_seconds": None, "p90_seconds": None, "answered": 1, "waiting": 0},
        {"channel": "web_chat", "median_seconds": 600.0, "p90_seconds": 696.0, "answered": 5, "waiting": 0},
    ]
    assert (told["channel"], told["reason"]) == (None, None)


async def test_a_long_known_wait_leads_to_the_short_one_unless_the_customer_prefers_otherwise(
    http: httpx.AsyncClient, database: Database
) -> None:
    await answered(database, "web_chat", [timedelta(minutes=10)] * 5)
    await answered(database, "email", [timedelta(minutes=2)] * 5)
    await account(database, "web_chat")
    await account(database, "email")
    told = (await http.get("/v1/suggest-channel", headers=ADAPTER)).json()
    assert (told["channel"], told["reason"]) == ("email", "long_wait")
    assert told["open_channels"] == ["web_chat", "email"]
    known = {"customer": "cus_web_chat_0"}
    kept = (await http.get("/v1/suggest-channel", params=known, headers=ADAPTER)).json()
    assert kept["open_channels"] == []  # they prefer mail, and have proven no address
    unknown = await http.get("/v1/suggest-channel", params={"customer": "cus_nobody"}, headers=ADAPTER)
    assert unknown.status_code == 404


async def test_a_text_about_a_screen_is_led_to_video_once_there_is_a_meeting_link(http: httpx.AsyncClient) -> None:
    asked = {"text": "my printer does not connect"}
    before = (await http.get("/v1/suggest-channel", params=asked, headers=ADAPTER)).json()
    assert (before["channel"], before["intent"]) == (None, "setup_help")
    wanted = {"suggestions": {"meeting_link": "https://meet.example/{id}"}}
    changed = await http.patch("/v1/settings", json=wanted, headers=ADMIN)
    assert changed.json()["suggestions"]["lasts_seconds"] == 3600
    after = (await http.get("/v1/suggest-channel", params=asked, headers=ADAPTER)).json()
    assert (after["channel"], after["reason"]) == ("video", "screen_sharing")


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"suggestions": {"rules": [{"cause": "boredom"}]}}, "/suggestions/rules/0/cause"),
        ({"suggestions": {"meeting_link": "javascript:alert(1)"}}, "/suggestions/meeting_link"),
        ({"survey": {"often": True}}, "/survey/often"),
        ({"roi": {"churn_share": 2}}, "/roi/churn_share"),
    ],
)
async def test_a_setting_that_means_nothing_is_pointed_at(
    http: httpx.AsyncClient, document: dict[str, object], where: str
) -> None:
    refused = await http.patch("/v1/settings", json=document, headers=ADMIN)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, where)


async def test_the_roi_view_shows_its_rates_and_null_where_there_is_nothing(http: httpx.AsyncClient) -> None:
    await http.patch("/v1/settings", json={"roi": {"cost_per_agent_hour": 32}}, headers=ADMIN)
    periods = {"from": "2026-02-01", "to": "2026-02-28", "baseline_from": "2026-01-01", "baseline_to": "2026-01-31"}
    told = (await http.get("/v1/kpis/roi", params=periods, headers=SUPERVISOR)).json()
    assert told["rates"]["cost_per_agent_hour"] == 32
    assert told["agent_hours_saved"] is None
    assert told["changes"]["first_contact_resolution"] == {"now": None, "then": None, "change": None}
    backwards = await http.get("/v1/kpis/roi", params={**periods, "baseline_to": "2025-01-01"}, headers=SUPERVISOR)
    assert backwards.json()["errors"][0]["pointer"] == "/query/baseline_to"
