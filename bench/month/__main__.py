"""The month's command line: prints the judgement, and ends with 1 when there is anything to complain of."""

import argparse
import asyncio
import json

from bench import month
from bench.empty_ledger import empty_ledger
from bench.month.judge import simulate
from storage.database import Database


async def _main(conversations: int, seed: int) -> int:
    async with empty_ledger() as url:
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
    asked = reader.parse_args()
    return asyncio.run(_main(asked.conversations, asked.seed))


if __name__ == "__main__":
    raise SystemExit(main())
