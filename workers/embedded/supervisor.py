"""Keeps child processes running: starts them in order, restarts the ones that die, stops them in reverse order."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import structlog

from workers.embedded import tether
from workers.embedded.account import Account
from workers.embedded.directory import DataDirectory
from workers.embedded.errors import ChildFailed
from workers.embedded.ports import PortBook
from workers.embedded.processes import ChildRegister, kill_group, listens_on

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PROBE_INTERVAL = timedelta(milliseconds=50)
TAIL_LINES = 30
TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Child:
    """A long-running program and what its supervisor must know about it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    port: int | None = None
    """Where it listens: it is ready only when that is itself, not another program that took the port and answers."""
    after: Sequence[str] = ()
    """The children that must be ready before this one starts. They may die later: it is not restarted for that."""
    ready_timeout: timedelta = timedelta(seconds=60)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: timedelta = timedelta(seconds=20)
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when the supervisor dies."""
    account: Account | None = None
    before_start: Callable[[], None] | None = None
    """Runs before each start: puts away what a killed run left."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long a dead child waits for its next start."""

    first_delay: timedelta = timedelta(milliseconds=100)
    factor: float = 2.0
    longest_delay: timedelta = timedelta(seconds=5)
    stable_after: timedelta = timedelta(seconds=3)
    """A child that ran this long starts again with the first delay."""
    first_attempts: int = 5
    """Starts before a child that never became ready is given up."""


@dataclass(slots=True)
class _Supervised:
    child: Child
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: bool = False
    restarts: int = 0
    log_start: int = 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None


