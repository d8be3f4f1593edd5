from devstack.cluster import Cluster
from migrations import commands
from tests.support.databases import Database, fresh_database


def test_up_down_and_up_again_leaves_the_same_schema(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        commands.upgrade(empty.owner_url)
        first = schema_of(empty)
        commands.downgrade(empty.owner_url, "base")
        assert schema_of(empty) == {("alembic_version", "version_num")}
        commands.upgrade(empty.owner_url)
        assert schema_of(empty) == first


def test_models_and_migrations_agree(database: Database) -> None:
    commands.check(database.owner_url)


def test_every_constraint_has_a_name_of_ours(database: Database) -> None:
    with database.connect() as connection:
        names = connection.execute(
            "select conname from pg_constraint where connamespace = 'public'::regnamespace"
            " and contype in ('c', 'f', 'p', 'u') and conislocal and conrelid in"
            " ('users'::regclass, 'tokens'::regclass, 'outbox_messages'::regclass, 'delivery_attempts'::regclass)"
        ).fetchall()
    assert len(names) >= 14
    assert {name.split("_")[0] for (name,) in names} <= {"ck", "fk", "pk", "uq"}


def test_partitions_stand_ready_for_the_days_to_come(database: Database) -> None:
    with database.connect() as connection:
        days = connection.execute(
            "select count(*) from pg_inherits where inhparent = 'outbox_messages'::regclass"
        ).fetchone()
        made_again = connection.execute("select signpost_make_partitions(7)").fetchone()
        made_further = connection.execute("select signpost_make_partitions(9)").fetchone()
    assert days == (9,)
    assert made_again == (0,)
    assert made_further == (2,)


def schema_of(database: Database) -> set[tuple[str, str]]:
    with database.connect() as connection:
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'public'"
        ).fetchall()
    return set(columns)
