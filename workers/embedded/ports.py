"""Ports on the loopback address that stay the same from one run to the next."""

import secrets
import socket

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
    """The ports of one data directory, by what listens there."""

    def __init__(self, directory: DataDirectory) -> None:
        self._file = directory.ports_file
        self._ports: dict[str, int] = {}
        if self._file.exists():
            self._ports = msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        self._given: set[int] = set()

    def port(self, name: str) -> int:
        """The port of the last run if it is still free, else another free one."""
        return self._settle(name, self._ports.get(name))

    def api_port(self, asked: int | None) -> int:
        """The port asked for; without one the last run's, the usual one, or any that is free.

        Raises:
            PortTaken: the port asked for is in use.
        """
        if asked is not None:
            if not self._is_available(asked):
                raise PortTaken(asked)
            return self._settle("api", asked)
        remembered = self._ports.get("api", USUAL_API_PORT)
        return self._settle("api", remembered if self._is_available(remembered) else USUAL_API_PORT)

    def _settle(self, name: str, wanted: int | None) -> int:
        port = wanted if wanted is not None and self._is_available(wanted) else self._unused()
        self._given.add(port)
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_private(self._file, msgspec.json.encode(self._ports))
        return port

    def _unused(self) -> int:
        others = set(self._ports.values())
        for _ in range(ATTEMPTS):
            port = secrets.choice(CANDIDATES)
            if port not in others and self._is_available(port):
                return port
        raise EmbeddedStackError(f"No free port found between {CANDIDATES.start} and {CANDIDATES.stop}.")

    def _is_available(self, port: int) -> bool:
        return port not in self._given and is_free(port)


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
