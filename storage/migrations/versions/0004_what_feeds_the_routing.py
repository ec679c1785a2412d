"""What feeds the routing: AI agents and their cost, strain, shared agents, changed tickets, corrected intents"""

import sqlalchemy as sa
import sqlmodel

import storage.tables.lifecycle
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

# Time near full load, less the time since with room again: in seconds, at most eight hours.
_STRAIN = """
create function strain_at(
    load int, capacity int, presence text, strain_seconds float8, counted_at timestamptz, at timestamptz
) returns float8 language sql immutable as $$
    select least(28800, greatest(0,
        strain_seconds + extract(epoch from at - coalesce(counted_at, at))::float8
        * case when presence in ('online', 'transfers_only') and load > 0 and load * 3 >= capacity * 2 then 1 else -1 end))
$$
"""
_COUNT_STRAIN = """
create function count_strain() returns trigger language plpgsql as $$
begin
    new.strain_seconds := strain_at(
        old.load, old.capacity, old.presence, old.strain_seconds, old.strain_counted_at, clock_timestamp());
    new.strain_counted_at := clock_timestamp();
    return new;
end
$$
"""
_ON_LOAD = """
create trigger agents_strain before update on agents for each row
when (new.load <> old.load or new.capacity <> old.capacity or new.presence <> old.presence)
execute function count_strain()
"""
_MARK_CHANGED = """
create function mark_ticket_changed() returns trigger language plpgsql as $$
begin
    new.changed := pg_current_xact_id();
    return new;
end
$$
"""
_ON_CHANGE = """
create trigger queue_tickets_changed before update on queue_tickets for each row execute function mark_ticket_changed()
"""


def upgrade() -> None:
    op.add_column('agents', sa.Column('also_pools', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False))
    op.add_column('agents', sa.Column('cost_per_case', sa.Float(), server_default=sa.text('0'), nullable=False))
    op.add_column('agents', sa.Column('expected_success', sa.Float(), nullable=True))
    op.add_column('agents', sa.Column('strain_seconds', sa.Float(), server_default=sa.text('0'), nullable=False))
    op.add_column('agents', sa.Column('strain_counted_at', sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint('agents_kind', 'agents', "kind in ('human', 'ai')")
    op.create_check_constraint('agents_cost', 'agents', 'cost_per_case >= 0')
    op.create_check_constraint('agents_expected_success', 'agents', 'expected_success between 0 and 1')
    op.execute(_STRAIN)
    op.execute(_COUNT_STRAIN)
    op.execute(_ON_LOAD)
    op.add_column('queue_tickets', sa.Column('changed', storage.tables.lifecycle.TransactionId(), server_default=sa.text('pg_current_xact_id()'), nullable=False))
    op.create_index('queue_tickets_changed', 'queue_tickets', ['pool', 'changed'], unique=False)
    op.execute(_MARK_CHANGED)
    op.execute(_ON_CHANGE)
    op.add_column('dispatcher_leases', sa.Column('passed_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('resolutions', sa.Column('product', sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_table('intent_corrections',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('conversation_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('message_id', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('predicted', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('confidence', sa.Float(), nullable=True),
    sa.Column('corrected', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('corrected_by', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversations.id'], ),
    sa.ForeignKeyConstraint(['message_id'], ['messages.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('intent_corrections_by_conversation', 'intent_corrections', ['conversation_id', 'at'], unique=False)
