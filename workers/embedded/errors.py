"""What can go wrong with the embedded stack, and the exit code each ends the command with.

EmbeddedStackError
├── AlreadyRunning      another process owns the data directory
├── PortTaken           the asked-for port is in use
├── ChildFailed         a child did not become ready, or a one-shot command failed
└── DataUnusable        the data directory cannot be used by these binaries
"""

from pathlib import Path
from typing import ClassVar


class EmbeddedStackError(Exception):
    """The root of what the embedded stack raises."""

    exit_code: ClassVar[int] = 70


class AlreadyRunning(EmbeddedStackError):  # noqa: N818 - named by the state, as its message reads
    """Another process owns the data directory."""

    exit_code = 73

    def __init__(self, data: Path, owner: str) -> None:
        super().__init__(f"{data} is in use by {owner}. Stop that one first, or choose another directory.")


class PortTaken(EmbeddedStackError):  # noqa: N818 - named by the state
    """The port that was asked for is in use."""

    exit_code = 74

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} on 127.0.0.1 is taken by another program. Choose another with --port.")


class ChildFailed(EmbeddedStackError):  # noqa: N818 - named by what happened
    """A child did not become ready, or a one-shot command failed."""

    exit_code = 75

    def __init__(self, child: str, what: str, log: Path, tail: str) -> None:
        quoted = "\n".join(f"    {line}" for line in tail.splitlines()) or "    (it printed nothing)"
        super().__init__(f"{child} {what}. The end of {log}:\n{quoted}")
        self.child = child


class DataUnusable(EmbeddedStackError):  # noqa: N818 - named by the state
    """The data directory cannot be used by these binaries."""

    exit_code = 76
