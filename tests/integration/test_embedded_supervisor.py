"""The supervisor with small programs in the servers' place: what it promises whatever the child is."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from workers.embedded.directory import DataDirectory
from workers.embedded.errors import AlreadyRunning, ChildFailed
from workers.embedded.processes import ChildRegister
from workers.embedded.supervisor import Child, RestartPolicy, Supervisor

pytestmark = pytest.mark.xdist_group("embedded_supervisor")

FAST = RestartPolicy(first_delay=timedelta(milliseconds=10), first_attempts=2)
DEADLINE_SECONDS = 20
# Says that it is ready by a file, and notes its end in another.
STEADY = """
import pathlib, signal, sys
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def end(number, frame):
    with (folder / "ended").open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(folder / f"{name}.ready").touch()
while True:
    signal.pause()
"""
STUBBORN = STEADY.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")


def file_exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def exists() -> bool:
        return await asyncio.to_thread(path.exists)

    return exists


def python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", source, *arguments]


def child(folder: Path, name: str, source: str = STEADY, **more: object) -> Child:
    return Child(
        name=name,
        argv=python(source, name, str(folder)),
        env=dict(os.environ),
        ready=file_exists(folder / f"{name}.ready"),
        before_start=lambda: (folder / f"{name}.ready").unlink(missing_ok=True),
        **more,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def supervising(folder: Path, *children: Child) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(DataDirectory(folder / "data"), policy=FAST)
    await supervisor.open()
    try:
        await supervisor.start(children)
        yield supervisor
    finally:
        await supervisor.stop()


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for lies outside this process
            await asyncio.sleep(0.01)


async def test_a_killed_child_comes_back(tmp_path: Path) -> None:
    async with supervising(tmp_path, child(tmp_path, "one")) as supervisor:
        before = supervisor.pids()["one"]
        await supervisor.kill("one")
        await supervisor.wait_ready("one")
        assert supervisor.pids()["one"] != before
        assert supervisor.restarts("one") == 1


async def test_a_dead_child_does_not_take_its_followers_along(tmp_path: Path) -> None:
    first, second = child(tmp_path, "first"), child(tmp_path, "second", after=["first"])
    async with supervising(tmp_path, first, second) as supervisor:
        before = supervisor.pids()["second"]
        await supervisor.kill("first")
        await supervisor.wait_ready("first")
        assert supervisor.pids()["second"] == before


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    async with supervising(tmp_path, *(child(tmp_path, name) for name in names)):
        pass
    assert (tmp_path / "ended").read_text().split() == ["three", "two", "one"]


async def test_a_child_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    stubborn = child(tmp_path, "stubborn", STUBBORN, stop_timeout=timedelta(milliseconds=100))
    async with supervising(tmp_path, stubborn) as supervisor:
        pid = supervisor.pids()["stubborn"]
    assert not psutil.pid_exists(pid)


async def test_a_child_that_never_gets_ready_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = child(tmp_path, "broken", "import sys; sys.exit('no such setting: COLOUR')")
    with pytest.raises(ChildFailed, match=r"broken exited with code 1, 2 times in a row(.|\n)*no such setting: COLOUR"):
        async with supervising(tmp_path, broken):
            pass


async def test_a_child_that_takes_too_long_is_reported(tmp_path: Path) -> None:
    silent = child(
        tmp_path, "silent", "print('thinking', flush=True); input()", ready_timeout=timedelta(milliseconds=200)
    )
    slow = Child(
        "slow",
        python(STEADY, "other", str(tmp_path)),
        dict(os.environ),
        silent.ready,
        ready_timeout=silent.ready_timeout,
    )
    with pytest.raises(ChildFailed, match=r"slow was not ready within 0\.2 s"):
        async with supervising(tmp_path, slow):
            pass


async def test_a_stranger_on_its_port_does_not_make_a_child_ready(tmp_path: Path) -> None:
    async def answers() -> bool:
        return True

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        bind = f"import socket; socket.create_server(('127.0.0.1', {port}))"
        late = Child("late", python(bind), dict(os.environ), answers, port=port)
        with pytest.raises(ChildFailed, match="Address already in use"):
            async with supervising(tmp_path, late):
                pass


async def test_a_program_that_is_missing_is_reported(tmp_path: Path) -> None:
    missing = Child("missing", [str(tmp_path / "nowhere")], dict(os.environ), file_exists(tmp_path / "never"))
    with pytest.raises(ChildFailed, match="No such file"):
        async with supervising(tmp_path, missing):
            pass


async def test_a_failed_command_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        argv = python("import sys; print('step 3'); sys.exit(4)")
        with pytest.raises(ChildFailed, match=r"migrate exited with code 4(.|\n)*step 3"):
            await supervisor.run("migrate", argv, dict(os.environ), timeout=timedelta(seconds=20))


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    async with supervising(tmp_path) as supervisor:
        argv = python("import signal; signal.pause()")
        with pytest.raises(ChildFailed, match="did not end"):
            await supervisor.run("migrate", argv, dict(os.environ), timeout=timedelta(milliseconds=100))


async def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    async with supervising(tmp_path):
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            async with supervising(tmp_path):
                pass
    async with supervising(tmp_path):
        pass


async def test_what_a_dead_supervisor_left_is_ended_and_strangers_are_spared(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.create()
    # Not tethered to this process: as after a crash where the kernel does not end orphans.
    left = await asyncio.create_subprocess_exec(*python(STEADY, "left", str(tmp_path)), start_new_session=True)
    stranger = await asyncio.create_subprocess_exec(*python(STEADY, "stranger", str(tmp_path)), start_new_session=True)
    register = ChildRegister(directory)
    register.add("left", left.pid, signal.SIGKILL)
    register.add("stranger", stranger.pid, signal.SIGKILL)
    # The number of the second was taken by another process since.
    written = directory.children_file.read_text()
    created = str(psutil.Process(stranger.pid).create_time())
    assert created in written
    directory.children_file.write_text(
        written.replace(f'{stranger.pid},"created":{created}', f'{stranger.pid},"created":1.0')
    )
    async with supervising(tmp_path):
        assert not psutil.pid_exists(left.pid)
        assert stranger.returncode is None
    stranger.kill()
    await asyncio.gather(left.wait(), stranger.wait())


async def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, pathlib, sys
sys.path[:0] = {sys.path!r}
from workers.embedded.directory import DataDirectory
from workers.embedded.supervisor import Child, Supervisor
folder = pathlib.Path({str(tmp_path)!r})
async def ready():
    return (folder / "one.ready").exists()
async def main():
    supervisor = Supervisor(DataDirectory(folder / "data"))
    await supervisor.open()
    argv = [sys.executable, "-I", "-S", "-c", {STEADY!r}, "one", str(folder)]
    await supervisor.start([Child("one", argv, dict(os.environ), ready)])
    (folder / "pid.draft").write_text(str(supervisor.pids()["one"]))
    (folder / "pid.draft").rename(folder / "pid")
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await becomes((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    process.kill()
    await process.wait()
    # An orphan that ended may stay a zombie until the system collects it.
    await becomes(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    async with supervising(tmp_path, child(tmp_path, "one")) as supervisor:
        assert supervisor.pids()["one"] != pid
