"""What the ledger knows of agents, customers and the house reaches the engine and shows in what it decides."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.json import Jsonb

from domain.routing.model import UnmatchedReason
from domain.routing.success import Resolution, SuccessLearner
from storage.database import Database
from storage.ledger.matching import Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from tests.integration.dispatch_ledger import (
    POOL,
    add_agent,
    add_assignment,
    add_conversation,
    add_pool,
    add_ticket,
    offered,
    rows,
    set_setting,
)

NOBODY_KNOWN = SuccessLearner().model()
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = {day: [["00:00", "24:00"]] for day in DAYS}


def zone_where_it_is(hour: int) -> str:
    """A zone whose clock shows about this hour now: what a test sees then never depends on when it runs."""
    offset = (hour - datetime.now(UTC).hour) % 24
    offset = offset if offset <= 14 else offset - 24
    # The signs of these names are the other way round.
    return f"Etc/GMT{-offset:+d}"


def every_day(opens: str, closes: str) -> dict[str, list[list[str]]]:
    return {day: [[opens, closes]] for day in DAYS}


async def matched(database: Database, pool: str = POOL) -> Pass:
    return await match_pool(database, await take_lease(database, pool, "test"), NOBODY_KNOWN)


async def urgency_parts(database: Database, conversation_id: str) -> dict[str, float]:
    [(record,)] = await rows(
        database, "select record from routing_decisions where conversation_id = %s", conversation_id
    )
    assert record["urgency"] == pytest.approx(sum(part["value"] for part in record["urgency_parts"]))
    return {part["name"]: part["value"] for part in record["urgency_parts"]}


async def score_parts(database: Database, conversation_id: str) -> dict[str, float]:
    [(record,)] = await rows(
        database, "select record from routing_decisions where conversation_id = %s", conversation_id
    )
    return {part["name"]: part["value"] for part in record["parts"]}


async def test_near_the_end_of_a_shift_no_long_work_and_after_it_none_at_all(database: Database) -> None:
    zone = zone_where_it_is(12)
    ends = datetime.now(ZoneInfo(zone)) + timedelta(minutes=9)
    weekday_to_come = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    await add_agent(database, "agt_ends", time_zone=zone, hours=every_day("00:00", f"{ends:%H:%M}"), capacity=1000)
    await add_agent(database, "agt_off", time_zone="UTC", hours={weekday_to_come: [["00:00", "24:00"]]})
    await add_ticket(database, "con_long", intent="integration_api")  # 25 minutes
    await add_ticket(database, "con_short", intent="password_reset")  # 4 minutes
    await matched(database)
    assert await offered(database) == {"con_short": "agt_ends"}


async def test_hours_that_last_keep_nobody_from_long_work(database: Database) -> None:
    await add_agent(database, "agt_1", time_zone="UTC", hours=ALWAYS)
    await add_ticket(database, "con_long", intent="integration_api")
    await matched(database)
    assert await offered(database) == {"con_long": "agt_1"}


async def test_an_agent_serves_the_pools_beside_the_home_pool_too(database: Database) -> None:
    await add_pool(database, "second")
    await add_agent(database, "agt_1", also_pools=["second"])
    await add_ticket(database, "con_1", pool="second")
    await matched(database, "second")
    assert await offered(database) == {"con_1": "agt_1"}


async def test_an_assistant_that_costs_more_comes_after_a_person_who_is_as_good(database: Database) -> None:
    await add_agent(database, "agt_ai", kind="ai", cost_per_case=3.0)
    await add_agent(database, "agt_person", load=34)
    await add_ticket(database, "con_1")
    await matched(database)
    assert await offered(database) == {"con_1": "agt_person"}


async def test_an_assistant_known_to_resolve_it_is_worth_its_cost(database: Database) -> None:
    learner = SuccessLearner()
    for number in range(400):
        for agent, resolved in (("agt_ai", number % 20 != 0), ("agt_person", number % 2 == 0)):
            at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=number)
            learner.learn(Resolution(agent, "password_reset", None, "standard", "web_chat", resolved, at))
    await add_agent(database, "agt_ai", kind="ai", cost_per_case=1.0)
    await add_agent(database, "agt_person")
    await add_ticket(database, "con_1", intent="password_reset")
    await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    assert await offered(database) == {"con_1": "agt_ai"}
    parts = await score_parts(database, "con_1")
    assert parts["cost"] < 0
    assert await rows(database, "select model_version from routing_decisions") == [("success-800",)]


async def test_what_is_expected_of_a_new_assistant_holds_until_its_own_cases_speak(database: Database) -> None:
    learner = SuccessLearner()
    start = datetime(2026, 1, 5, tzinfo=UTC)
    for number in range(40):
        learner.learn(Resolution("agt_else", "password_reset", None, "standard", "web_chat", number % 10 < 7, start))
    await add_agent(database, "agt_ai", kind="ai", expected_success=0.2, capacity=340)
    await add_agent(database, "agt_person", capacity=34)
    await add_ticket(database, "con_1", intent="password_reset")
    await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    assert await offered(database) == {"con_1": "agt_person"}
    await add_ticket(database, "con_2", intent="password_reset")
    await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    [(before,)] = await rows(
        database, "select record -> 'success' ->> 'value' from routing_decisions where conversation_id = 'con_2'"
    )
    assert float(before) == pytest.approx(0.2)
    for number in range(60):
        at = start + timedelta(minutes=number)
        learner.learn(Resolution("agt_ai", "password_reset", None, "standard", "web_chat", True, at))
    await add_ticket(database, "con_3", intent="password_reset")
    await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    [(after,)] = await rows(
        database, "select record -> 'success' ->> 'value' from routing_decisions where conversation_id = 'con_3'"
    )
    assert float(after) > 0.6


async def test_who_had_hard_cases_in_a_row_is_spared_the_next(database: Database) -> None:
    for agent, intent in (("agt_worn", "fraud_report"), ("agt_fresh", "password_reset")):
        await add_agent(database, agent)
        for number in range(3):
            conversation = f"con_{agent}_{number}"
            await add_conversation(database, conversation)
            await add_assignment(database, conversation, agent)
            await rows(
                database,
                "update assignments set started_at = now() - %s, ended_at = now() where conversation_id = %s",
                timedelta(minutes=number),
                conversation,
            )
            await rows(database, "update conversations set intent = %s where id = %s", intent, conversation)
    await rows(database, "update agents set last_assigned_at = now() - interval '1 h' where id = 'agt_worn'")
    await rows(database, "update agents set last_assigned_at = now() where id = 'agt_fresh'")
    await add_ticket(database, "con_hard", intent="fraud_report")
    await matched(database)
    assert await offered(database) == {"con_hard": "agt_fresh"}


async def test_time_near_full_load_is_counted_and_spares_the_agent(database: Database) -> None:
    for agent in ("agt_full", "agt_other"):
        await add_agent(database, agent, load=80)
    await rows(database, "update agents set strain_counted_at = now() - interval '3 h' where id = 'agt_full'")
    await rows(database, "update agents set load = 0")
    [(full, other)] = await rows(
        database,
        "select max(strain_seconds) filter (where id = 'agt_full'), max(strain_seconds) filter (where id = 'agt_other')"
        " from agents",
    )
    assert full == pytest.approx(3 * 3600, abs=60)
    assert other == pytest.approx(0, abs=60)
    await add_ticket(database, "con_1")
    await matched(database)
    assert await offered(database) == {"con_1": "agt_other"}
    await rows(database, "update agents set strain_counted_at = now() - interval '1 h' where id = 'agt_full'")
    await rows(database, "update agents set load = 10 where id = 'agt_full'")
    [(rested,)] = await rows(database, "select strain_seconds from agents where id = 'agt_full'")
    assert rested == pytest.approx(2 * 3600, abs=60)


async def test_value_health_and_a_renewal_show_in_the_urgency_of_the_customer_s_case(database: Database) -> None:
    await set_setting(database, "customer_value", {"average_lifetime_value": 1000, "contracts": {"enterprise": 1.2}})
    await add_agent(database, "agt_1", capacity=34)
    await add_ticket(database, "con_plain", waited=timedelta(seconds=30))
    renewal = datetime.now(UTC).date() + timedelta(days=1)
    customer = {"lifetime_value": 9000, "contract": "enterprise", "health_score": 0.1, "renewal_on": renewal}
    await add_ticket(database, "con_valued", customer={**customer, "segment": "gold"}, segment="gold")
    await matched(database)
    assert await offered(database) == {"con_valued": "agt_1"}
    parts = await urgency_parts(database, "con_valued")
    assert parts["business"] == pytest.approx(0.5 * 29 / 30 + 0.4 * 0.75, abs=0.02)
    assert parts["value"] > 0


async def test_an_outage_switched_on_raises_the_cases_that_already_wait(database: Database) -> None:
    lease, queue = await take_lease(database, POOL, "test"), PoolQueue(POOL)
    await add_agent(database, "agt_1", capacity=34, load=34)
    await add_ticket(database, "con_older", intent="billing_question", waited=timedelta(seconds=50))
    await add_ticket(database, "con_hit", intent="payment_failed")
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    await set_setting(database, "outages", [{"name": "payments", "intents": ["payment_failed"], "weight": 2}])
    await rows(database, "update agents set load = 0")
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    assert await offered(database) == {"con_hit": "agt_1"}
    assert (await urgency_parts(database, "con_hit"))["business"] == 2


async def test_a_batched_outage_lets_the_others_go_first(database: Database) -> None:
    await set_setting(
        database, "outages", [{"name": "payments", "intents": ["payment_failed"], "effect": "batch", "weight": 1}]
    )
    await add_agent(database, "agt_1", capacity=34)
    await add_ticket(database, "con_hit", intent="payment_failed", waited=timedelta(seconds=30))
    await add_ticket(database, "con_else", intent="billing_question")
    await matched(database)
    assert await offered(database) == {"con_else": "agt_1"}


async def test_an_angry_message_moves_the_case_forward_at_the_next_pass(database: Database) -> None:
    lease, queue = await take_lease(database, POOL, "test"), PoolQueue(POOL)
    await add_agent(database, "agt_1", capacity=34, load=34)
    await add_ticket(database, "con_older", waited=timedelta(seconds=20), sentiment=0.0)
    await add_ticket(database, "con_angry", waited=timedelta(seconds=10), sentiment=0.0)
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    # What the conversation's next step writes of a message that is read as angry.
    await rows(database, "update queue_tickets set sentiment = -0.9, priority = 2 where conversation_id = 'con_angry'")
    await rows(database, "update agents set load = 0")
    before = await rows(database, "select queued_at from queue_tickets where conversation_id = 'con_angry'")
    await match_pool(database, lease, NOBODY_KNOWN, queue=queue)
    assert await offered(database) == {"con_angry": "agt_1"}
    parts = await urgency_parts(database, "con_angry")
    assert parts["sentiment"] == pytest.approx(0.45)
    [(waited,)] = await rows(
        database,
        "select extract(epoch from o.created_at - %s) from offers o where conversation_id = 'con_angry'",
        before[0][0],
    )
    assert parts["wait"] > 0
    assert float(waited) >= 10


async def test_who_asked_for_a_call_is_called_in_their_hours_and_who_calls_is_answered_at_once(
    database: Database,
) -> None:
    zone = zone_where_it_is(3)
    await add_agent(database, "agt_1", capacity=200)
    for name in ("con_to_call", "con_on_the_line"):
        await add_ticket(database, name, channel="voice", units=100, customer={"time_zone": zone})
    for name, channel in (("con_to_call", "web_chat"), ("con_on_the_line", "voice")):
        await rows(
            database,
            "insert into messages (id, conversation_id, customer_id, direction, kind, author_kind, channel, account,"
            " text, attachments, at, delivery) values (%s, %s, %s, 'inbound', 'message', 'customer', %s, 'line', 'x',"
            " '[]', now(), 'received')",
            f"msg_{name}",
            name,
            f"cus_of_{name}",
            channel,
        )
    done = await matched(database)
    assert await offered(database) == {"con_on_the_line": "agt_1"}
    assert [(one.conversation_id, one.reason) for one in done.unmatched] == [
        ("con_to_call", UnmatchedReason.CUSTOMER_HOURS)
    ]
    await rows(database, "update customers set preferred_hours = %s", Jsonb(ALWAYS))
    await matched(database)
    assert set(await offered(database)) == {"con_on_the_line", "con_to_call"}


async def test_an_owner_who_is_full_is_waited_for_no_longer_than_the_grace(database: Database) -> None:
    await set_setting(database, "owner_grace_seconds", 60)
    await add_agent(database, "agt_owner", capacity=34, load=34)
    await add_agent(database, "agt_other")
    await add_ticket(database, "con_fresh", waited=timedelta(seconds=55), owner="agt_owner")
    await add_ticket(database, "con_waited", waited=timedelta(seconds=61), owner="agt_owner")
    done = await matched(database)
    assert await offered(database) == {"con_waited": "agt_other"}
    [left] = done.unmatched
    assert (left.conversation_id, left.waits_for) == ("con_fresh", "agt_owner")
    assert done.until_next_change is not None
    assert done.until_next_change <= timedelta(seconds=5)


async def test_a_better_agent_about_to_be_free_is_worth_a_short_wait(database: Database) -> None:
    learner = SuccessLearner()
    for number in range(600):
        for agent, resolved in (("agt_good", True), ("agt_poor", number % 10 == 0)):
            at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=number)
            learner.learn(Resolution(agent, "login_problem", None, "standard", "web_chat", resolved, at))
    await add_agent(database, "agt_good", capacity=34, load=34)
    await add_agent(database, "agt_poor")
    await add_conversation(database, "con_held")
    await add_assignment(database, "con_held", "agt_good")
    await rows(
        database,
        "update conversations set state = 'wrap_up', waiting_until = now() + interval '20 s' where id = 'con_held'",
    )
    await add_ticket(database, "con_1", intent="login_problem")
    done = await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    assert await offered(database) == {}
    assert [one.waits_for for one in done.unmatched] == ["agt_good"]
    # Nobody waits for who is only hoped for.
    await rows(database, "update conversations set waiting_until = now() - interval '1 s' where id = 'con_held'")
    await match_pool(database, await take_lease(database, POOL, "test"), learner.model())
    assert await offered(database) == {"con_1": "agt_poor"}


@pytest.mark.parametrize(("epsilon", "gets_it"), [(0.0, {"agt_best"}), (0.02, {"agt_near"})])
async def test_a_wish_never_costs_the_customer_more_than_epsilon(
    database: Database, epsilon: float, gets_it: set[str]
) -> None:
    learner = SuccessLearner()
    rates = {"agt_best": 0.80, "agt_near": 0.79, "agt_wishful": 0.60}
    for number in range(2000):
        for agent, rate in rates.items():
            at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=number)
            resolved = number % 100 < rate * 100
            learner.learn(Resolution(agent, "refund_request", None, "standard", "web_chat", resolved, at))
    model = learner.model()
    await set_setting(database, "exploration", 0)
    await set_setting(database, "preference_epsilon", epsilon)
    for agent, wish in (("agt_best", 0.0), ("agt_near", 0.4), ("agt_wishful", 1.0)):
        await add_agent(database, agent, capacity=340_000, preferences={"refund_request": wish})
    for number in range(20):
        await add_ticket(database, f"con_{number:02}", intent="refund_request")
    await match_pool(database, await take_lease(database, POOL, "test"), model)
    given = await rows(database, "select record from routing_decisions")
    best = model.probability("agt_best", "refund_request", None, "standard", "web_chat").value
    assert len(given) == 20
    assert {record["agent_id"] for (record,) in given} == gets_it
    assert all(record["success"]["value"] >= best - epsilon - 1e-9 for (record,) in given)
    assert {record["by_preference"] for (record,) in given} == {epsilon > 0}
