import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import psycopg
from alembic import command
from alembic.script import ScriptDirectory

from api_service.use_cases.security_events import EventKind, SeenKind
from devstack.cluster import Cluster
from migrations import commands
from migrations.revisions import REVISIONS
from migrations.rights import ROLES, rights
from operator_console.actions.bulk import ACTIONS, BulkStatus
from operator_console.actions.tokens import Scope
from shared.reports.report import BounceCause, IgnoredBecause, ReportKind, ReportSource
from shared.vocabulary import (
    CHANNELS,
    Channel,
    MemberRole,
    OrganizationStatus,
    PauseKind,
    Priority,
    Purpose,
    Status,
    SuppressionReason,
    UserStatus,
)
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually

# Each right as in a GRANT statement.
GRANTED = """
with ours as (select oid, rolname from pg_roles where rolname = any(%s)),
tables as (
    select oid, relname, relacl from pg_class where relnamespace = 'public'::regnamespace and not relispartition
)
select format('usage on schema %%I to %%s', nspname, rolname)
  from pg_namespace, aclexplode(nspacl) join ours on ours.oid = grantee
 where nspname = 'public' and privilege_type = 'USAGE'
union
select format('%%s on %%I to %%s', lower(privilege_type), relname, rolname)
  from tables, aclexplode(relacl) join ours on ours.oid = grantee
union
select format('%%s (%%I) on %%I to %%s', lower(privilege_type), attname, relname, rolname)
  from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl) join ours on ours.oid = grantee
 where not attisdropped
union
select format('execute on function %%s to %%s', pg_proc.oid::regprocedure, rolname)
  from pg_proc, aclexplode(proacl) join ours on ours.oid = grantee
 where pronamespace = 'public'::regnamespace
"""

LATER_REVISION = f"{int(REVISIONS[-1]) + 1:04}"
LATER_MIGRATION = f"""
from alembic import op

revision = "{LATER_REVISION}"
down_revision = "{REVISIONS[-1]}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create table coupons (code text primary key)")
    op.execute("create function signpost_redeem(coupon text) returns boolean language sql return true")
"""
LATER_RIGHTS = """
grant select on coupons to signpost_api;
grant execute on function signpost_redeem(text) to signpost_api;
"""
LATER = {"select on coupons to signpost_api", "execute on function signpost_redeem(text) to signpost_api"}

CHECKS = """
select conrelid::regclass::text, attname::text, pg_get_constraintdef(pg_constraint.oid)
  from pg_constraint join pg_attribute on attrelid = conrelid and array[attnum] = conkey
  join pg_class on pg_class.oid = conrelid
 where contype = 'c' and connamespace = 'public'::regnamespace and not relispartition
"""
CHECKED: dict[tuple[str, str], Iterable[str]] = {
    ("bulk_actions", "action"): ACTIONS,
    ("bulk_actions", "status"): BulkStatus,
    ("delivery_reports", "cause"): BounceCause,
    ("delivery_reports", "ignored_because"): IgnoredBecause,
    ("delivery_reports", "kind"): ReportKind,
    ("delivery_reports", "source"): ReportSource,
    ("suppressions", "reason"): SuppressionReason,
    ("hourly_stats", "status"): set(Status) - {Status.PENDING},
    ("operator_tokens", "scopes"): Scope,
    ("organization_invitations", "role"): set(MemberRole) - {MemberRole.OWNER},
    ("organization_members", "role"): MemberRole,
    ("organizations", "status"): OrganizationStatus,
    ("outbox_messages", "channel"): CHANNELS,
    ("outbox_messages", "priority"): Priority,
    ("outbox_messages", "status"): Status,
    ("pauses", "kind"): PauseKind,
    ("security_events", "kind"): EventKind,
    ("seen_clients", "kind"): SeenKind,
    ("tokens", "channel"): Channel,
    ("tokens", "purpose"): Purpose,
    ("users", "status"): UserStatus,
}

FOR_ALL = ["signpost_cause", "signpost_error_pattern", "signpost_masked", "signpost_uuid7_floor"]


