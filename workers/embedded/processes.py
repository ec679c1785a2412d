"""Processes as the system sees them: who listens where, and what a supervisor that died left running.

On Linux the kernel ends the children with their supervisor (see `tether`). Elsewhere, and for a child that is slow to
end, the next supervisor finds them in the list the last one kept, and ends them before it starts its own.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import psutil
import structlog

from workers.embedded.directory import DataDirectory, write_private

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RunningChild:
    """A process, told from a later one with the same number by when it began."""

    name: str
    pid: int
    created: float
    """Seconds since the epoch or since boot, as the system counts; only ever compared with itself."""
    death_signal: int


class ChildRegister:
    """The list of running children, kept on disk for the supervisor that comes after a crash."""

    def __init__(self, directory: DataDirectory) -> None:
        self._file = directory.children_file
        self._children: dict[str, RunningChild] = {}

    def add(self, name: str, pid: int, death_signal: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._children[name] = RunningChild(name, pid, psutil.Process(pid).create_time(), int(death_signal))
        self._write()

    def remove(self, name: str) -> None:
        if self._children.pop(name, None) is not None:
            self._write()

    def end_leftovers(self) -> None:
        """End what the last supervisor left running; blocks until it is gone."""
        if not self._file.exists():
            return
        left = msgspec.json.decode(self._file.read_bytes(), type=list[RunningChild])
        ending = [end_signalled(child) for child in left]
        processes = [process for process in ending if process is not None]
        _, alive = psutil.wait_procs(processes, timeout=PATIENCE.total_seconds())
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=PATIENCE.total_seconds())
        for process in processes:
            kill_group(process.pid)
        self._file.unlink()

    def _write(self) -> None:
        try:
            write_private(self._file, msgspec.json.encode(list(self._children.values())))
        except OSError as error:
            # As on a full disk: that the children run matters more than the list.
            log.exception("the list of running children could not be written", problem=str(error))


def end_signalled(child: RunningChild) -> psutil.Process | None:
    """The process if it still runs, told to end."""
    try:
        process = psutil.Process(child.pid)
        if process.create_time() != child.created:
            return None
        log.warning("ending what the last run left behind", child=child.name, pid=child.pid)
        process.send_signal(child.death_signal)
    except psutil.NoSuchProcess:
        return None
    return process


def kill_group(pid: int) -> None:
    """Kill what is left of the process group a child led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def listens_on(pid: int, port: int) -> bool:
    """Whether this process or one of its descendants listens on the port."""
    try:
        process = psutil.Process(pid)
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for member in (process, *process.children(recursive=True))
            for connection in member.net_connections("tcp")
        )
    except psutil.NoSuchProcess:
        return False
