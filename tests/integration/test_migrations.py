import os
import subprocess
import sys
from collections import defaultdict
from datetime import date, timedelta
from textwrap import fill

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from devstack.cluster import Cluster
from migrations import commands
from migrations.revisions import REVISIONS
from migrations.rights import LIST, held, rights
from shared.engine import engine_url
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.outbox import Outbox

# All that migrations make, but for the partitions: those of a day are not those of the next. Each row
# says of what sort a thing is, its name, and how it is made with who may use it.
SCHEMA = """
with ours as (
    select oid, relname, relkind, relacl from pg_class
     where relnamespace = 'public'::regnamespace and not relispartition
)
select 'relation', relname::text, concat_ws(' ', relkind, relacl) from ours
union all
select 'column', relname || '.' || attname,
       concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid), attacl)
  from ours join pg_attribute on attrelid = ours.oid and attnum > 0 and not attisdropped
       left join pg_attrdef on adrelid = attrelid and adnum = attnum
union all
select 'constraint', conname, pg_get_constraintdef(pg_constraint.oid)
  from pg_constraint join ours on conrelid = ours.oid and contype <> 'n'
union all
select 'index', relname, pg_get_indexdef(indexrelid) from pg_index join ours on indexrelid = ours.oid
union all
select 'trigger', tgname, pg_get_triggerdef(pg_trigger.oid)
  from pg_trigger join ours on tgrelid = ours.oid and not tgisinternal
union all
select 'view', relname, pg_get_viewdef(oid) from ours where relkind = 'v'
union all
select 'function', proname, concat_ws(' ', pg_get_functiondef(oid), proacl)
  from pg_proc where pronamespace = 'public'::regnamespace
union all
select 'schema', nspname, coalesce(nspacl::text, '') from pg_namespace where nspname = 'public'
"""

Schema = set[tuple[str, str, str]]


def test_up_down_and_up_again_leaves_the_same_schema(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        first = schema_of(empty)
        commands.downgrade(empty.owner_url, "base")
        commands.upgrade(empty.owner_url)
        assert schema_of(empty) == first
        assert {sort for sort, _, _ in first} == {
            "relation", "column", "constraint", "index", "trigger", "view", "function", "schema",
        }  # fmt: skip


def test_a_downgrade_leaves_nothing_of_ours(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        commands.downgrade(empty.owner_url, "base")
        left = schema_of(empty)
        with empty.connect() as connection:
            partitions = connection.execute("select relname from pg_class where relispartition").fetchall()
    assert {name.split(".")[0] for _, name, _ in left} == {"alembic_version", "alembic_version_pkc", "public"}
    assert [what for _, _, what in left if "signpost" in what] == []
    assert partitions == []


def test_of_two_who_migrate_at_once_one_waits_and_finds_nothing_to_do(cluster: Cluster) -> None:
    code = "import sys; from migrations.commands import upgrade; upgrade(sys.argv[1])"
    waiting = "select from pg_stat_activity where datname = %s and wait_event = 'advisory'"
    with fresh_database(cluster, template="template0") as empty, empty.connect() as holder:
        commands.upgrade(empty.owner_url, REVISIONS[-2])
        holder.execute("select pg_advisory_lock(hashtext('alembic_version'))")
        command = (sys.executable, "-c", code, empty.owner_url)
        with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
            eventually(lambda: holder.execute(waiting, [empty.name]).rowcount == 2)
            holder.execute("select pg_advisory_unlock_all()")
        assert (one.returncode, other.returncode) == (0, 0)
        assert holder.execute("select version_num from alembic_version").fetchall() == [(REVISIONS[-1],)]


def test_models_and_migrations_agree(database: Database) -> None:
    commands.check(database.owner_url)


def test_every_constraint_has_a_name_of_ours(database: Database) -> None:
    with database.connect() as connection:
        names = connection.execute(
            "select conname from pg_constraint join pg_class on pg_class.oid = conrelid"
            " where connamespace = 'public'::regnamespace and contype in ('c', 'f', 'p', 'u')"
            " and not relispartition and relname <> 'alembic_version'"
        ).fetchall()
    assert len(names) >= 15
    assert {name.split("_")[0] for (name,) in names} <= {"ck", "fk", "pk", "uq"}
    assert ("pk_operator_actions",) in names


def test_what_roles_may_do_is_listed(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        engine = create_engine(engine_url(empty.owner_url), poolclass=NullPool)
        with engine.connect() as connection:
            found = held(connection)
    if os.environ.get("RENEW_RIGHTS"):
        LIST.write_text("".join(f"{fill(right + ';', 118, subsequent_indent='    ')}\n" for right in together(found)))
    assert found == rights()


def together(found: set[str]) -> list[str]:
    """Put rights to the same thing together, by role and by what they are about."""
    columns, words = defaultdict(list), defaultdict(list)
    for right in sorted(found):
        what, _, about = right.partition(" on ")
        word, _, column = what.partition(" (")
        if column:
            columns[about, word].append(column.rstrip(")"))
        else:
            words[about].append(word)
    lines = [f"{word} ({', '.join(names)}) on {about}" for (about, word), names in columns.items()]
    lines += [f"{', '.join(each)} on {about}" for about, each in words.items()]
    return sorted(lines, key=lambda right: (right.rsplit(" to ")[1], right.rsplit(" on ")[1], right))


def test_what_waits_for_nobody_is_a_notice_from_now_on_and_no_more_of_it_is_taken(database: Database) -> None:
    commands.downgrade(database.owner_url, "0029")
    [waiting] = Outbox(database).put(urgency="'later'")
    commands.upgrade(database.owner_url)
    assert Outbox(database).row(waiting).urgency == "notice"
    with pytest.raises(psycopg.errors.CheckViolation):
        Outbox(database).put(urgency="'later'")


def test_a_migration_makes_the_partitions_of_eight_days(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        before = today(empty)
        commands.upgrade(empty.owner_url)
        days = days_with_partitions(empty)
    assert days == eight_days(before) or days == eight_days(before + timedelta(days=1))


def test_partitions_are_made_once_and_for_the_days_asked_for(database: Database) -> None:
    # One transaction: its now() is one moment, whatever midnight passes.
    with database.connect() as connection, connection.transaction():
        made = [made_partitions(connection, days) for days in (7, 7, 9)]
    assert made[1:] == [0, 2]


def schema_of(database: Database) -> Schema:
    with database.connect() as connection:
        return set(connection.execute(SCHEMA).fetchall())


def today(database: Database) -> date:
    with database.connect() as connection:
        [(day,)] = connection.execute("select (now() at time zone 'UTC')::date").fetchall()
    return day


def eight_days(first: date) -> list[date]:
    return [first + timedelta(days=days) for days in range(8)]


def days_with_partitions(database: Database) -> list[date]:
    with database.connect() as connection:
        return [
            day
            for (day,) in connection.execute(
                "select to_date(right(relname, 8), 'YYYYMMDD') from pg_class"
                " where relispartition and relkind = 'r' and relname <> 'outbox_messages_default' order by 1"
            )
        ]


def made_partitions(connection: psycopg.Connection, days: int) -> int:
    [(made,)] = connection.execute("select signpost_make_partitions(%s)", [days]).fetchall()
    return made


def test_serving_knows_the_revisions_without_alembic() -> None:
    scripts = ScriptDirectory.from_config(commands.configuration("")).walk_revisions()
    assert [script.revision for script in scripts] == REVISIONS[::-1]
