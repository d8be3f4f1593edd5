"""A kept answer goes with the user whom it tells of: it has their masked address, and their registration's id.

Answers from before this are nobody's; they are gone within a day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_kept_answers_user_id_users"
INDEX = "ix_kept_answers_user_id"


def upgrade() -> None:
    op.add_column("kept_answers", sa.Column("user_id", sa.Uuid()))
    op.create_foreign_key(FOREIGN_KEY, "kept_answers", "users", ["user_id"], ["id"], ondelete="CASCADE")
    # Without it, each user who is erased or pruned would cost a look at all answers.
    op.create_index(INDEX, "kept_answers", ["user_id"], postgresql_where=sa.text("user_id is not null"))


def downgrade() -> None:
    op.drop_column("kept_answers", "user_id")
