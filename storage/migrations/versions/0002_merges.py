"""Merges: what each one moved, and what a conversation would hand over"""

import sqlalchemy as sa
import sqlmodel

from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('merges',
    sa.Column('id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('survivor_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('loser_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('heir_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('cause', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('by', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('handover', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('threads', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('notes', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('identities', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('loser_customer_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('absorbed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('undone_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('undone_by', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('undone_into_id', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.CheckConstraint('survivor_id <> loser_id', name='merges_two_conversations'),
    sa.ForeignKeyConstraint(['heir_id'], ['conversations.id'], ),
    sa.ForeignKeyConstraint(['loser_customer_id'], ['customers.id'], ),
    sa.ForeignKeyConstraint(['loser_id'], ['conversations.id'], ),
    sa.ForeignKeyConstraint(['survivor_id'], ['conversations.id'], ),
    sa.ForeignKeyConstraint(['undone_into_id'], ['conversations.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('merges_one_per_loser', 'merges', ['loser_id'], unique=True)
    op.create_index('merges_by_survivor', 'merges', ['survivor_id', 'at'], unique=False)
    op.create_index('merges_to_absorb', 'merges', ['heir_id'], unique=False, postgresql_where=sa.text('absorbed_at is null'))
    op.create_index('conversations_merged_into', 'conversations', ['merged_into'], unique=False, postgresql_where=sa.text('merged_into is not null'))
    op.create_table('handovers',
    sa.Column('conversation_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('heard', sa.BigInteger(), nullable=False),
    sa.Column('facts', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversations.id'], ),
    sa.PrimaryKeyConstraint('conversation_id')
    )
