"""The data directory of an embedded stack: what lies where, and who may use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workers.embedded.errors import AlreadyRunning

LOG_LIMIT_BYTES = 16 * 1024 * 1024


class DataDirectory:
    """One directory holds all that an embedded stack keeps between two runs."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def temporal(self) -> Path:
        return self.path / "temporal"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def children_file(self) -> Path:
        return self.path / "children.json"

    @property
    def stack_file(self) -> Path:
        return self.path / "stack.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the directory; only its owner can look into it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for private in (self.logs, self.temporal):
            private.mkdir(mode=0o700, exist_ok=True)

    def rotate_logs(self) -> None:
        """Put long logs aside, one old one each, so that a stack that runs for weeks does not fill the disk."""
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LOG_LIMIT_BYTES:
                log.replace(log.with_suffix(".log.1"))

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the directory; the kernel gives it back even when the owner is killed.

        Raises:
            AlreadyRunning: another process owns it.
        """
        self.create()
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(descriptor, 32).decode(errors="replace").strip()
                raise AlreadyRunning(self.path, f"process {pid}" if pid else "another process") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; nobody but its owner can read it, and no reader sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
