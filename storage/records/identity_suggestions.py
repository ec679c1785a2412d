"""Suggested links as records, and who may see them."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, text
from sqlmodel import col, exists, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.records.sight import Viewer, seen_by
from storage.tables import Conversation, Customer, IdentitySuggestion
from storage.tables.columns import utc_now

_TELL = text(
    """
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select clock_timestamp(), 'identity_suggestion_rejected', c.id, c.customer_id, c.pool, c.episode,
           jsonb_build_object('suggestion_id', cast(:suggestion as text), 'by', cast(:by as text)),
           'identity_suggestion_rejected:' || cast(:suggestion as text) || ':' || c.id
    from conversations c
    where c.customer_id in (:one, :other) and c.state not in ('closed', 'merged')
    on conflict (dedupe_key) where dedupe_key is not null do nothing
    """
)


def _of_conversations_seen(viewer: Viewer) -> ColumnElement[bool]:
    """A suggestion is seen by whoever sees a conversation of one of the two."""
    return exists(
        select(Conversation.id).where(
            or_(
                col(Conversation.customer_id) == col(IdentitySuggestion.customer_id),
                col(Conversation.customer_id) == col(IdentitySuggestion.other_id),
            ),
            seen_by(viewer),
        )
    )


async def find_suggestion(
    session: AsyncSession, suggestion_id: str, viewer: Viewer | None
) -> IdentitySuggestion | None:
    query = select(IdentitySuggestion).where(col(IdentitySuggestion.id) == suggestion_id)
    if viewer is not None:
        query = query.where(_of_conversations_seen(viewer))
    return (await session.exec(query)).one_or_none()


async def suggestions_after(
    session: AsyncSession,
    viewer: Viewer | None,
    state: str,
    customer_id: str | None,
    after: str | None,
    limit: int,
) -> Sequence[IdentitySuggestion]:
    """Up to `limit` suggestions after an id; open ones only of customers who were not linked away."""
    key = col(IdentitySuggestion.id).collate("C")
    query = select(IdentitySuggestion).where(col(IdentitySuggestion.state) == state).order_by(key).limit(limit)
    if state == "open":
        query = query.where(
            ~exists(
                select(Customer.id).where(
                    col(Customer.id).in_([col(IdentitySuggestion.customer_id), col(IdentitySuggestion.other_id)]),
                    col(Customer.merged_into).is_not(None),
                )
            )
        )
    if viewer is not None:
        query = query.where(_of_conversations_seen(viewer))
    if customer_id is not None:
        query = query.where(
            or_(col(IdentitySuggestion.customer_id) == customer_id, col(IdentitySuggestion.other_id) == customer_id)
        )
    if after is not None:
        query = query.where(key > after)
    return (await session.exec(query)).all()


async def names_of(session: AsyncSession, suggestions: Sequence[IdentitySuggestion]) -> dict[str, str]:
    """The display names of the customers suggested, by id."""
    ids = {one for suggestion in suggestions for one in (suggestion.customer_id, suggestion.other_id)}
    rows = await session.exec(select(Customer.id, Customer.display_name).where(col(Customer.id).in_(ids)))
    return dict(rows.all())


async def reject_suggestion(session: AsyncSession, suggestion_id: str, by: str) -> IdentitySuggestion | None:
    """Reject it if it is still open; None when somebody decided before."""
    query = select(IdentitySuggestion).where(col(IdentitySuggestion.id) == suggestion_id).with_for_update()
    row = (await session.exec(query.execution_options(populate_existing=True))).one()
    if row.state != "open":
        return None
    now = utc_now()
    row.sqlmodel_update({"state": "rejected", "decided_at": now, "decided_by": by, "updated_at": now})
    session.add(row)
    await session.flush()
    asked = {"suggestion": row.id, "by": by, "one": row.customer_id, "other": row.other_id}
    await (await session.connection()).execute(_TELL, asked)
    return row
