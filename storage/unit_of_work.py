"""One request's work on the records: what it wrote is committed together or not at all."""

from contextlib import AbstractAsyncContextManager

from sqlmodel.ext.asyncio.session import AsyncSession

from storage.database import Database


class _RolledBack(Exception):  # noqa: N818 -- never leaves this module
    """Makes the session's block end without a commit."""


class UnitOfWork:
    """Opens a session when the first record is asked for; `commit` may be called before something outside is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._block: AbstractAsyncContextManager[AsyncSession] | None = None
        self._session: AsyncSession | None = None

    async def session(self) -> AsyncSession:
        if self._session is None:
            self._block = self._database.session()
            self._session = await self._block.__aenter__()
        return self._session

    async def commit(self) -> None:
        block, self._block, self._session = self._block, None, None
        if block is not None:
            await block.__aexit__(None, None, None)

    async def roll_back(self) -> None:
        block, self._block, self._session = self._block, None, None
        if block is not None:
            cause = _RolledBack()
            try:
                await block.__aexit__(_RolledBack, cause, cause.__traceback__)
            except _RolledBack:
                return
