"""`baton customers import`: all of a file or nothing, and an exit code that says which."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

HEADER = "customer,source,external_id,kind,product,at,amount,currency,quantity\r\n"
LINE = "cus_ada,shop,o-1,purchase,Coffee machine,2026-01-05T09:00:00Z,249.90,EUR,1\r\n"


@pytest.fixture
def url(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into customers (id, display_name, segment, languages, preferred_channels, attributes, created_at,"
            " updated_at) values ('cus_ada', 'Ada', 'standard', '[]', '[]', '{}', now(), now())"
        )
    return database_url


def run(url: str, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BATON_POSTGRES_URL": url, "BATON_SECRET": "x" * 44}
    command = [sys.executable, "-m", "workers", "customers", "import", str(file), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 -- this very program


def stored(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from customer_events").fetchone()
    assert row is not None
    return int(row[0])


def test_a_file_is_imported_and_known_the_second_time(url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(HEADER + LINE + LINE.replace("o-1", "o-2"))
    first, second = run(url, file, "--json"), run(url, file)
    assert (first.returncode, json.loads(first.stdout)) == (0, {"stored": 2, "known": 0}), first.stderr
    assert (second.returncode, second.stdout) == (0, "0 events stored, 2 known before\n")
    assert stored(url) == 2


def test_a_wrong_row_costs_the_whole_file_and_is_named(url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(HEADER + LINE + LINE.replace("o-1", "o-2").replace("cus_ada", "cus_eve"))
    done = run(url, file)
    assert (done.returncode, done.stdout) == (65, "")
    assert "/rows/3/customer" in done.stderr.replace("\n", "")
    assert stored(url) == 0


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(HEADER + LINE)
    assert run("postgresql://nobody@127.0.0.1:1/none", file).returncode == 69
