"""What is known of a customer"""

import sqlalchemy as sa
import sqlmodel

from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('blocked_addresses',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('address', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('blocked_by', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('blocked_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('blocked_addresses_once', 'blocked_addresses', ['kind', 'address'], unique=True)
    op.create_table('health_sources',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('url', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('mapping', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('secrets', sa.LargeBinary(), nullable=True),
    sa.Column('every_seconds', sa.Integer(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('pulled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('name')
    )
    op.create_table('customer_events',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('customer_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('source', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('external_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('product', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('amount', sa.Numeric(precision=18, scale=2), nullable=True),
    sa.Column('currency', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('quantity', sa.Integer(), nullable=False),
    sa.Column('imported_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("kind in ('purchase', 'refund', 'product_use', 'subscription_started', 'subscription_renewed', 'subscription_cancelled')", name='customer_events_kind'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('customer_events_by_customer', 'customer_events', ['customer_id', 'at', 'id'], unique=False)
    op.create_index('customer_events_once', 'customer_events', ['source', 'external_id'], unique=True)
    op.create_table('identity_hints',
    sa.Column('customer_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('address', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('evidence', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], ),
    sa.PrimaryKeyConstraint('customer_id', 'kind', 'address', 'evidence')
    )
    op.create_index('identity_hints_by_address', 'identity_hints', ['kind', 'address'], unique=False)
    op.create_table('identity_suggestions',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('customer_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('other_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('score', sa.Float(), nullable=False),
    sa.Column('evidence', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('decided_by', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.CheckConstraint("state in ('open', 'confirmed', 'rejected')", name='identity_suggestions_state'),
    sa.CheckConstraint('customer_id < other_id', name='identity_suggestions_order'),
    sa.CheckConstraint('score between 0 and 1', name='identity_suggestions_score'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], ),
    sa.ForeignKeyConstraint(['other_id'], ['customers.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('identity_suggestions_by_other', 'identity_suggestions', ['other_id'], unique=False)
    op.create_index('identity_suggestions_once', 'identity_suggestions', ['customer_id', 'other_id'], unique=True)
    op.create_index('identity_suggestions_open', 'identity_suggestions', ['id'], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_table('customer_links',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('survivor_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('absorbed_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('cause', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('by', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('forced', sa.Boolean(), nullable=False),
    sa.Column('suggestion_id', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('evidence', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('profile_before', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('profile_after', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('merge_id', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('linked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('undone_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('undone_by', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.ForeignKeyConstraint(['absorbed_id'], ['customers.id'], ),
    sa.ForeignKeyConstraint(['merge_id'], ['merges.id'], ),
    sa.ForeignKeyConstraint(['suggestion_id'], ['identity_suggestions.id'], ),
    sa.ForeignKeyConstraint(['survivor_id'], ['customers.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('customer_links_by_survivor', 'customer_links', ['survivor_id'], unique=False)
    op.create_index('customer_links_one_live', 'customer_links', ['absorbed_id'], unique=True, postgresql_where=sa.text('undone_at is null'))
    op.create_table('customer_link_moves',
    sa.Column('link_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('what', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('row_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.ForeignKeyConstraint(['link_id'], ['customer_links.id'], ),
    sa.PrimaryKeyConstraint('link_id', 'what', 'row_id')
    )
    op.add_column('customers', sa.Column('lifetime_value', sa.Numeric(precision=18, scale=2), nullable=True))
    op.add_column('customers', sa.Column('contract', sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column('customers', sa.Column('renewal_on', sa.Date(), nullable=True))
    op.add_column('customers', sa.Column('health_score', sa.Float(), nullable=True))
    op.add_column('customers', sa.Column('health_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('customers', sa.Column('merged_into', sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_index('customers_by_name', 'customers', [sa.literal_column('lower(display_name)')], unique=False)
    op.create_foreign_key('customers_merged_into_fkey', 'customers', 'customers', ['merged_into'], ['id'])
    op.create_check_constraint('customers_lifetime_value', 'customers', 'lifetime_value >= 0')
    op.create_check_constraint('customers_health_score', 'customers', 'health_score between 0 and 1')
    op.create_check_constraint('customers_merged_into', 'customers', 'merged_into <> id')
    op.create_index('messages_by_customer', 'messages', ['customer_id', 'at', 'id'], unique=False, postgresql_include=['direction'], postgresql_where=sa.text("delivery not in ('draft', 'withdrawn')"))
    op.create_index('resolutions_by_customer', 'resolutions', ['customer_id', 'resolved_at'], unique=False)
    op.create_index('clocks_breached', 'clocks', ['conversation_id'], unique=False, postgresql_where=sa.text('breached_at is not null'))
    op.create_index('threads_by_customer', 'threads', ['customer_id'], unique=False)
