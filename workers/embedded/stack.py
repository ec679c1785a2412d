"""The whole stack in one place: servers, migration and Baton's own processes, under one supervisor."""

import asyncio
import base64
import importlib.metadata
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec
import structlog

from workers.embedded.credentials import BootstrapKeys, Credentials, credentials_of
from workers.embedded.directory import DataDirectory, write_private
from workers.embedded.ports import HOST, PortBook
from workers.embedded.postgres import PostgresServer
from workers.embedded.supervisor import Child, Supervisor
from workers.embedded.temporal import NAMESPACE, TemporalServer
from workflows.payload_codec import codec_pass

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ROLES: Final = ("worker", "dispatcher", "api")
MIGRATE: Final = "migrate"
MIGRATE_TIMEOUT: Final = timedelta(minutes=5)
ROLE_TIMEOUT: Final = timedelta(minutes=5)
"""A worker's first start trains the models, which takes seconds, or minutes where other work keeps the cores busy."""
PROBE_TIMEOUT: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What `stack.json` tells those who want to use a running stack."""

    api_url: str
    temporal_address: str
    temporal_ui_url: str
    postgres_url: str
    keys: BootstrapKeys
    pids: Mapping[str, int]
    version: str


class EmbeddedStack:
    """A stack in one data directory, for `baton up`, the demo and tests.

    Args:
        data: what the stack keeps lies here; a later start finds it again.
        search_attributes: Temporal's search attribute types by name, as `Keyword`, `Int`, `Datetime`.
        role_argv: the command of a role, and of `migrate`; without it only the two servers start.
        port: where the API listens; without it the last run's port, 8080 or any that is free.
        roles: Baton's processes, in the order they start.
        environment: more variables for the roles.
        dynamic_config: Temporal's dynamic configuration, JSON values by key.
        quick_stop: kill Temporal at the end instead of letting it close: for tests that stop often.
    """

    def __init__(
        self,
        data: Path,
        *,
        search_attributes: Mapping[str, str],
        role_argv: Callable[[str], Sequence[str]] | None,
        port: int | None = None,
        roles: Sequence[str] = ROLES,
        environment: Mapping[str, str] | None = None,
        dynamic_config: Mapping[str, str] | None = None,
        quick_stop: bool = False,
    ) -> None:
        self._directory = DataDirectory(data)
        self._search_attributes = search_attributes
        self._role_argv = role_argv
        self._asked_port = port
        self._roles = roles
        self._environment = environment or {}
        self._dynamic_config = dynamic_config
        self._quick_stop = quick_stop
        self._supervisor = Supervisor(self._directory, on_restart=self._tell_new_pids)
        self._info: StackInfo | None = None

    @property
    def info(self) -> StackInfo:
        """Where everything listens, with the keys and the present process numbers."""
        if self._info is None:
            raise RuntimeError("the stack is not ready")
        return replace(self._info, pids=self._supervisor.pids())

    async def start(self) -> StackInfo:
        """Start everything in order and return when all of it is ready.

        Raises:
            AlreadyRunning: another process owns the data directory.
            PortTaken: the port asked for is in use.
            ChildFailed: a child did not become ready, or the migration failed.
            DataUnusable: the data is of a version these binaries do not know.
        """
        ports = await self._supervisor.open()
        self._directory.stack_file.unlink(missing_ok=True)
        credentials = credentials_of(self._directory)
        api_port = ports.api_port(self._asked_port)
        api_url = f"http://{HOST}:{api_port}"
        postgres = PostgresServer(self._directory, ports.port("postgres"))
        temporal = TemporalServer(
            self._directory,
            ports,
            search_attributes=self._search_attributes,
            dynamic_config=self._dynamic_config,
            codec_endpoint=f"{api_url}/v1/codec/{codec_pass(base64.b64decode(credentials.secret))}",
            quick_stop=self._quick_stop,
        )
        await asyncio.to_thread(postgres.prepare)
        await self._supervisor.start([postgres.child(), temporal.child()])
        await temporal.register_search_attributes()
        if self._role_argv is not None:
            env = self._role_environment(credentials, postgres, temporal, api_port)
            await self._migrate(self._role_argv(MIGRATE), env, credentials.keys)
            await self._supervisor.start(
                [self._role_child(role, self._role_argv(role), env, ports) for role in self._roles]
            )

        self._info = StackInfo(
            api_url=api_url,
            temporal_address=temporal.address,
            temporal_ui_url=temporal.ui_url,
            postgres_url=postgres.url(),
            keys=credentials.keys,
            pids={},
            version=importlib.metadata.version("baton"),
        )
        self._write_info()
        return self.info

    async def stop(self) -> None:
        """Stop everything, the last started first."""
        self._info = None
        if self._supervisor.owns_directory:
            self._directory.stack_file.unlink(missing_ok=True)
        await self._supervisor.stop()

    async def kill(self, name: str) -> None:
        """Kill -9 one of the processes; it comes back by itself, see `wait_ready`."""
        await self._supervisor.kill(name)

    async def wait_ready(self, name: str, *, deadline: timedelta = timedelta(seconds=30)) -> None:
        """Wait until a killed process is back and ready.

        Raises:
            TimeoutError: it was not ready in time.
        """
        await self._supervisor.wait_ready(name, deadline=deadline)

    def restarts(self, name: str) -> int:
        """How often a process was started again."""
        return self._supervisor.restarts(name)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _role_environment(
        self, credentials: Credentials, postgres: PostgresServer, temporal: TemporalServer, api_port: int
    ) -> dict[str, str]:
        return {
            **os.environ,
            **self._environment,
            "PYTHONUNBUFFERED": "1",
            "BATON_EMBEDDED": "1",
            "BATON_POSTGRES_URL": postgres.url(),
            "BATON_TEMPORAL_ADDRESS": temporal.address,
            "BATON_TEMPORAL_NAMESPACE": NAMESPACE,
            "BATON_TEMPORAL_UI_URL": temporal.ui_url,
            "BATON_API_HOST": HOST,
            "BATON_API_PORT": str(api_port),
            "BATON_SECRET": credentials.secret,
        }

    async def _migrate(self, argv: Sequence[str], env: Mapping[str, str], keys: BootstrapKeys) -> None:
        bootstrap = {"BATON_BOOTSTRAP_KEYS": msgspec.json.encode(keys).decode()}
        await self._supervisor.run(MIGRATE, argv, {**env, **bootstrap}, timeout=MIGRATE_TIMEOUT)

    def _role_child(self, role: str, argv: Sequence[str], env: Mapping[str, str], ports: PortBook) -> Child:
        """One of Baton's processes; the API is the door, so it opens when the others are ready."""
        if role == "api":
            port = int(env["BATON_API_PORT"])
            others = [other for other in self._roles if other != role]
            ready = _answers_ok(f"http://{HOST}:{port}/readyz")
            return Child(role, argv, env, ready, port=port, after=others, ready_timeout=ROLE_TIMEOUT)
        port = ports.port(role)
        health = {"BATON_HEALTH_PORT": str(port)}
        ready = _answers_ok(f"http://{HOST}:{port}/healthz")
        return Child(role, argv, {**env, **health}, ready, port=port, ready_timeout=ROLE_TIMEOUT)

    def _tell_new_pids(self, _: str) -> None:
        if self._info is None:
            return
        try:
            self._write_info()
        except OSError as error:
            # As on a full disk: the processes matter more than the file that lists them.
            log.exception("stack.json could not be written", problem=str(error))

    def _write_info(self) -> None:
        content = msgspec.json.format(msgspec.json.encode(self.info), indent=2)
        write_private(self._directory.stack_file, content + b"\n")


