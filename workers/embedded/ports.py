"""Ports on the loopback address that stay the same from one run to the next, each given to one stack at a time."""

import fcntl
import os
import secrets
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from workers.embedded.directory import DataDirectory, write_private
from workers.embedded.errors import EmbeddedStackError, PortTaken

HOST = "127.0.0.1"
USUAL_API_PORT = 8080
# Below the range the kernel takes ports for outgoing connections from: one of those could sit on a server's port while
# the server restarts.
CANDIDATES = range(15_000, 32_000)
ATTEMPTS = 200


class PortBook:
    """The ports of one data directory, by what listens there.

    Between the choice of a port and the moment a server listens on it, seconds pass: until the book is closed, no other
    book of this user gives the same port out.
    """

    def __init__(self, directory: DataDirectory) -> None:
        self._file = directory.ports_file
        self._ports: dict[str, int] = {}
        if self._file.exists():
            self._ports = msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        self._claims = ExitStack()

    def close(self) -> None:
        """Let others have the ports that were given out."""
        self._claims.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def port(self, name: str) -> int:
        """The port of the last run if it is still free, else another free one."""
        remembered = self._ports.get(name)
        return self._note(name, remembered if remembered is not None and self._claim(remembered) else self._unused())

    def api_port(self, asked: int | None) -> int:
        """The port asked for; without one the last run's, the usual one, or any that is free.

        Raises:
            PortTaken: the port asked for is in use.
        """
        if asked is not None:
            if not self._claim(asked):
                raise PortTaken(asked)
            return self._note("api", asked)
        for wanted in dict.fromkeys((self._ports.get("api", USUAL_API_PORT), USUAL_API_PORT)):
            if self._claim(wanted):
                return self._note("api", wanted)
        return self._note("api", self._unused())

    def _note(self, name: str, port: int) -> int:
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_private(self._file, msgspec.json.encode(self._ports))
        return port

    def _unused(self) -> int:
        others = set(self._ports.values())
        for _ in range(ATTEMPTS):
            port = secrets.choice(CANDIDATES)
            if port not in others and self._claim(port):
                return port
        raise EmbeddedStackError(f"No free port found between {CANDIDATES.start} and {CANDIDATES.stop}.")

    def _claim(self, port: int) -> bool:
        """Whether the port is free and nobody else's until this book is closed; the kernel gives it back at a kill."""
        folder = Path(tempfile.gettempdir()) / f"baton-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if not is_free(port):
            os.close(descriptor)
            return False
        self._claims.callback(os.close, descriptor)
        return True


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Connections of a server that has ended may linger in TIME_WAIT; they keep nobody from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