def test_of_two_concurrent_migrations_the_second_waits_and_does_nothing(cluster: Cluster) -> None:
    code = "import sys; from migrations.commands import upgrade; upgrade(sys.argv[1])"
    waiting = "select from pg_stat_activity where datname = %s and wait_event = 'advisory'"
    with fresh_database(cluster, template="template0") as empty, empty.connect() as holder:
        holder.execute("select pg_advisory_lock(hashtext('alembic_version'))")
        command = (sys.executable, "-c", code, empty.owner_url)
        with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
            eventually(lambda: holder.execute(waiting, [empty.name]).rowcount == 2)
            holder.execute("select pg_advisory_unlock_all()")
        assert (one.returncode, other.returncode) == (0, 0)
        assert holder.execute("select version_num from alembic_version").fetchall() == [(REVISIONS[-1],)]


def test_models_and_migrations_agree(database: Database) -> None:
    command.check(commands.configuration(database.owner_url))


def test_check_constraints_list_the_values_of_the_enums(database: Database) -> None:
    with database.connect() as connection:
        found = {
            (table, column): set(re.findall(r"'(\w+)'::text", definition))
            for table, column, definition in connection.execute(CHECKS)
            if "ARRAY[" in definition
        }
    assert found == {column: {str(value) for value in values} for column, values in CHECKED.items()}


def test_the_roles_have_the_listed_rights_and_no_others(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        assert granted(empty) == {str(right) for right in rights()}


def test_rights_on_the_table_of_a_later_migration_reach_new_and_existing_databases(
    cluster: Cluster, tmp_path: Path
) -> None:
    later = shutil.copytree(Path(commands.__file__).parent, tmp_path / "migrations")
    (later / "versions" / f"{LATER_REVISION}_coupons.py").write_text(LATER_MIGRATION)
    with (later / "rights.sql").open("a") as file:
        file.write(LATER_RIGHTS)
    code = "import sys; from migrations.commands import upgrade; upgrade(sys.argv[1])"
    with (
        fresh_database(cluster, template="template0") as new,
        fresh_database(cluster, template="template0") as existing,
    ):
        commands.upgrade(existing.owner_url)
        before = granted(existing)
        for database in (new, existing):
            subprocess.run([sys.executable, "-c", code, database.owner_url], cwd=tmp_path, check=True)
        assert granted(existing) == granted(new) == before | LATER
        assert functions_of_all_roles(new) == functions_of_all_roles(existing) == FOR_ALL


def granted(database: Database) -> set[str]:
    with database.connect() as connection:
        return {right for (right,) in connection.execute(GRANTED, [list(ROLES)])}


def test_all_roles_may_execute_four_harmless_functions_only(database: Database) -> None:
    assert functions_of_all_roles(database) == FOR_ALL


def functions_of_all_roles(database: Database) -> list[str]:
    with database.connect() as connection:
        found = connection.execute(
            "select proname::text from pg_proc where pronamespace = 'public'::regnamespace"
            " and (proacl is null or exists (select from aclexplode(proacl) where grantee = 0)) order by 1"
        ).fetchall()
    return [name for (name,) in found]


def test_a_migration_creates_the_partitions_of_this_week_and_the_next_two(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        before = this_monday(empty)
        commands.upgrade(empty.owner_url)
        weeks = weeks_with_partitions(empty)
    assert weeks == three_weeks(before) or weeks == three_weeks(before + timedelta(days=7))


def test_partitions_are_created_once_for_the_requested_weeks(database: Database) -> None:
    # Use one transaction, so that now() is constant even if a week ends in between.
    with database.connect() as connection, connection.transaction():
        made = [made_partitions(connection, weeks) for weeks in (2, 2, 4)]
    assert made[1:] == [0, 2]


def this_monday(database: Database) -> date:
    with database.connect() as connection:
        [(day,)] = connection.execute("select date_trunc('week', now() at time zone 'UTC')::date").fetchall()
    return day


def three_weeks(first: date) -> list[date]:
    return [first + timedelta(days=7 * weeks) for weeks in range(3)]


def weeks_with_partitions(database: Database) -> list[date]:
    with database.connect() as connection:
        return [
            monday
            for (monday,) in connection.execute(
                "select to_date(right(relname, 8), 'YYYYMMDD') from pg_class"
                " where relispartition and relkind = 'r' and relname <> 'outbox_messages_default' order by 1"
            )
        ]


def made_partitions(connection: psycopg.Connection, weeks: int) -> int:
    [(made,)] = connection.execute("select signpost_make_partitions(%s)", [weeks]).fetchall()
    return made


def test_serving_knows_the_revisions_without_alembic() -> None:
    scripts = ScriptDirectory.from_config(commands.configuration("")).walk_revisions()
    assert [script.revision for script in scripts] == REVISIONS[::-1]
