"""Relays may ask a partition by its name: to begin with one table is quicker than with those of ninety days.

They may do no more there than claim: read, and write a lease. What may be done to the table as a whole reaches the
same rows, so nobody sees or changes anything that he could not before.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

GRANT = "grant select, update (lease_token, leased_until, expiries) on {partition} to signpost_relay"
REVOKE = "revoke select, update (lease_token, leased_until, expiries) on {partition} from signpost_relay"

PARTITIONS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'outbox_messages'::regclass"
MAKE_PARTITION = "select pg_get_functiondef('signpost_make_partition(timestamptz)'::regprocedure)"
GRANT_NEW_ONE = f"""
    execute format('{GRANT.format(partition="%I")}', partition);"""


def upgrade() -> None:
    _for_each_partition(GRANT)
    granting, places = re.subn(r"(\n    lock table )", lambda found: GRANT_NEW_ONE + found[1], _function())
    if places != 1:
        raise RuntimeError("signpost_make_partition is not as the migrations before have left it")
    op.execute(granting)


def downgrade() -> None:
    op.execute(_function().replace(GRANT_NEW_ONE, ""))
    _for_each_partition(REVOKE)


def _for_each_partition(statement: str) -> None:
    for partition in op.get_bind().execute(sa.text(PARTITIONS)).scalars().all():
        op.execute(statement.format(partition=partition))


def _function() -> str:
    return str(op.get_bind().execute(sa.text(MAKE_PARTITION)).scalar_one())
