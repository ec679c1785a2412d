"""Lists in the order of one text column, page by page."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from api.cursors import Page, Paging

Row = TypeVar("Row")
Item = TypeVar("Item")

RowsAfter = Callable[[str | None, int], Awaitable[Sequence[Row]]]
"""Up to so many rows after a key; from the first one without."""


async def listed(
    pages: Paging, of: str, rows_after: RowsAfter[Row], key: Callable[[Row], str], shape: Callable[[Row], Item]
) -> Page[Item]:
    """The asked page of the list named `of`."""
    after = pages.after(of, 1)
    rows = await rows_after(None if after is None else after[0], pages.limit + 1)
    shown = rows[: pages.limit]
    has_more = len(rows) > pages.limit
    return Page(
        data=[shape(row) for row in shown],
        next_cursor=pages.cursor(of, (key(shown[-1]),)) if has_more else None,
        has_more=has_more,
    )
