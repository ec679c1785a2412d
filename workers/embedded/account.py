"""The user PostgreSQL runs as: ourselves, or an unprivileged one when we are root, because postgres refuses root."""

import os
import pwd
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from workers.embedded.errors import EmbeddedStackError
from workers.embedded.postgres_wheel import ensure_user_exists

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNPRIVILEGED = "pgserver"
ATTEMPTS = 20
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def postgres_account() -> Account | None:
    """Who PostgreSQL must run as; None for the present user. Creates the unprivileged user if there is none."""
    if os.geteuid() != 0:
        return None
    problem = ""
    for _ in range(ATTEMPTS):
        try:
            ensure_user_exists(UNPRIVILEGED)
            entry = pwd.getpwnam(UNPRIVILEGED)
            return Account(UNPRIVILEGED, entry.pw_uid, entry.pw_gid)
        except subprocess.CalledProcessError as error:
            # Another stack may be adding the same user at this moment and hold the password file.
            problem = str(error.stderr).strip()
            time.sleep(PAUSE_SECONDS)
    raise EmbeddedStackError(
        f"PostgreSQL does not run as root, and the user {UNPRIVILEGED!r} could not be added: {problem}. "
        "Run as another user."
    )


def let_pass(path: Path) -> None:
    """Let every user reach this path; folders above it can be walked through, not listed."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.info("letting other users walk through a folder", folder=str(folder))
            folder.chmod(mode | stat.S_IXOTH)


def let_read(tree: Path) -> None:
    """Let every user read and run what is in this tree, as after an install under a strict umask."""
    if tree.stat().st_mode & stat.S_IROTH:
        return
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        runnable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
        path.chmod(mode | stat.S_IROTH | runnable)