async def run_stack(
    data: Path,
    *,
    port: int | None,
    search_attributes: Mapping[str, str],
    role_argv: Callable[[str], Sequence[str]],
    stop: asyncio.Event,
    on_ready: Callable[[StackInfo], None] | None = None,
    roles: Sequence[str] = ROLES,
    environment: Mapping[str, str] | None = None,
    dynamic_config: Mapping[str, str] | None = None,
) -> None:
    """Run a stack until `stop` is set, which may be before it is ready.

    Raises:
        EmbeddedStackError: it could not be started; `exit_code` says what to end the command with.
    """
    stack = EmbeddedStack(
        data,
        search_attributes=search_attributes,
        role_argv=role_argv,
        port=port,
        roles=roles,
        environment=environment,
        dynamic_config=dynamic_config,
    )
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            info = starting.result()
            if on_ready is not None:
                on_ready(info)
            await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await stack.stop()


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets, in place of ending this process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def log_to_stderr() -> None:
    """Keep the supervisor's log off stdout, which belongs to data; a configuration made before stays."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _answers_ok(url: str) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            # A proxy of the environment is for the world outside, not for this machine.
            async with httpx.AsyncClient(trust_env=False, timeout=PROBE_TIMEOUT.total_seconds()) as http:
                return (await http.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return answers
