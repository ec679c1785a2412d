"""Suggestions and surveys"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('suggestions',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('conversation_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('channel', sa.String(), nullable=False),
    sa.Column('from_channel', sa.String(), nullable=False),
    sa.Column('cause', sa.String(), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('intent', sa.String(), nullable=True),
    sa.Column('came_back', sa.Boolean(), nullable=False),
    sa.Column('by_agent', sa.String(), nullable=True),
    sa.Column('message_id', sa.String(), nullable=True),
    sa.Column('state', sa.String(), nullable=False),
    sa.Column('via', sa.String(), nullable=True),
    sa.Column('offered_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('callback_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('thread_id', sa.String(), nullable=True),
    sa.Column('resolved_there', sa.Boolean(), nullable=True),
    sa.CheckConstraint("state in ('offered', 'accepted', 'declined', 'ignored')", name='suggestions_state'),
    sa.CheckConstraint("resolved_there is null or state = 'accepted'", name='suggestions_outcome'),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversations.id']),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id']),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('suggestions_once', 'suggestions', ['conversation_id', 'channel'], unique=True)
    op.create_index('suggestions_one_open', 'suggestions', ['conversation_id'], unique=True, postgresql_where=sa.text("state = 'offered'"))
    op.create_index('suggestions_by_customer', 'suggestions', ['customer_id', 'offered_at'], unique=False)
    op.create_table('surveys',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('conversation_id', sa.String(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('channel', sa.String(), nullable=False),
    sa.Column('account', sa.String(), nullable=False),
    sa.Column('message_id', sa.String(), nullable=False),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('answer_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('score', sa.Integer(), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('via', sa.String(), nullable=True),
    sa.CheckConstraint('score between 1 and 7', name='surveys_score'),
    sa.CheckConstraint('(score is null) = (answered_at is null)', name='surveys_answered'),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversations.id']),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id']),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('surveys_once', 'surveys', ['conversation_id', 'episode'], unique=True)
    op.create_index('surveys_by_customer', 'surveys', ['customer_id', 'asked_at'], unique=False)