class Supervisor:
    """Owns a data directory and the children that work in it."""

    def __init__(
        self,
        directory: DataDirectory,
        *,
        policy: RestartPolicy | None = None,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._directory = directory
        self._policy = policy or RestartPolicy()
        self._on_restart = on_restart
        self._register = ChildRegister(directory)
        self._supervised: dict[str, _Supervised] = {}
        self._stopping = asyncio.Event()
        self._ownership = ExitStack()
        self.owns_directory = False

    async def open(self) -> PortBook:
        """Own the directory and end what an earlier run left there; the ports of the book are its own until `stop`.

        Raises:
            AlreadyRunning: another process owns the directory.
        """
        self._ownership.enter_context(self._directory.owned())
        self.owns_directory = True
        self._directory.rotate_logs()
        await asyncio.to_thread(self._register.end_leftovers)
        return self._ownership.enter_context(PortBook(self._directory))

    async def start(self, children: Sequence[Child]) -> None:
        """Start each child as soon as those it comes after are ready; return when all are.

        Raises:
            ChildFailed: one kept exiting, or was not ready in time.
        """
        for child in children:
            self._supervised[child.name] = _Supervised(child)
        try:
            async with asyncio.TaskGroup() as starting:
                for child in children:
                    starting.create_task(self._start_one(self._supervised[child.name]))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def run(self, name: str, argv: Sequence[str], env: Mapping[str, str], *, timeout: timedelta) -> None:  # noqa: ASYNC109 - the command is told to end first, then killed
        """Run a one-shot command to its end.

        Raises:
            ChildFailed: it exited with an error, or did not end in time.
        """
        log_start = self._log_size(name)
        began = monotonic()
        with self._open_log(name) as output:
            process = await _spawn(argv, env, output, death_signal=signal.SIGKILL)
        self._register.add(name, process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                code = await process.wait()
        except TimeoutError:
            raise self._failure(name, f"did not end within {timeout.total_seconds():g} s", log_start) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            kill_group(process.pid)
            self._register.remove(name)
        if code != 0:
            raise self._failure(name, _how_it_ended(code), log_start)
        log.info("command done", command=name, seconds=round(monotonic() - began, 2))

    async def stop(self) -> None:
        """Stop all children, the last started first; kill those that do not end in time."""
        self._stopping.set()
        for supervised in reversed(self._supervised.values()):
            await self._stop_one(supervised)
        self.owns_directory = False
        self._ownership.close()

    async def kill(self, name: str) -> None:
        """Kill -9 a child and wait until it is dead; the supervisor restarts it as after any crash."""
        supervised = self._supervised[name]
        process = supervised.process
        if process is None or process.returncode is not None:
            return
        supervised.ready.clear()
        process.kill()
        await process.wait()

    async def wait_ready(self, name: str, *, deadline: timedelta = timedelta(seconds=30)) -> None:
        """Wait until a child is ready, as after `kill`.

        Raises:
            TimeoutError: it was not ready in time.
        """
        async with asyncio.timeout(deadline.total_seconds()):
            await self._supervised[name].ready.wait()

    def restarts(self, name: str) -> int:
        return self._supervised[name].restarts

    def pids(self) -> dict[str, int]:
        """The running children's process numbers by name."""
        return {
            name: supervised.process.pid
            for name, supervised in self._supervised.items()
            if supervised.process is not None and supervised.is_running
        }

    async def _start_one(self, supervised: _Supervised) -> None:
        for earlier in supervised.child.after:
            await self._supervised[earlier].ready.wait()
        keeper = asyncio.create_task(self._keep(supervised), name=f"keep {supervised.child.name}")
        supervised.keeper = keeper
        ready = asyncio.create_task(supervised.ready.wait())
        try:
            await asyncio.wait({keeper, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if keeper.done():
            keeper.result()

    async def _keep(self, supervised: _Supervised) -> None:
        """Start the child, and again each time it ends, until the supervisor stops."""
        child, policy = supervised.child, self._policy
        delay = policy.first_delay
        failures = 0
        while not self._stopping.is_set():
            began = monotonic()
            ended = await self._run_once(supervised)
            if self._stopping.is_set():
                return
            if not supervised.was_ready:
                failures += 1
                if failures >= policy.first_attempts:
                    raise self._failure(child.name, f"{ended}, {failures} times in a row", supervised.log_start)
            if monotonic() - began >= policy.stable_after.total_seconds():
                delay = policy.first_delay
            log.warning("child ended, restarting", child=child.name, reason=ended, delay_seconds=delay.total_seconds())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay.total_seconds())
            delay = min(delay * policy.factor, policy.longest_delay)
            supervised.restarts += 1

    async def _run_once(self, supervised: _Supervised) -> str:
        """Run the child from its start to its end, and say how it ended."""
        child = supervised.child
        began = monotonic()
        try:
            if child.before_start is not None:
                await asyncio.to_thread(child.before_start)
            supervised.log_start = self._log_size(child.name)
            with self._open_log(child.name) as output:
                process = await _spawn(
                    child.argv, child.env, output, death_signal=child.death_signal, account=child.account
                )
        except OSError as error:
            return f"could not be started: {error}"
        supervised.process = process
        self._register.add(child.name, process.pid, child.death_signal)
        if self._stopping.is_set():
            process.send_signal(child.stop_signal)
        ending = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(child.ready_timeout.total_seconds()):
                became_ready = await _is_ready_before(ending, child, process.pid)
        except TimeoutError:
            process.kill()
            await ending
            what = f"was not ready within {child.ready_timeout.total_seconds():g} s"
            if not supervised.was_ready:
                raise self._failure(child.name, what, supervised.log_start) from None
            return what
        else:
            if became_ready:
                self._note_ready(supervised, process.pid, monotonic() - began)
            return _how_it_ended(await ending)
        finally:
            supervised.ready.clear()
            kill_group(process.pid)
            self._register.remove(child.name)

    def _note_ready(self, supervised: _Supervised, pid: int, seconds: float) -> None:
        name = supervised.child.name
        again = supervised.was_ready
        supervised.was_ready = True
        supervised.ready.set()
        log.info("child ready", child=name, pid=pid, seconds=round(seconds, 2), restarts=supervised.restarts)
        if again and self._on_restart is not None:
            self._on_restart(name)

    async def _stop_one(self, supervised: _Supervised) -> None:
        keeper = supervised.keeper
        if keeper is None:
            return
        child, began = supervised.child, monotonic()
        if supervised.process is not None and supervised.is_running:
            supervised.process.send_signal(child.stop_signal)
        done, _ = await asyncio.wait({keeper}, timeout=child.stop_timeout.total_seconds())
        killed = not done
        if killed:
            if supervised.process is not None and supervised.is_running:
                supervised.process.kill()
            await asyncio.wait({keeper})
        if not isinstance(keeper.exception(), ChildFailed | None):
            log.error("supervision of a child broke", child=child.name, problem=repr(keeper.exception()))
        log.info("child stopped", child=child.name, seconds=round(monotonic() - began, 2), killed=killed)

    def _failure(self, name: str, what: str, log_start: int) -> ChildFailed:
        path = self._directory.log(name)
        return ChildFailed(name, what, path, _tail(path, log_start))

    def _open_log(self, name: str) -> BinaryIO:
        descriptor = os.open(self._directory.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)

    def _log_size(self, name: str) -> int:
        path = self._directory.log(name)
        return path.stat().st_size if path.exists() else 0


async def _spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    output: BinaryIO,
    *,
    death_signal: signal.Signals,
    account: Account | None = None,
) -> asyncio.subprocess.Process:
    user = "-" if account is None else f"{account.uid}:{account.gid}"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(int(death_signal)), user, *argv),
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        # Another user may not enter the folder we were started in.
        cwd="/" if account is not None else None,
    )


async def _is_ready_before(ending: asyncio.Task[int], child: Child, pid: int) -> bool:
    while not ending.done():
        if await child.ready() and (child.port is None or await asyncio.to_thread(listens_on, pid, child.port)):
            return True
        await asyncio.wait({ending}, timeout=PROBE_INTERVAL.total_seconds())
    return False


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _tail(path: Path, start: int) -> str:
    """The last lines of a log, of this start only."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-TAIL_LINES:])
