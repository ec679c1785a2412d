"""The ladder, alerts, presence per channel, leases of consoles, and ceilings that the database holds"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0006'
down_revision = '0004'
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())

# Whoever inserts an offer or an assignment holds the agent's row, so what is counted here does not change meanwhile.
CEILING = """
create function within_channel_ceiling() returns trigger language plpgsql as $$
declare
    ceiling int;
    held int;
begin
    select (channel_ceilings ->> new.channel)::int into ceiling from agents where id = new.agent_id;
    if ceiling is null then
        return null;
    end if;
    perform from agents where id = new.agent_id for no key update;
    select count(*) into held from (
        select from offers where agent_id = new.agent_id and state = 'pending' and channel = new.channel
        union all
        select from assignments where agent_id = new.agent_id and ended_at is null and channel = new.channel
    ) as holdings;
    if held > ceiling then
        raise exception 'agent % may hold % conversations on %', new.agent_id, ceiling, new.channel
            using errcode = 'check_violation', constraint = 'agents_channel_ceiling';
    end if;
    return null;
end
$$
"""


def upgrade() -> None:
    op.add_column('sla_policies', sa.Column('ladder', JSON, nullable=True))
    op.add_column('agents', sa.Column('presence_channels', JSON, nullable=True))
    op.add_column('queue_tickets', sa.Column('owner_until', sa.DateTime(timezone=True), nullable=True))
    op.create_table('agent_leases',
    sa.Column('agent_id', sa.String(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['agent_id'], ['agents.id'], ),
    sa.PrimaryKeyConstraint('agent_id')
    )
    op.create_table('alerts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('conversation_id', sa.String(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('pool', sa.String(), nullable=False),
    sa.Column('agent_id', sa.String(), nullable=True),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('metric', sa.String(), nullable=True),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('raised_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('acknowledged_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('acknowledged_by', sa.String(), nullable=True),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversations.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('alerts_by_conversation', 'alerts', ['conversation_id'], unique=False)
    op.create_index('alerts_by_time', 'alerts', ['raised_at', 'id'], unique=False)
    op.create_index('alerts_standing', 'alerts', ['pool', 'raised_at'], unique=False,
                    postgresql_where=sa.text('acknowledged_at is null and settled_at is null'))
    op.execute(CEILING)
    # What an accepted offer turns into was counted when the offer was made.
    for table, condition in (('offers', "new.state = 'pending'"), ('assignments', 'new.offer_id is null')):
        op.execute(
            f'create trigger {table}_within_channel_ceiling after insert on {table} '
            f'for each row when ({condition}) execute function within_channel_ceiling()'
        )
