"""The KPIs over ASGI: what is read from the tables must give what the pure reference gives for the same history."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

import httpx
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from temporalio.client import Client

from api.app import create_app
from api.context import ApiContext, ApiOptions
from domain.channels import Channel
from domain.kpis.compute import compute_kpis
from domain.kpis.records import EndedClock, EpisodeRecord, HandledSpan, Opening, PresenceSpan, whole_days
from domain.kpis.scope import Dimension
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from storage.database import Database, LedgerConnection
from storage.records.kpis import kpi_records, kpi_report
from tests.conftest import ADAPTER_KEY, SUPERVISOR_KEY

MARCH = whole_days(date(2026, 3, 1), date(2026, 3, 31), "UTC")
NOW = datetime(2026, 4, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGENTS = ("agt_1", "agt_2")
POOLS = {"agt_1": "support", "agt_2": "=sales"}
SUPERVISOR = {"Authorization": f"Bearer {SUPERVISOR_KEY}"}


@dataclass
class History:
    """What was inserted, as the records the reference takes."""

    episodes: list[EpisodeRecord] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    presence: list[PresenceSpan] = field(default_factory=list)
    handled: list[HandledSpan] = field(default_factory=list)


async def insert(connection: LedgerConnection, table: str, **row: object) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    places = sql.SQL(", ").join(map(sql.Placeholder, row))
    statement = sql.SQL("insert into {} ({}) values ({})").format(sql.Identifier(table), names, places)
    await connection.execute(statement, row)


async def people(connection: LedgerConnection) -> None:
    for pool in POOLS.values():
        await insert(connection, "pools", name=pool, description="")
    for agent in AGENTS:
        await insert(
            connection, "agents", id=agent, display_name=agent, pool=POOLS[agent], kind="human", skills=Jsonb({}),
            languages=Jsonb([]), capacity=100, load=0, load_limit=100, channel_ceilings=Jsonb({}),
            preferences=Jsonb({}), presence="offline", presence_since=NOW, active=True, created_at=NOW, updated_at=NOW,
        )  # fmt: skip
    for customer in ("cus_1", "cus_2", "cus_3"):
        await insert(
            connection, "customers", id=customer, display_name=customer, segment="gold", languages=Jsonb([]),
            preferred_channels=Jsonb([]), attributes=Jsonb({}), created_at=NOW, updated_at=NOW,
        )  # fmt: skip


async def presence(connection: LedgerConnection, history: History, random: Random) -> None:
    for agent in AGENTS:
        at = MARCH.start - 5 * HOUR
        for presence in ("online", "away", "transfers_only", "offline", "online", "not_responding"):
            ended = at + random.randint(1, 200) * HOUR
            await insert(
                connection, "presence_spans", agent_id=agent, presence=presence, capacity=100, started_at=at,
                ended_at=ended,
            )  # fmt: skip
            if presence in {"online", "transfers_only"} and ended > MARCH.start and at < MARCH.end:
                history.presence.append(PresenceSpan(agent, POOLS[agent], 100, at, ended))
            at = ended


async def conversation(connection: LedgerConnection, history: History, random: Random, number: int) -> None:
    con = f"con_{number}"
    customer = random.choice(("cus_1", "cus_2", "cus_3"))
    intent = random.choice((None, "refund_request", "login_problem"))
    began = opened = MARCH.start + random.randint(-300, 800) * HOUR
    episodes = random.randint(1, 3)
    await insert(
        connection, "conversations", id=con, customer_id=customer, merge_scope=con, state="closed", step=1,
        episode=episodes, intent=intent, priority=3, pool="support", channels=Jsonb([]), opened_at=began,
        updated_at=NOW,
    )  # fmt: skip
    first = random.choice((Channel.EMAIL, Channel.WEB_CHAT))
    for episode in range(1, episodes + 1):
        accepted = opened + random.randint(1, 3) * HOUR
        resolved = accepted + random.randint(1, 9) * HOUR
        wrapped = resolved + HOUR
        agent = random.choice(AGENTS)
        match = random.choice((0.25, 0.5, 0.875))
        abandoned = random.random() < 0.2
        full = random.random() < 0.7
        channels = (first,) if random.random() < 0.6 else (first, Channel.SMS)
        written = opened - timedelta(minutes=2)
        clocks = await ended_clocks(connection, con, episode, opened, resolved, random)
        await insert(
            connection, "messages", id=f"msg_{con}_{episode}", conversation_id=con, customer_id=customer,
            direction="inbound", kind="message", author_kind="customer", channel=first, account="a", text="t",
            attachments=Jsonb([]), at=written, delivery="received",
        )  # fmt: skip
        if not abandoned:
            await assignment(connection, con, episode, agent, match, full, accepted, wrapped)
            if wrapped > MARCH.start and accepted < MARCH.end:
                history.handled.append(HandledSpan(agent, POOLS[agent], 25, match, accepted, wrapped))
        counts = {name: random.randint(0, 2) for name in ("declines", "timeouts", "reroutes", "transfers", "misroutes")}
        offers = random.randint(0, 3)
        first_response = None if abandoned else accepted
        await insert(
            connection, "resolutions", conversation_id=con, episode=episode, customer_id=customer, intent=intent,
            segment="gold", pool=POOLS[agent], agent_id=None if abandoned else agent, first_channel=first,
            channels=Jsonb(channels), opened_at=began, queued_at=opened, accepted_at=None if abandoned else accepted,
            first_response_at=first_response, resolved_at=resolved, business_seconds=1800.0,
            end_reason="abandoned" if abandoned else "resolved", inbound=1, outbound=1, offers=offers, **counts,
            touches=0 if abandoned else 1, touches_with_history=int(full and not abandoned),
        )  # fmt: skip
        history.episodes.append(
            EpisodeRecord(
                conversation_id=con,
                episode=episode,
                customer_id=customer,
                intent=intent,
                segment="gold",
                pool=POOLS[agent],
                agent_id=None if abandoned else agent,
                channels=channels,
                first_channel=first,
                opened_at=opened,
                first_inbound_at=written,
                resolved_at=resolved,
                business_time=timedelta(minutes=30),
                queued_at=opened,
                accepted_at=None if abandoned else accepted,
                first_response_at=first_response,
                abandoned=abandoned,
                handle_time=timedelta(0) if abandoned else resolved - accepted,
                wrap_up_time=timedelta(0) if abandoned else wrapped - resolved,
                offers=offers,
                declines=counts["declines"],
                timeouts=counts["timeouts"],
                reroutes=counts["reroutes"],
                transfers=counts["transfers"],
                misroutes=counts["misroutes"],
                touches=0 if abandoned else 1,
                touches_with_full_history=int(full and not abandoned),
                clocks=clocks,
            )
        )
        opened = wrapped + random.randint(1, 100) * HOUR


async def assignment(
    connection: LedgerConnection,
    con: str,
    episode: int,
    agent: str,
    match: float,
    full: bool,
    at: datetime,
    ended: datetime,
) -> None:
    offer = f"off_{con}_{episode}"
    await insert(
        connection, "offers", id=offer, conversation_id=con, ticket=episode, episode=episode, agent_id=agent,
        pool=POOLS[agent], channel="email", units=25, state="accepted", reason="fits", score=1.7, created_at=at,
        expires_at=at, ended_at=at,
    )  # fmt: skip
    await insert(
        connection, "routing_decisions", id=f"dec_{offer}", conversation_id=con, offer_id=offer, pool=POOLS[agent],
        at=at, policy_version="1", model_version="1", record=Jsonb({"success": {"value": match, "team": 0.5}}),
    )  # fmt: skip
    await insert(
        connection, "assignments", id=f"asg_{offer}", conversation_id=con, episode=episode, agent_id=agent,
        offer_id=offer, channel="email", units=25, how="offer", score=1.7, full_history=full, started_at=at,
        ended_at=ended, end_cause="wrap_up",
    )  # fmt: skip


async def ended_clocks(
    connection: LedgerConnection, con: str, episode: int, started: datetime, ended: datetime, random: Random
) -> tuple[EndedClock, ...]:
    clocks = []
    for metric in Metric:
        state = random.choice((ClockState.MET, ClockState.BREACHED, ClockState.CANCELLED))
        used = timedelta(seconds=random.randint(1, 3000))
        await insert(
            connection, "clocks", conversation_id=con, metric=metric, episode=episode, number=1, policy_id="p",
            target_seconds=60, state=state, started_at=started, ended_at=ended, business_seconds=used.total_seconds(),
            paused_seconds=0,
        )  # fmt: skip
        clocks.append(EndedClock(metric, state, started, ended, used))
    return tuple(clocks)


async def still_open(connection: LedgerConnection, history: History) -> None:
    """A return that nobody has resolved yet."""
    record = next(one for one in history.episodes if one.intent and one.resolved_at in MARCH and not one.abandoned)
    at = record.resolved_at + HOUR
    await insert(
        connection, "conversations", id="con_open", customer_id=record.customer_id, merge_scope="default",
        state="queued", step=1, episode=1, intent=record.intent, priority=3, pool="support", channels=Jsonb([]),
        opened_at=at, updated_at=NOW,
    )  # fmt: skip
    history.openings.append(Opening("con_open", 1, record.customer_id, record.intent, at))


@pytest.fixture
async def history(database: Database) -> History:
    made, random = History(), Random(20260301)  # noqa: S311 -- seeded on purpose
    async with database.ledger.connection() as connection:
        await people(connection)
        await presence(connection, made, random)
        for number in range(25):
            await conversation(connection, made, random, number)
        await still_open(connection, made)
    return made


async def no_temporal() -> Client:
    raise ConnectionError("nobody listens")


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(ApiContext(database, no_temporal, b"0123456789abcdef" * 2, ApiOptions()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://baton") as client:
        yield client


@pytest.mark.parametrize("group_by", [(), (Dimension.CHANNEL, Dimension.INTENT), (Dimension.AGENT,), (Dimension.POOL,)])
async def test_what_is_read_gives_the_figures_of_the_reference(
    database: Database, history: History, group_by: tuple[Dimension, ...]
) -> None:
    read = kpi_report(MARCH, await kpi_records(database, MARCH, NOW), group_by)
    key = lambda span: (span.agent_id, span.started_at)  # noqa: E731 -- floats are summed in the order they are read
    expected = compute_kpis(
        MARCH,
        history.episodes,
        history.openings,
        sorted(history.presence, key=key),
        sorted(history.handled, key=key),
        group_by,
    )
    assert read == expected
    assert read.overall.conversations > 5
    assert read.overall.occupancy.value


@pytest.mark.usefixtures("history")
async def test_time_nobody_foresaw_counts_as_occupied_but_has_no_match(database: Database) -> None:
    before = kpi_report(MARCH, await kpi_records(database, MARCH, NOW)).overall
    async with database.ledger.connection() as connection:
        await insert(
            connection, "assignments", id="asg_claimed", conversation_id="con_0", episode=9, agent_id="agt_1",
            channel="email", units=25, how="claim", full_history=True, started_at=MARCH.start,
            ended_at=MARCH.start + 10 * HOUR,
        )  # fmt: skip
    after = kpi_report(MARCH, await kpi_records(database, MARCH, NOW)).overall
    assert after.mean_expertise_match == before.mean_expertise_match
    assert after.occupancy.numerator == before.occupancy.numerator + 25 * 36_000
    assert after.occupancy.value is not None
    assert after.mean_expertise_match.value is not None
    assert after.agent_utilization_efficiency.value == pytest.approx(
        after.occupancy.value * after.mean_expertise_match.value
    )


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("reason", ["spam", "bounce_storm"])
async def test_what_no_customer_wrote_counts_in_no_measure(database: Database, reason: str) -> None:
    before = kpi_report(MARCH, await kpi_records(database, MARCH, NOW)).overall
    async with database.ledger.connection() as connection:
        await conversation(connection, History(), Random(7), 99)  # noqa: S311 -- seeded on purpose
        await connection.execute("delete from assignments where conversation_id = 'con_99'")
    assert kpi_report(MARCH, await kpi_records(database, MARCH, NOW)).overall != before
    async with database.ledger.connection() as connection:
        await connection.execute("update resolutions set end_reason = %s where conversation_id = 'con_99'", (reason,))
    assert kpi_report(MARCH, await kpi_records(database, MARCH, NOW)).overall == before


async def test_the_answer_has_the_figures_and_their_groups(http: httpx.AsyncClient, history: History) -> None:
    asked = {"from": "2026-03-01", "to": "2026-03-31", "zone": "UTC", "group_by": "channel"}
    answer = await http.get("/v1/kpis", params=asked, headers=SUPERVISOR)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["range"] == {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "zone": "UTC"}
    expected = compute_kpis(MARCH, history.episodes, history.openings, history.presence, history.handled).overall
    assert told["kpis"]["channel_deflection_rate"]["value"] == expected.channel_deflection_rate.value
    assert told["kpis"]["cross_channel_resolution_seconds"]["count"] == expected.resolved
    assert told["kpis"]["customer_effort_score"] == {"value": None, "mean": None, "p50": None, "p90": None, "count": 0}
    assert sum(group["kpis"]["conversations"] for group in told["groups"]) == expected.conversations
    assert {group["key"]["channel"] for group in told["groups"]} == {"email", "web_chat"}


async def test_nothing_recorded_has_no_rates(http: httpx.AsyncClient) -> None:
    told = (await http.get("/v1/kpis", headers=SUPERVISOR)).json()
    assert told["kpis"]["first_contact_resolution"] == {"value": None, "numerator": 0, "denominator": 0}
    assert told["kpis"]["first_response_seconds"] == {"mean": None, "p50": None, "p90": None, "count": 0}
    assert told["groups"] == []


@pytest.mark.usefixtures("history")
async def test_no_cell_of_the_table_begins_like_a_formula(http: httpx.AsyncClient) -> None:
    asked = {"from": "2026-03-01", "to": "2026-03-31", "group_by": "pool"}
    answer = await http.get("/v1/kpis.csv", params=asked, headers=SUPERVISOR)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["pool"] for row in rows} == {"", "support", "'=sales"}
    assert {"sla_attainment.first_response", "abandonment_rate", "conversations"} <= {row["kpi"] for row in rows}


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-01T00:00:00"}, "from"),
        ({"from": "0001-01-01", "to": "2026-03-01"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"from": "2024-01-01", "to": "2026-03-01"}, "from"),
        ({"group_by": "mood"}, "group_by"),
        ({"group_by": "agent,agent"}, "group_by"),
    ],
)
async def test_what_has_no_meaning_is_pointed_at(
    http: httpx.AsyncClient, asked: dict[str, str], parameter: str
) -> None:
    answer = await http.get("/v1/kpis", params=asked, headers=SUPERVISOR)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/query/{parameter}"


async def test_an_adapter_sees_no_kpis(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/kpis", headers={"Authorization": f"Bearer {ADAPTER_KEY}"})).status_code == 403
