"""The real PostgreSQL and the real Temporal server, each alone."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workers.embedded.alone import postgres_alone, temporal_alone
from workers.embedded.errors import DataUnusable
from workers.embedded.postgres import DATABASE

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("embedded_servers")]

POOL = SearchAttributeKey.for_keyword("BatonPool")
PRIORITY = SearchAttributeKey.for_int("BatonPriority")


async def test_committed_rows_survive_a_kill_and_a_restart(tmp_path: Path) -> None:
    async with postgres_alone(tmp_path) as (postgres, supervisor):
        url = postgres.url(DATABASE)
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE note (text text)")
            await connection.execute("INSERT INTO note VALUES ('before the kill')")
        await supervisor.kill("postgres")
        await supervisor.wait_ready("postgres")
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("INSERT INTO note VALUES ('after the kill')")
    async with postgres_alone(tmp_path) as (postgres, _):
        assert postgres.url(DATABASE) == url
        async with await psycopg.AsyncConnection.connect(url) as connection:
            rows = await (await connection.execute("SELECT text FROM note ORDER BY text")).fetchall()
            durable = await (await connection.execute("SHOW synchronous_commit")).fetchone()
    assert rows == [("after the kill",), ("before the kill",)]
    assert durable == ("on",)


async def test_postgres_wants_the_password_and_hides_it(tmp_path: Path) -> None:
    async with postgres_alone(tmp_path) as (postgres, _):
        user, _, place = postgres.url(DATABASE).rpartition("@")
        stranger = f"{user.rpartition(':')[0]}:guess@{place}"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await psycopg.AsyncConnection.connect(stranger)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "postgres.password").exists()


async def test_a_lock_file_whose_number_went_to_another_program_does_not_stop_postgres(tmp_path: Path) -> None:
    async with postgres_alone(tmp_path):
        pass
    # As after a crash of the machine: the number in the file is now that of a program of the same user.
    lock = tmp_path / "postgres" / "postmaster.pid"
    owner = lock.parent.stat()
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    other = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, cwd="/", **as_owner)
    lock.write_text(f"{other.pid}\n{lock.parent}\n")
    async with postgres_alone(tmp_path) as (postgres, _):
        await (await psycopg.AsyncConnection.connect(postgres.url(DATABASE))).close()
    assert other.returncode is None
    other.kill()
    await other.wait()


async def test_data_of_an_unknown_postgres_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(DataUnusable, match="was written by PostgreSQL 9"):
        async with postgres_alone(tmp_path):
            pass
    assert [file.name for file in data.iterdir()] == ["PG_VERSION"]


async def test_workflows_and_signals_survive_a_kill_and_a_restart(tmp_path: Path) -> None:
    async with temporal_alone(tmp_path, {"BatonPool": "Keyword"}) as (temporal, supervisor):
        address = temporal.address
        client = await Client.connect(address)
        handle = await client.start_workflow(
            "Nobody",
            id="conversation/con_1",
            task_queue="none",
            execution_timeout=timedelta(hours=1),
            search_attributes=TypedSearchAttributes([SearchAttributePair(POOL, "billing")]),
        )
        await handle.signal("message_received", "before the kill")
        await supervisor.kill("temporal")
        await supervisor.wait_ready("temporal")
        client = await Client.connect(temporal.address)
        await client.get_workflow_handle("conversation/con_1").signal("message_received", "after the kill")
    # A later version registers one more search attribute on the same data.
    grown = {"BatonPool": "Keyword", "BatonPriority": "Int"}
    async with temporal_alone(tmp_path, grown) as (temporal, _):
        assert temporal.address == address
        client = await Client.connect(temporal.address)
        history = await client.get_workflow_handle("conversation/con_1").fetch_history()
        signals = [
            event.workflow_execution_signaled_event_attributes.input.payloads[0].data
            for event in history.events
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]
        assert signals == [b'"before the kill"', b'"after the kill"']
        await client.start_workflow(
            "Nobody",
            id="conversation/con_2",
            task_queue="none",
            search_attributes=TypedSearchAttributes([SearchAttributePair(PRIORITY, 2)]),
        )


async def test_a_search_attribute_of_another_type_is_refused(tmp_path: Path) -> None:
    async with temporal_alone(tmp_path, {"BatonPool": "KeywordList"}):
        pass
    with pytest.raises(DataUnusable, match="BatonPool is keywordlist"):
        async with temporal_alone(tmp_path, {"BatonPool": "Int"}):
            pass
