"""Ports that are chosen now and listened on seconds later."""

import socket
from pathlib import Path

import pytest

from workers.embedded.directory import DataDirectory
from workers.embedded.errors import PortTaken
from workers.embedded.ports import HOST, PortBook


def directory(folder: Path, name: str) -> DataDirectory:
    made = DataDirectory(folder / name)
    made.create()
    return made


def test_two_stacks_that_start_at_once_never_get_the_same_port(tmp_path: Path) -> None:
    with PortBook(directory(tmp_path, "one")) as one, PortBook(directory(tmp_path, "other")) as other:
        ours = {one.api_port(None), one.port("postgres")}
        theirs = {other.api_port(None), other.port("postgres")}
        assert not ours & theirs
        with pytest.raises(PortTaken):
            other.api_port(min(ours))


def test_a_closed_book_gives_its_ports_back_and_remembers_them(tmp_path: Path) -> None:
    with PortBook(directory(tmp_path, "one")) as first:
        port = first.port("postgres")
    with PortBook(directory(tmp_path, "other")) as other:
        assert other.api_port(port) == port
    with PortBook(directory(tmp_path, "one")) as again:
        assert again.port("postgres") == port


def test_a_port_somebody_listens_on_is_not_given_out(tmp_path: Path) -> None:
    with PortBook(directory(tmp_path, "one")) as first:
        port = first.port("postgres")
    with socket.create_server((HOST, port)), PortBook(directory(tmp_path, "one")) as again:
        assert again.port("postgres") != port
