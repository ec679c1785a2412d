"""An assignment that goes on, on another channel, is kept to the ceilings by the ledger alone"""

from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Where there is no room on the dearer channel it goes on as it was, also when a ceiling was lowered meanwhile.
    op.execute(
        "create or replace trigger assignments_within_channel_ceiling after insert on assignments "
        "for each row when (new.offer_id is null and new.how <> 'switch') execute function within_channel_ceiling()"
    )
