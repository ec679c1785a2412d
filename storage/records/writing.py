"""Writing a record whose name may be taken."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


class Taken(Exception):  # noqa: N818 -- says what is
    """A record with the same name or address is there already; the transaction can only be rolled back."""


async def write(session: AsyncSession, *records: SQLModel) -> None:
    """Send the records to the database now; raises `Taken`."""
    session.add_all(records)
    try:
        await session.flush()
    except IntegrityError as error:
        raise Taken from error
