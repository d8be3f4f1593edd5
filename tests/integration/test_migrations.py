import subprocess
import sys
from datetime import date, timedelta

import psycopg
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from devstack.cluster import Cluster
from migrations import commands
from migrations.revisions import REVISIONS
from migrations.rights import held, rights
from shared.db.engine import engine_url
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually


def test_of_two_who_migrate_at_once_one_waits_and_finds_nothing_to_do(cluster: Cluster) -> None:
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
    commands.check(database.owner_url)


def test_what_roles_may_do_is_listed(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        engine = create_engine(engine_url(empty.owner_url), poolclass=NullPool)
        with engine.connect() as connection:
            found = held(connection)
    assert found == rights()


def test_a_migration_makes_the_partitions_of_this_week_and_the_next_two(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        before = this_monday(empty)
        commands.upgrade(empty.owner_url)
        weeks = weeks_with_partitions(empty)
    assert weeks == three_weeks(before) or weeks == three_weeks(before + timedelta(days=7))


def test_partitions_are_made_once_and_for_the_weeks_asked_for(database: Database) -> None:
    # One transaction: its now() is one moment, even if a week ends meanwhile.
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
