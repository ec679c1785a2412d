"""The whole stack with small programs in the place of Baton's processes."""

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from temporalio.client import Client

from workers.embedded.errors import AlreadyRunning, ChildFailed, PortTaken
from workers.embedded.ports import CANDIDATES, is_free
from workers.embedded.stack import EmbeddedStack, StackInfo, run_stack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("embedded_stack")]

DEADLINE_SECONDS = 60
CHILDREN = ("postgres", "temporal", "worker", "dispatcher", "api")
ROLE = """
import http.server, os, pathlib, signal, sys, threading
import psycopg
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
with psycopg.connect(os.environ["BATON_POSTGRES_URL"]) as connection:
    if name == "migrate":
        connection.execute("CREATE TABLE IF NOT EXISTS key (bootstrap text)")
        connection.execute("DELETE FROM key")
        connection.execute("INSERT INTO key VALUES (%s)", [os.environ["BATON_BOOTSTRAP_KEYS"]])
    connection.execute("SELECT bootstrap FROM key")
if name == "migrate":
    sys.exit(0)
assert "BATON_BOOTSTRAP_KEYS" not in os.environ
(folder / f"{name}.environment").write_text("\\n".join(key for key in os.environ if key.startswith("BATON_")))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == ("/readyz" if name == "api" else "/healthz") else 404)
        self.end_headers()
def end(number, frame):
    with (folder / "ended").open("a") as file:
        file.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
port = int(os.environ["BATON_API_PORT" if name == "api" else "BATON_HEALTH_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Health).serve_forever()
"""
COMMAND = """
import asyncio, pathlib, sys
from workers.embedded.errors import EmbeddedStackError
from workers.embedded.ports import CANDIDATES, is_free
from workers.embedded.stack import log_to_stderr, run_stack, stop_on_signals
data, folder, script = sys.argv[1:]
async def main():
    await run_stack(
        pathlib.Path(data),
        port=None,
        search_attributes={"BatonPool": "Keyword"},
        role_argv=lambda role: [sys.executable, script, role, folder],
        stop=stop_on_signals(),
    )
log_to_stderr()
try:
    asyncio.run(main())
except EmbeddedStackError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "role.py").write_text(ROLE)
    return folder


@pytest.fixture(scope="module")
async def stack(folder: Path) -> AsyncIterator[EmbeddedStack]:
    async with new_stack(folder, port=free_port()) as stack:
        yield stack


def role_argv(folder: Path) -> Callable[[str], Sequence[str]]:
    return lambda role: [sys.executable, str(folder / "role.py"), role, str(folder)]


def new_stack(folder: Path, data: str = "data", port: int | None = None) -> EmbeddedStack:
    attributes = {"BatonPool": "Keyword"}
    return EmbeddedStack(
        folder / data, search_attributes=attributes, role_argv=role_argv(folder), port=port, quick_stop=True
    )


def free_port() -> int:
    """Not the usual port of the API: other tests run at the same time."""
    return next(port for port in random.sample(CANDIDATES, 100) if is_free(port))


def stack_file(folder: Path, data: str = "data") -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / data / "stack.json").read_text())
    return found


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for lies outside this process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def command(folder: Path, data: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`baton up` in a process of its own, its log on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, str(folder / data), str(folder), str(folder / "role.py")),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_stack_json_tells_what_is_needed_to_use_the_stack(folder: Path, stack: EmbeddedStack) -> None:
    written = stack_file(folder)
    assert (folder / "data" / "stack.json").stat().st_mode & 0o777 == 0o600
    assert set(written) == {
        "api_url", "temporal_address", "temporal_ui_url", "postgres_url", "keys", "pids", "version",
    }  # fmt: skip
    info = stack.info
    assert written["pids"] == info.pids
    assert set(info.pids) == set(CHILDREN)
    assert written["keys"] == {
        "admin": info.keys.admin,
        "supervisor": info.keys.supervisor,
        "adapter": info.keys.adapter,
    }
    prefix, role, secret = info.keys.admin.split("_", 2)
    assert (prefix, role, len(secret)) == ("bt", "admin", 43)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{info.api_url}/readyz")).is_success
        assert (await http.get(info.temporal_ui_url)).is_success
    assert (await Client.connect(info.temporal_address)).namespace == "default"


async def test_only_the_migration_gets_the_keys_and_all_get_the_rest(folder: Path, stack: EmbeddedStack) -> None:
    async with await psycopg.AsyncConnection.connect(stack.info.postgres_url) as connection:
        row = await (await connection.execute("SELECT bootstrap FROM key")).fetchone()
    assert row is not None
    assert json.loads(row[0]) == stack_file(folder)["keys"]
    common = {
        "BATON_POSTGRES_URL", "BATON_TEMPORAL_ADDRESS", "BATON_TEMPORAL_NAMESPACE", "BATON_TEMPORAL_UI_URL",
        "BATON_API_HOST", "BATON_API_PORT", "BATON_SECRET", "BATON_EMBEDDED",
    }  # fmt: skip
    assert set((folder / "api.environment").read_text().split()) >= common
    for role in ("worker", "dispatcher"):
        assert set((folder / f"{role}.environment").read_text().split()) >= {*common, "BATON_HEALTH_PORT"}


async def test_logs_are_kept_by_child(folder: Path, stack: EmbeddedStack) -> None:
    assert {file.stem for file in (folder / "data" / "logs").iterdir()} == {*stack.info.pids, "migrate"}


@pytest.mark.chaos
@pytest.mark.parametrize("name", CHILDREN)
async def test_a_killed_process_comes_back_and_the_others_stay(folder: Path, stack: EmbeddedStack, name: str) -> None:
    before = stack.info.pids
    await stack.kill(name)
    await stack.wait_ready(name)
    after = stack.info.pids
    assert after[name] != before[name]
    assert {other: pid for other, pid in after.items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }
    assert stack_file(folder)["pids"] == after


async def test_a_second_stack_in_the_same_directory_is_refused(folder: Path, stack: EmbeddedStack) -> None:
    async with command(folder, "data") as process:
        _, said = await process.communicate()
    assert process.returncode == AlreadyRunning.exit_code
    assert f"is in use by process {os.getpid()}" in said.decode()
    assert stack_file(folder)["pids"] == stack.info.pids


async def test_a_port_that_is_taken_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port}"):
            async with new_stack(folder, "port", port=port):
                pass


async def test_a_failed_migration_stops_everything(folder: Path) -> None:
    argv = [sys.executable, "-I", "-S", "-c", "raise SystemExit('relation exists')"]
    stack = EmbeddedStack(folder / "failed", search_attributes={}, role_argv=lambda _: argv, quick_stop=True)
    with pytest.raises(ChildFailed, match=r"migrate exited with code 1(.|\n)*relation exists"):
        async with stack:
            pass
    assert not (folder / "failed" / "stack.json").exists()
    assert json.loads((folder / "failed" / "children.json").read_text()) == []


async def test_a_stop_before_it_is_ready_stops_what_has_started(folder: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    told: list[StackInfo] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_stack(
            folder / "early",
            port=None,
            search_attributes={},
            role_argv=role_argv(folder),
            stop=stop,
            on_ready=told.append,
        )
    assert told == []


@pytest.mark.chaos
async def test_the_command_survives_its_own_kill_and_stops_in_order(tmp_path: Path) -> None:
    (tmp_path / "role.py").write_text(ROLE)
    published = tmp_path / "data" / "stack.json"
    published.parent.mkdir(mode=0o700)
    (published.parent / "ports.json").write_text(json.dumps({"api": free_port()}))
    async with command(tmp_path, "data") as first:
        await becomes(published.exists)
        before = stack_file(tmp_path)
        async with await psycopg.AsyncConnection.connect(str(before["postgres_url"])) as connection:
            await connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
        first.kill()
        await first.wait()
    pids = before["pids"]
    assert isinstance(pids, dict)
    await becomes(lambda: not any(is_alive(pid) for pid in pids.values()))

    async with command(tmp_path, "data") as second:
        await becomes(lambda: published.exists() and stack_file(tmp_path)["pids"] != pids)
        after = stack_file(tmp_path)
        same = ("api_url", "temporal_address", "temporal_ui_url", "postgres_url", "keys")
        assert {key: after[key] for key in same} == {key: before[key] for key in same}
        async with await psycopg.AsyncConnection.connect(str(after["postgres_url"])) as connection:
            assert await (await connection.execute("SELECT text FROM note")).fetchone() == ("kept",)
        second.terminate()
        _, log = await second.communicate()
    assert second.returncode == 0
    stopped = [line for line in log.decode().splitlines() if "child stopped" in line]
    assert [name for line in stopped for name in CHILDREN if name in line] == list(reversed(CHILDREN))
    ended = (tmp_path / "ended").read_text().split()
    assert ended[0] == "api"
    assert set(ended) == {"api", "dispatcher", "worker"}
    assert not published.exists()


def is_alive(pid: int) -> bool:
    """Whether a process works; an orphan that ended may stay a zombie until the system collects it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
