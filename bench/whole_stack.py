"""The embedded stack as `baton up` runs it, for benches that measure it from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from workers.embedded.stack import EmbeddedStack, log_to_stderr
from workers.roles import role_argv
from workers.temporal_options import DYNAMIC_CONFIG, search_attribute_types


@asynccontextmanager
async def whole_stack() -> AsyncIterator[EmbeddedStack]:
    """A new one in a folder of its own, gone afterwards."""
    log_to_stderr()
    # The servers may still write a last file while they end.
    with TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as folder:
        stack = EmbeddedStack(
            Path(folder),
            search_attributes=search_attribute_types(),
            role_argv=role_argv,
            environment={"BATON_MODEL_DIRECTORY": str(Path(folder) / "models")},
            dynamic_config=DYNAMIC_CONFIG,
        )
        async with stack:
            yield stack
